//! A worker without an inherited descriptor: what starts it for the gate (a script, `ssh`, a container) passes on only
//! stdin and stdout. They are copied to and from a socket, and what foreign code prints goes to stderr instead.

use super::channel::{Channel, Stream};
use nix::unistd::{dup, dup2_stdin, dup2_stdout};
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::thread::JoinHandle;

/// Takes stdin and stdout over, for good. Joining the thread brings the last answers to stdout.
pub fn take() -> io::Result<(Channel, JoinHandle<()>)> {
    let (requests, answers) = (File::from(dup(io::stdin())?), File::from(dup(io::stdout())?));
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    let (ours, theirs) = Stream::pair()?;
    let other_end = theirs.try_clone()?;
    std::thread::Builder::new().name("requests".into()).spawn(move || {
        let _ = io::copy(&mut &requests, &mut &other_end);
        // No more will come: the worker hears it as the end of its parent.
        let _ = other_end.shutdown(Shutdown::Write);
    })?;
    let answers = std::thread::Builder::new().name("answers".into()).spawn(move || {
        let _ = io::copy(&mut &theirs, &mut &answers);
    })?;
    Ok((Channel::new(ours)?, answers))
}
