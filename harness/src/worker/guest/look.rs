//! What a call into foreign code left behind in this process that it should not have: open files, signal handlers,
//! text on stdout, processes, another rounding mode.

use nix::libc;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, OnceLock, PoisonError};

const SIGNALS: std::ops::Range<i32> = 1..65;

/// How the process was before foreign code ran in it.
struct Before {
    descriptors: usize,
    handlers: Vec<usize>,
    stdout: File,
}

static BEFORE: OnceLock<Before> = OnceLock::new();

/// Remembers how things are now. stdout becomes a file of its own, so that what is printed there is seen.
pub fn begin() -> std::io::Result<()> {
    // Processes that foreign code starts, and whose parent ends, become this one's children.
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let stdout = tempfile::tempfile()?;
    // SAFETY: both are descriptors of this process; what was stdout is closed by it.
    if unsafe { libc::dup2(stdout.as_fd().as_raw_fd(), 1) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let _ = BEFORE.set(Before { descriptors: descriptors(), handlers: SIGNALS.map(handler).collect(), stdout });
    Ok(())
}

/// What is not as it was, in words.
pub fn look() -> Option<String> {
    /// One look at a time: each opens a folder itself.
    static LOOK: Mutex<()> = Mutex::new(());
    let _alone = LOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = BEFORE.get()?;
    // SAFETY: flushes the streams of this process's C library; nothing is kept.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    if before.stdout.metadata().is_ok_and(|file| file.len() > 0) {
        return Some(format!("prints to stdout: {:?}", printed(&before.stdout)));
    }
    match (descriptors(), before.descriptors) {
        (now, then) if now > then => return Some(format!("leaves {} file(s) open", now - then)),
        (now, then) if now < then => return Some(format!("closes {} file(s) that are not its own", then - now)),
        _ => {}
    }
    let changed = SIGNALS.zip(&before.handlers).find(|(signal, before)| handler(*signal) != **before);
    if let Some((signal, _)) = changed {
        let name = nix::sys::signal::Signal::try_from(signal).map_or("", nix::sys::signal::Signal::as_str);
        return Some(format!("leaves a handler for signal {signal} {name} behind").replace("  ", " "));
    }
    if blocks_signals() {
        return Some("leaves a signal blocked".into());
    }
    if has_children() {
        end_children();
        return Some("starts a process (fork) and leaves it".into());
    }
    let control = float_control();
    (control != FLOAT_CONTROL).then(|| format!("leaves the float rounding changed (MXCSR {control:#x})"))
}

/// Descriptors that are open, one of this look among them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn handler(signal: i32) -> usize {
    // SAFETY: all-zero bytes are a `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks; a signal that has none gives an error and leaves zeros.
    unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    action.sa_sigaction
}

/// Whether this thread blocks a signal: none is blocked when a worker begins.
fn blocks_signals() -> bool {
    let mask = nix::sys::signal::SigSet::thread_get_mask();
    mask.is_ok_and(|mask| mask.iter().next().is_some())
}

/// Ends the children of every thread of this process, and theirs, which become this one's.
fn end_children() {
    for _ in 0..16 {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let ids: Vec<i32> = children
            .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
            .collect();
        if ids.is_empty() {
            return;
        }
        for id in ids {
            let process = nix::unistd::Pid::from_raw(id);
            let _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(process, None);
        }
    }
}

/// Whether this process has a child; one that has ended is taken leave of.
fn has_children() -> bool {
    let mut status = 0;
    // SAFETY: waits for nothing and writes a number.
    let answer = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    answer >= 0
}

fn printed(file: &File) -> String {
    let mut bytes = [0; 40];
    let read = std::os::unix::fs::FileExt::read_at(file, &mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).trim_end().to_owned()
}

/// Rounding to nearest, denormals as they are, no exception traps.
const FLOAT_CONTROL: u32 = 0x1F80;

#[cfg(target_arch = "x86_64")]
fn float_control() -> u32 {
    let mut word = 0u32;
    // SAFETY: stores the register to a word of this stack.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack)) };
    // Without the six flags that arithmetic raises.
    word & !0x3F
}

#[cfg(not(target_arch = "x86_64"))]
fn float_control() -> u32 {
    FLOAT_CONTROL
}
