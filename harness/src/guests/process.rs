//! A process with a library in it. However it ends, that is a row and never the end of the run.

use crate::build_info;
use crate::error::Error;
use crate::interrupt;
use crate::measure::rounds::Spent;
use crate::worker::composition::{Composed, JobComposition, JobScore, JobTurn, JobVoice, Scored, Turned, Voiced};
use crate::worker::control::{Control, Order};
use crate::worker::parent::{Heard, Patience, Worker};
use crate::worker::protocol::{GuestReady, JobCell, Load, Reply, Request};
use crate::worker::start::{Program, Setting, Speech};
use receipt::{KernelRecord, RowStatus, VerifyRecord, WithoutTime};
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A call into foreign code that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a process that is silent.
const SLICE: Duration = Duration::from_millis(200);

/// Why there is no answer.
#[derive(Debug)]
pub enum Failed {
    /// The kernel's row says so.
    Row { status: RowStatus, why: String },
    /// The run ends: the user stopped it, or this program is at fault.
    Run(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Row { status, why } => Self::failed(format!("{status}: {why}")),
            Failed::Run(error) => error,
        }
    }
}

type Result<T> = std::result::Result<T, Failed>;

/// Takes what a kernel did wrong to `without_time`; it has no time then.
///
/// # Errors
/// What ends the run, and is no kernel's.
pub fn excuse<T>(
    kernel: &str,
    made: Result<T>,
    without_time: &mut Vec<WithoutTime>,
) -> std::result::Result<Option<T>, Error> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(Failed::Run(error)) => Err(error),
        Err(Failed::Row { status, why }) => {
            without_time.push(WithoutTime { kernel: kernel.into(), status, why });
            Ok(None)
        }
    }
}

/// The process. Dropping it kills it, and what it started.
pub struct Process {
    worker: Worker,
    control: Control,
    /// Whether the library is loaded: what is wrong before that is wrong with the command line.
    loaded: bool,
}

impl Process {
    /// Starts a process and loads the library in it; also gives what the library says of its kernels.
    pub fn start(mut load: Load, control: &Path) -> Result<(Self, Vec<KernelRecord>)> {
        let map = Control::create(control)?;
        load.control = control.display().to_string();
        let program = Program { path: build_info::own_program(), speech: Speech::Channel };
        let setting = Setting { own_group: true, ..Setting::default() };
        let worker = Worker::start("a worker for a library", &program, setting, Patience::from_environment()?);
        let mut this = Self { worker: worker.map_err(|failed| failed.error)?, control: map, loaded: false };
        match this.ask(&Request::Load(Box::new(load)))? {
            Reply::Loaded { kernels } => {
                this.loaded = true;
                Ok((this, kernels))
            }
            _ => Err(this.worker.out_of_turn().into()),
        }
    }

    /// Bits that a weight takes as this kernel packs it, if its library says so.
    pub fn bits_per_weight(&mut self, kernel: &str) -> Result<Option<f64>> {
        match self.ask(&Request::Size { kernel: kernel.into() })? {
            Reply::Sized { bits_per_weight } => Ok(bits_per_weight),
            _ => Err(self.worker.out_of_turn().into()),
        }
    }

    /// Runs the suite of a kernel.
    pub fn verify(&mut self, kernel: &str) -> Result<VerifyRecord> {
        match self.ask(&Request::Verify { kernel: kernel.into() })? {
            Reply::Verified(record) => Ok(*record),
            _ => Err(self.worker.out_of_turn().into()),
        }
    }

    /// Makes a cell ready.
    pub fn measure(&mut self, cell: JobCell) -> Result<GuestReady> {
        match self.ask(&Request::Measure(Box::new(cell)))? {
            Reply::GuestReady(ready) => Ok(*ready),
            _ => Err(self.worker.out_of_turn().into()),
        }
    }

    /// Loads a model for texts with a kernel, if it is another, and makes a new decoder.
    pub fn voice(&mut self, job: &JobVoice) -> Result<Voiced> {
        match self.ask(&Request::Voice(Box::new(job.clone())))? {
            Reply::Voiced(voiced) => Ok(voiced),
            _ => Err(self.worker.out_of_turn().into()),
        }
    }

    /// Lets it generate a text. The times are of this process's clock: until the prompt is through, and from there on.
    pub fn compose(&mut self, job: &JobComposition) -> Result<(Composed, [Duration; 2])> {
        let start = Instant::now();
        let Reply::Prompted = self.ask(&Request::Compose(Box::new(job.clone())))? else {
            return Err(self.worker.out_of_turn().into());
        };
        let prefill = start.elapsed();
        let start = Instant::now();
        match self.ask(&Request::Continue)? {
            Reply::Composed(composed) => Ok((*composed, [prefill, start.elapsed()])),
            _ => Err(self.worker.out_of_turn().into()),
        }
    }

