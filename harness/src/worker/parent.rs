//! A worker as its parent sees it: requests, answers, and what to say of one that does not answer.

use super::channel::{Channel, Silence};
use super::log::Log;
use super::old;
use super::protocol::{JobCell, NO_CHANNEL, PROTOCOL, Reply, Request};
use super::start::{Program, Setting, Speech, spawn};
use crate::error::{Error, Exit, Result};
use crate::interrupt;
use receipt::titles;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Environment variable with the seconds that every wait for a worker may take.
const PATIENCE_VARIABLE: &str = "TRITBENCH_WORKER_PATIENCE";
/// A program begins within this time on the busiest machine.
const START: Duration = Duration::from_secs(120);
/// The longest honest answer: a model of 2 billion weights is read and packed, or a kernel without any trick computes
/// the oracle's products, while others use the machine.
const ANSWER: Duration = Duration::from_secs(600);
/// How long a worker that was told to stop may take before it is killed.
const STOPPING: Duration = Duration::from_secs(10);
/// Between two looks at whether it has stopped.
const LOOK: Duration = Duration::from_millis(2);
/// Characters of an answer that is not understood that are quoted.
const LONGEST_QUOTE: usize = 120;

/// How long a worker may be silent. Without a number of its own, each request has its usual time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience(Option<Duration>);

impl Patience {
    /// The patience that `TRITBENCH_WORKER_PATIENCE` asks for, or none.
    ///
    /// # Errors
    /// Exit 2 if it is no number of seconds.
    pub fn from_environment() -> Result<Self> {
        let Some(text) = std::env::var_os(PATIENCE_VARIABLE).filter(|text| !text.is_empty()) else {
            return Ok(Self(None));
        };
        let seconds = text.to_str().and_then(|text| text.parse::<u64>().ok()).filter(|s| (1..=86_400).contains(s));
        let seconds = seconds.ok_or_else(|| {
            Error::input(format!("{PATIENCE_VARIABLE} is not a number of seconds from 1 to 86400: {text:?}"))
        })?;
        Ok(Self(Some(Duration::from_secs(seconds))))
    }

    /// How long a worker's answer or epoch may take.
    pub fn answer(self) -> Duration {
        self.0.unwrap_or(ANSWER)
    }

    /// How long a call that is followed through at most `stops` stops may take: a stop takes some microseconds.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub fn followed(self, stops: u64) -> Duration {
        self.0.unwrap_or(ANSWER + Duration::from_micros(stops.saturating_mul(50)))
    }

    fn start(self) -> Duration {
        self.0.unwrap_or(START)
    }
}

/// A running worker process, as its parent sees it. Dropping it kills the process.
pub struct Worker {
    label: String,
    child: Child,
    channel: Channel,
    log: Log,
    patience: Patience,
    speech: Speech,
    /// Whether another has waited for its end, so that its number may be another process's by now.
    reaped: bool,
    /// The cells that requests name by number.
    cells: Vec<JobCell>,
    asked: String,
    /// Whether it leads a process group, which ends with it.
    own_group: bool,
}

/// What was heard of a worker that runs foreign code.
pub enum Heard {
    Reply(Reply),
    /// Its own error, or the user's interrupt.
    Error(Error),
    /// Whoever listens did not want to wait any longer.
    Stuck,
    /// It has ended; how, as a verb: `was ended by signal 11 SIGSEGV`.
    Ended(String),
}

/// The failure of a worker that could not be started.
pub struct NotStarted {
    pub error: Error,
    /// The end of what the worker printed.
    pub log: String,
}

impl Worker {
    /// Starts a worker and waits until it says that it is there. `label` begins every error.
    pub fn start(
        label: &str,
        program: &Program,
        setting: Setting,
        patience: Patience,
    ) -> std::result::Result<Self, NotStarted> {
        let own_group = setting.own_group;
        let started = spawn(label, program, setting);
        let (child, channel, log) = started.map_err(|error| NotStarted { error, log: String::new() })?;
        let (label, speech, cells, asked) = (label.to_owned(), program.speech, Vec::new(), "begin".to_owned());
        let mut worker = Self { label, child, channel, log, patience, speech, reaped: false, cells, asked, own_group };
        if speech == Speech::Old {
            // It speaks when it is spoken to.
            return Ok(worker);
        }
        let error = match worker.hear_within(patience.start()) {
            Ok(Reply::Hello { protocol: PROTOCOL }) => return Ok(worker),
            Ok(Reply::Hello { protocol }) => {
                let what = format!("it speaks version {protocol} of the workers' protocol, this build {PROTOCOL}");
                Error::unsupported(format!("{}: {what}", worker.label))
            }
            Ok(_) => worker.out_of_turn(),
            Err(error) => error,
        };
        Err(NotStarted { error, log: worker.log.tail() })
    }

