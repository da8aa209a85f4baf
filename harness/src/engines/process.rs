//! The process of an engine: a line in, a line out, a limit on both, and a clock beside it. However it ends, that is a
//! row and never the end of the run.

use super::answer::{self, Answer};
use super::protocol::{Request, VERSION};
use super::usage;
use crate::error::Error;
use crate::guests::Failed;
use crate::interrupt;
use crate::measure::rounds::Spent;
use crate::worker::channel::{Channel, Silence};
use crate::worker::log::Log;
use crate::worker::parent::describe;
use receipt::RowStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Bytes of an answer: the logits of a vocabulary of 150,000 fit.
const LONGEST_ANSWER: usize = 1 << 20;
/// How long a process that was told to quit may take.
const QUITTING: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, Failed>;

/// A running engine. Dropping it kills it, and what it started.
pub struct Process {
    child: Child,
    channel: Channel,
    log: Log,
    patience: Duration,
}

#[derive(Serialize)]
struct Line<'a> {
    tritbench: u32,
    #[serde(flatten)]
    request: &'a Request<'a>,
}

/// A request as it is written.
pub fn line(request: &Request<'_>) -> std::result::Result<String, Error> {
    let line = serde_json::to_string(&Line { tritbench: VERSION, request });
    line.map_err(|e| Error::failed(format!("cannot write a request: {e}")))
}

impl Process {
    /// Starts an engine on these CPUs; on all where none is named.
    ///
    /// # Errors
    /// A program that cannot be run is a row, `unsupported`.
    pub fn start(command: &[String], cpus: &[usize], patience: Duration) -> Result<Self> {
        let log = Log::new().map_err(|e| Error::io("create a file in", &std::env::temp_dir(), &e))?;
        let (child, channel) = spawn(command, cpus, &log, patience)?;
        Ok(Self { child, channel, log, patience })
    }

