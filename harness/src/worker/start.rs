//! Starts workers: `PROGRAM worker --channel N`, `PROGRAM worker` where the descriptor does not arrive, or
//! `PROGRAM gate-child` of a build from before there were workers.

use super::channel::{Channel, Stream};
use super::log::Log;
use super::old;
use crate::error::{Error, Result};
use crate::interrupt;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A program that can run as a worker, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Program {
    /// Path of the program's file.
    pub path: PathBuf,
    pub speech: Speech,
}

/// How a program is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Over an inherited descriptor, a socket.
    Channel,
    /// Over stdin and stdout, in the same words: what starts the worker passes on nothing else.
    Stdio,
    /// Version 1 of the protocol, over stdin and stdout.
    Old,
}

/// Settings with which a worker's process is started.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The worker's whole environment; this program's if absent. It lies on the worker's stack.
    pub environment: Option<Vec<(OsString, OsString)>>,
    /// Whether the system should load the worker at the same addresses every time, where it allows that.
    pub fixed_addresses: bool,
    /// Whether the worker leads a process group of its own, which ends with it: for what may start processes.
    pub own_group: bool,
}

/// Starts a worker process; returns it with the parent's end of the channel and the log of what it prints.
#[cfg(unix)]
pub fn spawn(label: &str, program: &Program, setting: Setting) -> Result<(Child, Channel, Log)> {
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::process::CommandExt;
    let failed = |what: &str, e: io::Error| Error::failed(format!("{label}: cannot {what} a worker: {e}"));
    let log = Log::new().map_err(|e| Error::io("create a file in", &std::env::temp_dir(), &e))?;
    let output = || log.stdio().map_err(|e| failed("hear", e));
    let (channel, theirs) = Channel::pair().map_err(|e| failed("speak to", e))?;
    let mut command = Command::new(&program.path);
    if let Some(environment) = setting.environment {
        command.env_clear().envs(environment);
    }
    // Its last line should say what happened, not where.
    command.env("RUST_BACKTRACE", "0");
    // Nor start a debugger, as an abort of ggml does.
    command.env("GGML_NO_BACKTRACE", "1");
    let inherited = if program.speech != Speech::Channel {
        let end = |stream: &Stream| stream.try_clone().map(|s| Stdio::from(OwnedFd::from(s)));
        command.arg(if program.speech == Speech::Old { old::COMMAND } else { "worker" });
        command.stdin(end(&theirs).map_err(|e| failed("speak to", e))?);
        command.stdout(end(&theirs).map_err(|e| failed("speak to", e))?);
        None
    } else {
        command.args(["worker", "--channel", &theirs.as_raw_fd().to_string()]);
        command.stdin(Stdio::null()).stdout(output()?);
        Some(theirs.as_raw_fd())
    };
    command.stderr(output()?);
    if setting.own_group {
        command.process_group(0);
    }
    let (parent, fixed_addresses) = (std::process::id(), setting.fixed_addresses);
    // SAFETY: between fork and exec `settle` makes system calls only: it takes no lock and no memory.
    unsafe { command.pre_exec(move || settle(parent, inherited, fixed_addresses)) };
    let child = command.spawn();
    // Ours must be the only other end, or its end would never be noticed.
    drop(theirs);
    let path = program.path.display();
    let child = child.map_err(|e| Error::unsupported(format!("cannot run {label} ({path}): {e}")))?;
    Ok((child, channel, log))
}

/// Fails: on this platform no worker can be started.
#[cfg(not(unix))]
pub fn spawn(label: &str, _: &Program, _: Setting) -> Result<(Child, Channel, Log)> {
    Err(Error::unsupported(format!("{label}: workers need a descriptor that a child inherits, which is Unix")))
}

/// In the new process, before it becomes the program: it ends with its parent, keeps its end of the channel, and is
/// loaded at fixed addresses if that is wanted.
#[cfg(unix)]
fn settle(parent: u32, inherited: Option<i32>, fixed_addresses: bool) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::os::fd::BorrowedFd;
    interrupt::end_with_parent(parent)?;
    #[cfg(target_os = "linux")]
    {
        use nix::sys::personality::{self, Persona};
        if fixed_addresses && let Ok(persona) = personality::get() {
            // A container may forbid it; the worker says what came of it.
            let _ = personality::set(persona | Persona::ADDR_NO_RANDOMIZE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = fixed_addresses;
    if let Some(number) = inherited {
        // SAFETY: the parent keeps this descriptor open until the new process runs.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    Ok(())
}