    /// Finds out which protocol a program speaks, by starting it once.
    ///
    /// # Errors
    /// Exit 5 for what is no program, or one that is no build of ours.
    pub fn find(label: &str, path: &Path, patience: Patience) -> Result<Program> {
        let by = |speech| Program { path: path.to_path_buf(), speech };
        let start = |speech| {
            let program = by(speech);
            Self::start(label, &program, Setting::default(), patience).map(Self::stop).map(|()| program)
        };
        let found = match start(Speech::Channel) {
            Err(failed) if failed.log.contains(old::UNKNOWN) => Ok(by(Speech::Old)),
            Err(failed) if failed.log.contains(NO_CHANNEL) => start(Speech::Stdio),
            found => found,
        };
        found.map_err(|failed| unusable(failed.error))
    }

    /// Sends a request without waiting for the answer, so that several workers can work at once.
    pub fn say(&mut self, request: &Request) -> Result<()> {
        if let Request::Begin(job) = request {
            self.cells.clone_from(&job.cells);
        }
        self.asked = self.words(request);
        let line = if self.speech == Speech::Old { old::request(request) } else { serde_json::to_string(request) };
        let line = line.map_err(|e| Error::failed(format!("{}: cannot write a request: {e}", self.label)))?;
        // Where it has ended, what it said before, or its last line, says why.
        self.channel.say(&line).map_err(|_| self.hear_no_answer())
    }

    /// The error that says why a worker ended or gave up when no answer was due.
    pub fn hear_no_answer(&mut self) -> Error {
        self.hear().map_or_else(|error| error, |_| self.out_of_turn())
    }

    /// Waits for the worker's answer to the last request.
    ///
    /// # Errors
    /// What the worker says is wrong, with its exit code; else that it is late, has ended or talks nonsense, with the
    /// request; exit 130 when the user interrupted.
    pub fn hear(&mut self) -> Result<Reply> {
        self.hear_within(self.patience.answer())
    }

