//! What is gated: two programs, and the three processes of a pair.

use super::process::Process;
use super::program::{LABELS, Side, fresh_copy};
use crate::error::{Error, Result};
use crate::guests::Guests;
use crate::machine::Machine;
use crate::scenario::Scenario;
use crate::worker::protocol::Job;
use crate::worker::start::Program;
use receipt::judge::gate::{BASELINE, BASELINE_AGAIN, CURRENT};
use receipt::{ExactCheck, Injection};
use std::fs;
use std::path::Path;

/// What a gate is asked to compare, and how.
pub struct Asked {
    /// Name of the other build, for messages.
    pub label: String,
    /// The scenario whose shapes are timed, and decoding and prefill if it generates.
    pub scenario: Scenario,
    /// `--full`: whether a large model is decoded too.
    pub full: bool,
    /// Ids of the kernels to gate; all that both builds have and this CPU runs when absent.
    pub kernels: Option<Vec<String>>,
    pub machine: Machine,
    pub seed: u64,
    /// Smallest slowdown that matters, as a share: 0.03 is 3%.
    pub delta: f64,
    /// A slowdown to plant in the current side.
    pub inject: Option<Injection>,
    /// Kernels of libraries, which both builds load.
    pub guests: Guests,
    /// What the baseline computed when it was saved, if it was.
    pub stored: Vec<ExactCheck>,
}

/// The two builds, and where their processes may write.
pub struct Sides<'a> {
    pub baseline: Side,
    /// The commit that the baseline was built from, if the gate built it.
    pub commit: Option<String>,
    pub current: Side,
    /// Folder for control blocks and copies of the programs.
    pub folder: &'a Path,
}

impl Sides<'_> {
    /// Starts a single process of the build in `column`, for what is not timed.
    pub fn process(&self, column: usize, job: &Job) -> Result<Process> {
        Process::start(LABELS[column], self.program(column), job.clone(), self.folder, column)
    }

    fn program(&self, column: usize) -> &Program {
        if column == CURRENT { &self.current.program } else { &self.baseline.program }
    }
}

/// A failure of one process of a pair: which one, and its error.
pub struct Failed {
    /// Column of the process in a round: 0 to 2.
    pub column: usize,
    /// What went wrong; the error names the request.
    pub error: Error,
}

/// The three processes of one pair, by column of a round: baseline, current, and the baseline again.
pub struct Trio(pub [Process; 3]);

impl Trio {
    /// Starts all three, each from a fresh copy of its program. Only the current one gets the planted slowdown.
    ///
    /// The system keeps a program's file at one place in memory for all processes that run it. That place can make a
    /// kernel that streams its weights 10% slower (measured: two copies of one program, the same difference in 16
    /// process pairs). With one copy for all pairs the difference would look like one of the builds; with one copy for
    /// both processes of the baseline the A/A pair would not show it.
    pub fn start(sides: &Sides<'_>, job: &Job) -> Result<Self> {
        let plain = Job { inject: None, ..job.clone() };
        let start = |column: usize| -> Result<Process> {
            let (program, job) = (sides.program(column), if column == CURRENT { job } else { &plain });
            let path = fresh_copy(&program.path, &sides.folder.join(format!("program-{column}")))?;
            let copy = Program { path, ..program.clone() };
            let process = Process::start(LABELS[column], &copy, job.clone(), sides.folder, column)?;
            // The process runs, so the file can go; it is removed before the system writes it to the disk.
            fs::remove_file(&copy.path).map_err(|e| Error::io("remove", &copy.path, &e))?;
            Ok(process)
        };
        Ok(Self([start(BASELINE)?, start(CURRENT)?, start(BASELINE_AGAIN)?]))
    }

    /// Prepares a cell in all three. Returns the hashes of the baseline's output, on which its two processes must
    /// agree, and of the current one.
    pub fn prepare(&mut self, cell: usize, oracle: bool) -> std::result::Result<[String; 2], Failed> {
        let asked = self.0.each_mut().map(|process| process.prepare(cell, oracle));
        let (mut hashes, mut failed) = (Vec::new(), Vec::new());
        for (column, (process, asked)) in self.0.iter_mut().zip(asked).enumerate() {
            match asked.and_then(|()| process.prepared()) {
                Ok(hash) => hashes.push(hash),
                Err(error) => failed.push(Failed { column, error }),
            }
        }
        // What the current build does wrong is what the gate is for, so it is named first.
        failed.sort_by_key(|f| (!f.error.is_interrupt(), f.column != CURRENT));
        if let Some(first) = failed.into_iter().next() {
            return Err(first);
        }
        if hashes[BASELINE] != hashes[BASELINE_AGAIN] {
            let error = Error::failed("two processes of the baseline compute different results");
            return Err(Failed { column: BASELINE, error });
        }
        hashes.truncate(BASELINE_AGAIN);
        Ok([hashes.swap_remove(BASELINE), hashes.swap_remove(BASELINE)])
    }
}
