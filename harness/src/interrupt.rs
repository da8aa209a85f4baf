//! Ctrl-C and SIGTERM: a flag that every loop looks at, so that what was measured so far is saved.

use crate::error::{Error, Result};
use crate::output::note;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The process group that a second signal ends too; none when 0.
static GROUP: AtomicU32 = AtomicU32::new(0);

/// Catches Ctrl-C and SIGTERM: the first signal sets the flag, a second one ends the process at once.
pub fn install() {
    let installed = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            end_group();
            std::process::exit(130);
        }
    });
    if let Err(error) = installed {
        note(format!("warning: Ctrl-C will not save what was measured: {error}"));
    }
}

/// Lets a second signal also kill the process group `id`, as long as the returned value lives.
#[must_use]
pub fn end_with_this(id: u32) -> Group {
    GROUP.store(id, Ordering::SeqCst);
    Group
}

/// A process group that a second signal kills too, until this is dropped; made by [`end_with_this`].
pub struct Group;

impl Drop for Group {
    fn drop(&mut self) {
        GROUP.store(0, Ordering::SeqCst);
    }
}

fn end_group() {
    #[cfg(unix)]
    if let Some(group) = Some(GROUP.load(Ordering::SeqCst) as i32).filter(|group| *group > 0) {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Lets the calling process, before it runs its program, be killed when its parent (process id `parent`) ends.
#[cfg(unix)]
pub fn end_with_parent(parent: u32) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // A parent that ended before it could be bound to sends no signal.
    let bound = std::os::unix::process::parent_id() == parent;
    bound.then_some(()).ok_or_else(|| std::io::Error::other("its parent is gone"))
}

/// Lets a write past a limit on file sizes fail with an error line, like one to a full disk, instead of ending us.
pub fn ignore_file_size_signal() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigHandler, Signal, signal};
        // SAFETY: ignoring a signal runs no code of ours. If it is refused, the default stays.
        let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    }
}

/// The flag that a signal sets, for loops of crates that know no signals.
pub fn flag() -> &'static AtomicBool {
    &INTERRUPTED
}

/// Whether the user has pressed Ctrl-C, or asked the program to end.
pub fn requested() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// An error, `what` was interrupted, if a signal came; else nothing.
pub fn check(what: impl Into<String>) -> Result<()> {
    if requested() { Err(Error::interrupted(what)) } else { Ok(()) }
}
