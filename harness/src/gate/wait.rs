//! Waits for cargo, git or an engine's command, which may never end: Ctrl-C ends all that they started, and a line a
//! minute says so.

use crate::interrupt;
use crate::output::note;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Between two lines that say what is waited for.
const EVERY: Duration = Duration::from_secs(60);
/// Between two looks, at most; the first come sooner, because git answers within milliseconds.
const LOOK: Duration = Duration::from_millis(50);
/// How long a command that is told to stop may clean up before it is killed.
#[cfg(unix)]
const STOPPING: Duration = Duration::from_millis(500);

/// Waits for another program, and says once a minute what for.
pub struct Patience {
    what: String,
    start: Instant,
    said: u32,
    nap: Duration,
}

impl Patience {
    /// Begins to wait; `what` is what follows "waiting for" in the message.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), start: Instant::now(), said: 0, nap: Duration::from_millis(1) }
    }

    /// Sleeps until the next look; false when the user wants to wait no longer.
    pub fn wait(&mut self) -> bool {
        if interrupt::requested() {
            return false;
        }
        if self.start.elapsed() > EVERY * (self.said + 1) {
            self.said += 1;
            note(format!("waiting for {} since {} min; Ctrl-C ends it", self.what, self.said));
        }
        std::thread::sleep(self.nap);
        self.nap = (self.nap * 2).min(LOOK);
        true
    }
}

/// Runs `command` to its end. Its stderr is kept for the caller, or goes where this program's does if `shown`.
///
/// # Errors
/// That it could not be run; of kind `Interrupted` when the user stopped it.
pub fn run(command: &mut Command, what: &str, shown: bool) -> io::Result<Output> {
    run_within(command, what, shown, None)
}

/// As [`run`], with an end.
///
/// # Errors
/// Those of [`run`]; of kind `TimedOut` where the command took longer than `limit`, and was ended.
pub fn run_within(command: &mut Command, what: &str, shown: bool, limit: Option<Duration>) -> io::Result<Output> {
    // Files, not pipes: a pipe ends with the last of its holders, which may be a server that the command left behind.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?);
    command.stderr(if shown { Stdio::inherit() } else { stderr.try_clone()?.into() });
    detach(command);
    let mut child = command.spawn()?;
    let group = interrupt::end_with_this(child.id());
    let mut patience = Patience::new(what);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let late = limit.is_some_and(|limit| patience.start.elapsed() > limit);
        if late || !patience.wait() {
            stop(&mut child);
            return Err(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Interrupted }.into());
        }
    };
    drop(group);
    Ok(Output { status, stdout: read(&mut stdout)?, stderr: read(&mut stderr)? })
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives the command a session of its own, so that all it starts can be ended together, and so that nothing in it can
/// wait for a password on this program's terminal.
#[cfg(unix)]
fn detach(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = std::process::id();
    let settle = move || {
        nix::unistd::setsid()?;
        interrupt::end_with_parent(parent)
    };
    // SAFETY: between fork and exec `settle` makes system calls only: it takes no lock and no memory.
    unsafe { command.pre_exec(settle) };
}

#[cfg(not(unix))]
fn detach(_: &mut Command) {}

/// Ends the command and all of its session that did not leave it.
fn stop(child: &mut std::process::Child) {
    #[cfg(unix)]
    {
        use nix::sys::signal::{Signal, killpg};
        let group = nix::unistd::Pid::from_raw(child.id() as i32);
        // It has not been waited for, so its number is still its own; git removes its locks.
        let _ = killpg(group, Signal::SIGTERM);
        std::thread::sleep(STOPPING);
        let _ = killpg(group, Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_is_kept_and_nothing_it_left_is_waited_for() {
        let mut command = Command::new("sh");
        // Longer than any test may take, and it holds what the command printed to.
        command.args(["-c", "sleep 600 & echo $!; echo why >&2; exit 3"]);
        let ended = run(&mut command, "a shell", false).expect("ran");
        let left = String::from_utf8_lossy(&ended.stdout).trim().parse().expect("a process id");
        assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(3), &b"why\n"[..]));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL).expect("runs");
        let missing = run(&mut Command::new("/no/such/program"), "nothing", false).expect_err("not there");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