    /// Asks, and waits for the answer for as long as the engine may take.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request<'_>) -> Result<(T, Spent)> {
        self.ask_within(request, self.patience)
    }

    /// As [`Self::ask`], with another limit of time. The clock runs from before the request is written until the answer
    /// is read; CPU time is that of all its processes.
    pub fn ask_within<T: DeserializeOwned>(&mut self, request: &Request<'_>, patience: Duration) -> Result<(T, Spent)> {
        let line = line(request)?;
        if self.channel.has_more_now() {
            // It says why it ended, or talks unasked.
            let unasked =
                self.channel.hear(QUITTING, || !interrupt::requested()).map_err(|e| self.silent(e, request))?;
            return Err(wrong(format!("said something unasked: {}", answer::quote(&unasked))));
        }
        let mut processes = usage::tree(self.child.id());
        let cpu = usage::cpu_ns(&processes);
        let begun = Instant::now();
        let said = self.channel.say(&line).map_err(|_| Silence::Closed);
        let heard = said.and_then(|()| self.channel.hear(patience, || !interrupt::requested()));
        let ns = begun.elapsed().as_nanos() as u64;
        // Those that it has started since, too.
        processes
            .extend(usage::tree(self.child.id()).into_iter().filter(|id| !processes.contains(id)).collect::<Vec<_>>());
        let cpu_ns = usage::cpu_ns(&processes).saturating_sub(cpu);
        let heard = heard.map_err(|silence| self.silent(silence, request))?;
        match answer::parse(&heard) {
            Ok(Answer::Given(given)) => Ok((given, Spent { ns, cpu_ns, involuntary_switches: 0 })),
            Ok(Answer::Error(words)) => {
                let why = format!("refuses to {}: {words}", request.in_words());
                Err(Failed::Row { status: RowStatus::Refused, why })
            }
            Err(what) => Err(wrong(format!("asked to {}, it {what}", request.in_words()))),
        }
    }

    /// Peak of resident memory in bytes of all its processes so far.
    pub fn peak_memory_bytes(&self) -> u64 {
        usage::peak_memory_bytes(&usage::tree(self.child.id()))
    }

    /// Tells it to quit and waits a little; it is killed if it does not.
    pub fn quit(mut self) {
        let told = line(&Request::Quit).is_ok_and(|line| self.channel.say(&line).is_ok());
        if told {
            self.end();
        }
    }

    /// What became of an engine that did not answer.
    fn silent(&mut self, silence: Silence, request: &Request<'_>) -> Failed {
        let asked = request.in_words();
        let (status, what) = match silence {
            Silence::Stopped => {
                return Error::interrupted(format!("interrupted while an engine was to {asked}")).into();
            }
            Silence::Late => {
                let seconds = self.patience.as_secs_f64();
                (RowStatus::Hung, format!("gave no answer within {seconds} s when asked to {asked}"))
            }
            Silence::Nonsense(text) if text.len() > LONGEST_ANSWER => {
                (RowStatus::Wrong, format!("answered more than 1 MiB when asked to {asked}"))
            }
            Silence::Nonsense(text) => {
                (RowStatus::Wrong, format!("answered no text when asked to {asked}: {}", answer::quote(&text)))
            }
            Silence::Closed => {
                let how = self.end().map_or_else(|| "closed its output".to_owned(), |status| describe(&status));
                (RowStatus::Crashed, format!("{how} when asked to {asked}"))
            }
        };
        if interrupt::requested() {
            return Error::interrupted(format!("interrupted while an engine was to {asked}")).into();
        }
        let last = self.log.last_line().map_or_else(String::new, |line| format!("; its last words: {line}"));
        Failed::Row { status, why: format!("{what}{last}") }
    }

    /// Waits a little for its end.
    fn end(&mut self) -> Option<std::process::ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < QUITTING {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            use nix::sys::signal::{Signal, killpg};
            let _ = killpg(nix::unistd::Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wrong(why: String) -> Failed {
    Failed::Row { status: RowStatus::Wrong, why }
}

#[cfg(unix)]
fn spawn(command: &[String], cpus: &[usize], log: &Log, patience: Duration) -> Result<(Child, Channel)> {
    use std::os::fd::OwnedFd;
    use std::os::unix::process::CommandExt;
    let absent = |why: String| Failed::Row { status: RowStatus::Unsupported, why };
    let [program, arguments @ ..] = command else { return Err(absent("its command names no program".into())) };
    let pipes = |e: std::io::Error| Error::failed(format!("cannot make a socket for an engine: {e}"));
    let (channel, theirs) = Channel::pair().map_err(pipes)?;
    let channel = channel.limited(LONGEST_ANSWER, patience).map_err(pipes)?;
    let end = || theirs.try_clone().map(OwnedFd::from).map_err(pipes);
    let mut child = Command::new(program);
    child.args(arguments).stdin(end()?).stdout(end()?);
    child.stderr(log.stdio().map_err(pipes)?);
    // An abort of ggml starts a debugger; a panic of ours is one line.
    child.env("GGML_NO_BACKTRACE", "1").env("RUST_BACKTRACE", "0");
    child.process_group(0);
    let parent = std::process::id();
    #[cfg(target_os = "linux")]
    let cpus = cpu_set(cpus);
    // Elsewhere no process can be kept to CPUs.
    #[cfg(not(target_os = "linux"))]
    let _ = cpus;
    let settle = move || {
        interrupt::end_with_parent(parent)?;
        #[cfg(target_os = "linux")]
        if let Some(cpus) = &cpus {
            nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), cpus)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec `settle` makes system calls only: it takes no lock and no memory.
    unsafe { child.pre_exec(settle) };
    let started = child.spawn();
    // Ours must be the only other end, or its end would never be noticed.
    drop((child, theirs));
    let started = started.map_err(|e| absent(format!("cannot run {program}: {e}")))?;
    Ok((started, channel))
}

#[cfg(target_os = "linux")]
fn cpu_set(cpus: &[usize]) -> Option<nix::sched::CpuSet> {
    let mut set = nix::sched::CpuSet::new();
    cpus.iter().try_for_each(|cpu| set.set(*cpu)).ok().filter(|()| !cpus.is_empty()).map(|()| set)
}

#[cfg(not(unix))]
fn spawn(_: &[String], _: &[usize], _: &Log, _: Duration) -> Result<(Child, Channel)> {
    Err(Error::unsupported("engines are run on Unix only").into())
}