    /// Sends a request and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.say(request)?;
        self.hear()
    }

    fn hear_within(&mut self, patience: Duration) -> Result<Reply> {
        let line = match self.channel.hear(patience, || !interrupt::requested()) {
            Ok(line) => line,
            Err(Silence::Late) => return Err(self.late(patience)),
            Err(Silence::Closed) => return Err(self.ended()),
            Err(Silence::Stopped) => return Err(stopped_by_user()),
            Err(Silence::Nonsense(text)) => return Err(self.nonsense(&text)),
        };
        let reply = if self.speech == Speech::Old { old::reply(&line) } else { serde_json::from_str(&line).ok() };
        match reply {
            Some(Reply::Error { exit, message }) => Err(told(exit, format!("{}: {message}", self.label))),
            Some(reply) => Ok(reply),
            None => Err(self.nonsense(&line)),
        }
    }

    /// Waits for the answer as long as `stuck` does not say that none will come.
    pub fn hear_unless(&mut self, stuck: impl Fn() -> bool) -> Heard {
        let patience = self.patience.answer();
        match self.channel.hear(patience, || !interrupt::requested() && !stuck()) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(Reply::Error { exit, message }) => Heard::Error(told(exit, message)),
                Ok(reply) => Heard::Reply(reply),
                Err(_) => Heard::Error(self.nonsense(&line)),
            },
            Err(Silence::Stopped) if interrupt::requested() => Heard::Error(stopped_by_user()),
            Err(Silence::Stopped | Silence::Late) => Heard::Stuck,
            Err(Silence::Nonsense(text)) => Heard::Error(self.nonsense(&text)),
            Err(Silence::Closed) => {
                let status = self.wait(STOPPING);
                if interrupt::requested() {
                    return Heard::Error(stopped_by_user());
                }
                Heard::Ended(status.as_ref().map_or_else(|| "closed its channel".into(), describe))
            }
        }
    }

    /// Whether it has said something that was not heard yet.
    pub fn has_spoken(&mut self) -> bool {
        self.channel.has_more()
    }

    /// Sets the name that errors give to the work under way, for work that is ordered by another way than a request.
    pub fn name(&mut self, work: String) {
        self.asked = work;
    }

    /// Whether the worker's process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// How long this worker may be silent.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Sets how long answers may take from now on, for tests.
    #[cfg(test)]
    pub fn impatient(&mut self, patience: Duration) {
        self.patience = Patience(Some(patience));
    }

    /// Notes that another has waited for the worker's end: its process id may be another process's by now.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub fn reaped(&mut self) {
        self.reaped = true;
    }

    /// The worker's process id.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The error of a worker that answered something else than what was asked.
    pub fn out_of_turn(&self) -> Error {
        Error::failed(format!("{}: the worker answered `{}` with something else", self.label, self.asked))
    }

    /// The error of a worker that said nothing in time.
    pub fn late(&self, patience: Duration) -> Error {
        let (label, asked, seconds) = (&self.label, &self.asked, patience.as_secs_f64());
        Error::failed(format!("{label}: the worker did not answer `{asked}` within {seconds} s"))
    }

    fn nonsense(&self, line: &str) -> Error {
        let quoted: String = line.chars().take(LONGEST_QUOTE).collect();
        let (label, asked, what) = (&self.label, &self.asked, "something that is not the protocol");
        Error::failed(format!("{label}: the worker answered `{asked}` with {what}: {quoted:?}"))
    }

    /// The error of a worker that closed its end of the channel, as a worker that ends does.
    pub fn ended(&mut self) -> Error {
        let status = self.wait(STOPPING);
        if interrupt::requested() || status.as_ref().is_some_and(by_ctrl_c) {
            return stopped_by_user();
        }
        self.ended_with(&status.as_ref().map_or_else(|| "closed its channel".into(), describe))
    }

    /// The error of a worker whose end its follower saw; `how` says how it ended.
    pub fn ended_with(&self, how: &str) -> Error {
        let (label, asked) = (&self.label, &self.asked);
        let last = self.log.last_line().map_or_else(String::new, |line| format!(": {line}"));
        Error::failed(format!("{label}: the worker {how} while asked to `{asked}`{last}"))
    }

    /// Tells the worker to stop, and kills it if it does not.
    pub fn stop(mut self) {
        let asked = serde_json::to_string(&Request::Stop).is_ok_and(|line| self.channel.say(&line).is_ok());
        if asked && self.speech != Speech::Old {
            self.wait(STOPPING);
        }
    }

    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < patience => std::thread::sleep(LOOK),
                _ => return None,
            }
        }
    }

    /// Describes a cell of the job by its number: `gemv 6912x2560 of avx2-i8`.
    pub fn cell_in_words(&self, cell: usize) -> String {
        self.cells.get(cell).map_or_else(|| format!("cell {cell}"), ToString::to_string)
    }

    fn words(&self, request: &Request) -> String {
        match request {
            Request::Begin(_) => "begin".into(),
            Request::Prepare { cell, .. } => format!("prepare {}", self.cell_in_words(*cell)),
            Request::Text { kernel } => format!("generate and score text with {kernel}"),
            Request::Count { kernel } => format!("count the instructions of {kernel}"),
            Request::Call(call) => {
                format!("call {} of {}", titles::product(call.op, call.m, call.k, call.tokens), call.kernel)
            }
            Request::Load(load) => format!("load {}", load.library),
            Request::Size { kernel } => format!("say how large {kernel} packs"),
            Request::Verify { kernel } => format!("verify {kernel}"),
            Request::Measure(cell) => format!("measure {cell}"),
            Request::Voice(job) => format!("load {} for {}", job.model, job.kernel),
            Request::Compose(job) => format!("generate {} tokens", job.max_tokens),
            Request::Continue => "decode".into(),
            Request::Turn(job) => format!("feed {} tokens", job.ids.len()),
            Request::Score(job) => format!("score {} tokens", job.tokens.len()),
            Request::Stop => "stop".into(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        #[cfg(unix)]
        if self.own_group && !self.reaped {
            let group = nix::unistd::Pid::from_raw(self.child.id() as i32);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        if !self.reaped {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The error of a program that cannot be used: exit 5, unless the user stopped it.
pub fn unusable(error: Error) -> Error {
    error.reword(Error::unsupported)
}

fn stopped_by_user() -> Error {
    Error::interrupted("interrupted while a worker was at work")
}

/// An error of the worker, with its exit code.
fn told(exit: u8, message: String) -> Error {
    match exit {
        code if code == Exit::Unsupported as u8 => Error::unsupported(message),
        code if code == Exit::Input as u8 => Error::input(message),
        code if code == Exit::Interrupted as u8 => Error::interrupted(message),
        _ => Error::failed(message),
    }
}

#[cfg(unix)]
fn by_ctrl_c(status: &ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(nix::sys::signal::Signal::SIGINT as i32)
}

#[cfg(not(unix))]
fn by_ctrl_c(_: &ExitStatus) -> bool {
    false
}

/// How a process ended, as a verb: `was ended by signal 11 SIGSEGV`.
#[cfg(unix)]
pub fn describe(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(number)) => {
            let name = nix::sys::signal::Signal::try_from(number).map_or("", nix::sys::signal::Signal::as_str);
            format!("was ended by signal {number} {name}").trim_end().to_owned()
        }
        (None, None) => "ended".into(),
    }
}

/// How a process ended, as a verb.
#[cfg(not(unix))]
pub fn describe(status: &ExitStatus) -> String {
    format!("ended ({status})")
}