    /// Feeds a stretch of a text. The clock that counts is the process's own, right around the tokens: the way to it
    /// takes longer than a token of a small model. It cannot be ahead of this one.
    pub fn turn(&mut self, job: &JobTurn) -> Result<Turned> {
        let start = Instant::now();
        let reply = self.ask(&Request::Turn(Box::new(job.clone())))?;
        let Reply::Turned(turned) = reply else { return Err(self.worker.out_of_turn().into()) };
        within(turned.settling_ns.saturating_add(turned.spent.ns), start)?;
        Ok(*turned)
    }

    /// Lets it score a text.
    pub fn score(&mut self, job: &JobScore) -> Result<Scored> {
        match self.ask(&Request::Score(Box::new(job.clone())))? {
            Reply::Scored(scored) => Ok(scored),
            _ => Err(self.worker.out_of_turn().into()),
        }
    }

    /// Makes so many calls of the kernel that is ready.
    pub fn run(&mut self, calls: u32) -> Result<Spent> {
        let begun = Instant::now();
        self.control.order(Order::Run(calls));
        let stuck = Stuck::new(&self.control);
        loop {
            if let Some(spent) = self.control.spent(SLICE) {
                // The clock that counts is the process's own, right around the calls. It cannot be ahead of this one.
                return within(spent.ns, begun).map(|()| spent);
            }
            interrupt::check("interrupted while timing")?;
            if stuck.is_stuck() {
                return Err(self.hung());
            }
            if self.worker.has_ended() || self.worker.has_spoken() {
                // It says why, or how it ended.
                return Err(match self.hear() {
                    Ok(_) => self.worker.out_of_turn().into(),
                    Err(failed) => failed,
                });
            }
        }
    }

    /// Lets it leave the cell.
    pub fn leave(&self) {
        self.control.order(Order::Leave);
    }

    fn ask(&mut self, request: &Request) -> Result<Reply> {
        // Where it has ended, what it said before says why.
        if self.worker.say(request).is_err() {
            return self.hear();
        }
        self.hear()
    }

    fn hear(&mut self) -> Result<Reply> {
        let stuck = Stuck::new(&self.control);
        match self.worker.hear_unless(|| stuck.is_stuck()) {
            Heard::Reply(Reply::Fault { status, why }) => Err(Failed::Row { status, why }),
            Heard::Reply(reply) => Ok(reply),
            Heard::Error(error) if error.is_interrupt() || !self.loaded => Err(Failed::Run(error)),
            // Whatever foreign code brings a process to say ends its row, and not the run.
            Heard::Error(error) => Err(Failed::Row { status: RowStatus::Wrong, why: error.to_string() }),
            Heard::Stuck => Err(self.hung()),
            Heard::Ended(how) => {
                let note = self.control.note();
                let during = note.busy.load(Ordering::Relaxed) == 1;
                let call = note
                    .in_words()
                    .map_or_else(String::new, |call| format!(" {} {call}", if during { "in" } else { "after" }));
                Err(Failed::Row { status: RowStatus::Crashed, why: format!("its process {how}{call}") })
            }
        }
    }

    fn hung(&self) -> Failed {
        let call = self.control.note().in_words().unwrap_or_else(|| "its library".into());
        let why = format!("no end within {} s of {call}", PATIENCE.as_secs());
        Failed::Row { status: RowStatus::Hung, why }
    }
}

/// That a process does not count more time than has passed here.
fn within(ns: u64, begun: Instant) -> Result<()> {
    let here = begun.elapsed().as_nanos() as u64;
    if ns <= here {
        return Ok(());
    }
    let why = format!("its process counts {ns} ns where {here} ns have passed");
    Err(Failed::Row { status: RowStatus::Wrong, why })
}

/// Watches for a call that does not come back.
struct Stuck<'a> {
    control: &'a Control,
    /// The number of the call under way, and since when.
    seen: Cell<(u64, Instant)>,
}

impl<'a> Stuck<'a> {
    fn new(control: &'a Control) -> Self {
        let count = control.note().count.load(Ordering::Relaxed);
        Self { control, seen: Cell::new((count, Instant::now())) }
    }

    fn is_stuck(&self) -> bool {
        let note = self.control.note();
        let (count, busy) = (note.count.load(Ordering::Relaxed), note.busy.load(Ordering::Relaxed) == 1);
        let (seen, since) = self.seen.get();
        if count != seen || !busy {
            self.seen.set((count, Instant::now()));
            return false;
        }
        since.elapsed() > PATIENCE
    }
}
