//! One side of a gate: a worker of one of the two builds with its control block.

use crate::error::Result;
use crate::interrupt;
use crate::measure::rounds::Spent;
use crate::worker::control::{Control, Order};
use crate::worker::parent::{Patience, Worker, unusable};
use crate::worker::protocol::{Job, Ready, Reply, Request, TextResult};
use crate::worker::start::{Program, Setting};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the gate waits for an epoch before it looks whether the worker still runs and Ctrl-C was pressed.
const SLICE: Duration = Duration::from_millis(200);

/// A worker of one build in a gate's session. Dropping it ends it.
pub struct Process {
    worker: Worker,
    control: Control,
    cell: usize,
    /// What the worker was built from, and what it can do.
    pub ready: Ready,
}

impl Process {
    /// Starts a worker of `program` for `job`; `folder` is for its control block, `number` tells it from its partners.
    pub fn start(label: &str, program: &Program, mut job: Job, folder: &Path, number: usize) -> Result<Self> {
        let path = folder.join(format!("control-{number}"));
        let control = Control::create(&path)?;
        job.control = path.display().to_string();
        let worker = Worker::start(label, program, Setting::default(), Patience::from_environment()?);
        let mut worker = worker.map_err(|failed| unusable(failed.error))?;
        match worker.ask(&Request::Begin(Box::new(job))) {
            Ok(Reply::Ready(ready)) => Ok(Self { worker, control, cell: 0, ready: *ready }),
            Ok(_) => Err(worker.out_of_turn()),
            // A build that cannot begin is none that can be gated.
            Err(error) => Err(unusable(error)),
        }
    }

    /// Asks the worker to prepare a cell without waiting for it, so that all workers prepare at once.
    pub fn prepare(&mut self, cell: usize, oracle: bool) -> Result<()> {
        self.cell = cell;
        self.worker.say(&Request::Prepare { cell, oracle })
    }

    /// Waits until the cell asked for is prepared; returns the SHA-256 of its output.
    pub fn prepared(&mut self) -> Result<String> {
        match self.worker.hear()? {
            Reply::Prepared { output } => Ok(output),
            _ => Err(self.worker.out_of_turn()),
        }
    }

    /// Token ids and perplexity that the worker computes with a kernel and the built-in model.
    pub fn text(&mut self, kernel: &str) -> Result<TextResult> {
        match self.worker.ask(&Request::Text { kernel: kernel.into() })? {
            Reply::Text(result) => Ok(result),
            _ => Err(self.worker.out_of_turn()),
        }
    }

    /// Instructions of one call of a kernel, `None` if they cannot be counted here, and in words what was called.
    pub fn count(&mut self, kernel: &str) -> Result<(Option<u64>, String)> {
        match self.worker.ask(&Request::Count { kernel: kernel.into() })? {
            Reply::Counted { instructions, subject } => Ok((instructions, subject)),
            _ => Err(self.worker.out_of_turn()),
        }
    }

    /// Runs one epoch of `calls` calls of the prepared cell and waits for the times that it took.
    pub fn run(&mut self, calls: u32) -> Result<Spent> {
        self.control.order(Order::Run(calls));
        let (start, patience) = (Instant::now(), self.worker.patience().answer());
        loop {
            if let Some(spent) = self.control.spent(SLICE) {
                return Ok(spent);
            }
            interrupt::check("interrupted during the gate; what was measured is saved")?;
            let (ended, late) = (self.worker.has_ended(), start.elapsed() > patience);
            if ended || late {
                self.worker.name(format!("run {calls} calls of {}", self.worker.cell_in_words(self.cell)));
            }
            if ended {
                return Err(self.worker.hear_no_answer());
            }
            if late {
                return Err(self.worker.late(patience));
            }
        }
    }

    /// Lets the worker leave the cell.
    pub fn leave(&self) {
        self.control.order(Order::Leave);
    }

    /// Tells the worker to stop.
    pub fn stop(self) {
        self.worker.stop();
    }
}
