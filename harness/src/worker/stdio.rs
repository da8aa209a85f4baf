//! A worker without an inherited descriptor: what starts it for the gate (a script, `ssh`, a container) passes on only
//! stdin and stdout. They are copied to and from a socket, and what foreign code prints goes to stderr instead.

use super::channel::{Channel, Stream};
use nix::unistd::{dup, dup2_stdin, dup2_stdout};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::thread::JoinHandle;

/// Makes a channel of stdin and stdout, for good. Joining the thread brings the last answers to stdout.
pub fn take() -> io::Result<(Channel, JoinHandle<()>)> {
    let (requests, answers) = (File::from(dup(io::stdin())?), File::from(dup(io::stdout())?));
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    let (ours, theirs) = Stream::pair()?;
    let other_end = theirs.try_clone()?;
    std::thread::Builder::new().name("requests".into()).spawn(move || {
        copy(requests, &other_end);
        // No more will come: the worker hears it as the end of its parent.
        let _ = other_end.shutdown(Shutdown::Write);
    })?;
    let answers = std::thread::Builder::new().name("answers".into()).spawn(move || copy(theirs, answers))?;
    Ok((Channel::new(ours)?, answers))
}

/// As they come, until either side has closed. Not `io::copy`: what it lets the system splice may come late.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 1 << 14];
    loop {
        match from.read(&mut buffer) {
            Ok(n) if n > 0 && to.write_all(&buffer[..n]).is_ok() => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
