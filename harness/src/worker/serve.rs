//! The worker's side of the channel: what it says first, and which of its two lives the first request begins. A session
//! serves a gate; a call is followed by `count`.

use super::call;
use super::channel::{Channel, Stream};
use super::protocol::{Job, NO_CHANNEL, PROTOCOL, Reply, Request};
use super::session::Session;
use super::speak::{error, json, next, say};
use crate::error::{Error, Result};
use clap::Args;

/// Flags of `worker`, a command that only tritbench itself starts.
#[derive(Args, Debug)]
pub struct WorkerArgs {
    /// Number of the inherited descriptor; stdin and stdout without one
    #[arg(long, value_name = "N")]
    channel: Option<i32>,
    /// Make this call (JSON) without a parent that follows it: for other tools that count
    #[arg(long, value_name = "CALL", conflicts_with = "channel")]
    call: Option<String>,
}

/// Runs `worker`. An error goes to the parent where there is one that hears it.
pub fn run(args: &WorkerArgs) -> Result<()> {
    if let Some(text) = &args.call {
        let call = serde_json::from_str(text).map_err(|e| Error::input(format!("--call: {e}")))?;
        println!("{}", json(&call::unfollowed(&call)?)?);
        return Ok(());
    }
    let Some(number) = args.channel else { return over_stdio() };
    let channel = Channel::new(inherited(number)?);
    speak(channel.map_err(|e| Error::failed(format!("cannot use the channel: {e}")))?)
}

#[cfg(unix)]
fn over_stdio() -> Result<()> {
    use std::io::IsTerminal;
    if std::io::stdin().is_terminal() {
        return Err(Error::input(NO_CHANNEL));
    }
    let taken = super::stdio::take();
    let (channel, answers) = taken.map_err(|e| Error::failed(format!("cannot speak over stdin and stdout: {e}")))?;
    let ended = speak(channel);
    // Every end of the channel is closed, so what was said last arrives and the thread ends.
    let _ = answers.join();
    ended
}

#[cfg(not(unix))]
fn over_stdio() -> Result<()> {
    inherited(-1).map(|_| ())
}

/// What the parent asks for first decides what this worker is.
fn speak(mut channel: Channel) -> Result<()> {
    say(&mut channel, &Reply::Hello { protocol: PROTOCOL })?;
    match next(&mut channel)? {
        Some(Request::Begin(job)) => session(|| serve(*job, channel)),
        #[cfg(target_os = "linux")]
        Some(Request::Load(load)) => session(|| super::guest::serve(*load, channel)),
        // On the first thread, and no other is started: it is followed instruction by instruction.
        Some(Request::Call(call)) => {
            let reply = call::followed(&call, |stopping| say(&mut channel, &stopping)).unwrap_or_else(|e| error(&e));
            say(&mut channel, &reply)
        }
        Some(Request::Stop) | None => Ok(()),
        Some(_) => say(&mut channel, &error(&Error::input("nothing was begun"))),
    }
}

/// A session runs on a second thread, whose stack begins at a page. The first one's lies at a random multiple of 16
/// bytes, which changed the time of short calls by several per cent from process to process.
fn session(serve: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    model::mapped_faults::install();
    let thread = std::thread::Builder::new().name("session".into()).stack_size(8 << 20);
    std::thread::scope(|scope| {
        let thread = thread.spawn_scoped(scope, serve);
        let thread = thread.map_err(|e| Error::failed(format!("cannot start a thread: {e}")))?;
        thread.join().unwrap_or_else(|_| Err(Error::failed("the worker panicked; the lines above say where")))
    })
}

fn serve(job: Job, mut channel: Channel) -> Result<()> {
    let mut session = match Session::new(job) {
        Ok(session) => session,
        Err(e) => return say(&mut channel, &error(&e)),
    };
    say(&mut channel, &session.ready())?;
    while let Some(request) = next(&mut channel)? {
        match request {
            Request::Stop => return Ok(()),
            Request::Prepare { cell, oracle } => {
                // It answers itself when the cell is ready, and comes back when the cell is left.
                let mut prepared = |output: String| say(&mut channel, &Reply::Prepared { output });
                if let Err(e) = session.cell(cell, oracle, &mut prepared) {
                    // Ended with its error, because the parent may be waiting for an epoch.
                    return say(&mut channel, &error(&e));
                }
            }
            Request::Text { kernel } => {
                say(&mut channel, &session.generated(&kernel).map_or_else(|e| error(&e), Reply::Text))?;
            }
            Request::Count { kernel } => {
                say(&mut channel, &session.counted(&kernel).unwrap_or_else(|e| error(&e)))?;
            }
            _ => say(&mut channel, &error(&Error::input("a session has begun")))?,
        }
    }
    Ok(())
}

#[cfg(unix)]
fn inherited(number: i32) -> Result<Stream> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
    let refused = || Error::input(NO_CHANNEL);
    // Below are stdin, stdout and stderr, which are not the channel.
    if number <= 2 {
        return Err(refused());
    }
    // SAFETY: the descriptor is only asked for its flags; a number that is no descriptor is refused by the system.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    // What the worker starts must not keep the channel open.
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|_| refused())?;
    // SAFETY: it is open, the parent made it for this process alone, and nothing else here knows its number.
    let stream = Stream::from(unsafe { OwnedFd::from_raw_fd(number) });
    // Refused by the system for anything but a socket of this kind.
    stream.local_addr().map_err(|_| refused())?;
    Ok(stream)
}

#[cfg(not(unix))]
fn inherited(_: i32) -> Result<Stream> {
    Err(Error::unsupported("workers need a descriptor that a child inherits, which is Unix"))
}
