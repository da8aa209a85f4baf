//! What is gated: two programs, and the three processes of a pair.

use super::process::Process;
use super::scratch::make_executable;
use crate::error::{Error, Exit, Result};
use crate::machine::Machine;
use crate::scenario::Scenario;
use crate::worker::parent::{Patience, Worker};
use crate::worker::protocol::Job;
use crate::worker::start::Program;
use receipt::judge::gate::{BASELINE, BASELINE_AGAIN, CURRENT};
use receipt::{ExactCheck, Injection};
use std::fs;
use std::path::{Path, PathBuf};

/// What to gate.
pub struct Asked<'a> {
    /// Name of the other build, for messages.
    pub label: String,
    /// The build measured against.
    pub baseline: PathBuf,
    /// The build that is judged.
    pub current: PathBuf,
    /// Its shapes are timed, and decoding and prefill if it generates.
    pub scenario: &'a Scenario,
    /// Whether a large model is decoded too.
    pub full: bool,
    /// Kernels; all that both builds have and this CPU runs by default.
    pub kernels: Option<Vec<String>>,
    /// Threads and features of the workers.
    pub machine: &'a Machine,
    /// Seed of data and order.
    pub seed: u64,
    /// Smallest slowdown that matters.
    pub delta: f64,
    /// A slowdown to plant in the current side.
    pub inject: Option<Injection>,
    /// Size of the last-level cache.
    pub last_level_cache_bytes: u64,
    /// What the baseline computed when it was saved, if it was.
    pub stored: Vec<ExactCheck>,
}

/// The two executables, and where their processes may write.
pub struct Sides {
    /// The build measured against.
    pub baseline: Program,
    /// The build that is judged.
    pub current: Program,
    /// SHA-256 of each.
    pub sha256: [String; 2],
    /// For control blocks.
    pub folder: PathBuf,
}

impl Sides {
    /// Copies of both, because another build in the workspace may overwrite the programs while the gate runs.
    pub fn new(asked: &Asked<'_>, folder: &Path) -> Result<Self> {
        let patience = Patience::from_environment()?;
        let baseline = kept_copy(&asked.baseline, &folder.join("a"))?;
        let current = kept_copy(&asked.current, &folder.join("b"))?;
        Ok(Self {
            baseline: Worker::find("the baseline", &baseline.0, patience)?,
            current: Worker::find("the current build", &current.0, patience)?,
            sha256: [baseline.1, current.1],
            folder: folder.to_owned(),
        })
    }

    /// One process of a side, for what is not timed.
    pub fn process(&self, column: usize, job: &Job) -> Result<Process> {
        Process::start(LABELS[column], self.program(column), job.clone(), &self.folder, column)
    }

    fn program(&self, column: usize) -> &Program {
        if column == CURRENT { &self.current } else { &self.baseline }
    }
}

const LABELS: [&str; 3] = ["the baseline", "the current build", "the baseline's second process"];

/// A process of a pair that failed at what it was asked for.
pub struct Failed {
    /// Which.
    pub column: usize,
    /// Its error names the request.
    pub error: Error,
}

impl Failed {
    /// Whether the user, and not the process, ended it.
    pub fn interrupted(&self) -> bool {
        self.error.exit() == Exit::Interrupted
    }
}

/// The processes of one pair, by column of a round: baseline, current, and the baseline again.
pub struct Trio([Process; 3]);

impl Trio {
    /// Starts all three, each from a fresh copy of its program. Only the current side gets the planted slowdown.
    ///
    /// The system keeps a program's file at one place in memory for all processes that run it. That place can make a
    /// kernel that streams its weights 10% slower (measured: two copies of one program, the same difference in 16
    /// process pairs). With one copy for all pairs the difference would look like one of the builds; with one copy for
    /// both processes of the baseline the A/A pair would not show it.
    pub fn start(sides: &Sides, job: &Job) -> Result<Self> {
        let plain = Job { inject: None, ..job.clone() };
        let start = |column: usize| -> Result<Process> {
            let (program, job) = (sides.program(column), if column == CURRENT { job } else { &plain });
            let path = fresh_copy(&program.path, &sides.folder.join(format!("program-{column}")))?;
            let copy = Program { path, ..program.clone() };
            let process = Process::start(LABELS[column], &copy, job.clone(), &sides.folder, column)?;
            // The process runs, so the file can go; it is removed before the system writes it to the disk.
            fs::remove_file(&copy.path).map_err(|e| Error::io("remove", &copy.path, &e))?;
            Ok(process)
        };
        Ok(Self([start(BASELINE)?, start(CURRENT)?, start(BASELINE_AGAIN)?]))
    }

    /// One of them.
    pub fn side(&mut self, column: usize) -> &mut Process {
        &mut self.0[column]
    }

    /// Makes a cell ready everywhere; returns the hashes of the baseline's and the current output. The baseline's two
    /// processes must agree.
    pub fn prepare(&mut self, cell: usize, oracle: bool) -> std::result::Result<[String; 2], Failed> {
        let asked = self.0.each_mut().map(|process| process.prepare(cell, oracle));
        let heard = |(process, asked): (&mut Process, Result<()>)| asked.and_then(|()| process.prepared());
        let answers: Vec<Result<String>> = self.0.iter_mut().zip(asked).map(heard).collect();
        let (mut hashes, mut failed) = (Vec::new(), Vec::new());
        for (column, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(hash) => hashes.push(hash),
                Err(error) => failed.push(Failed { column, error }),
            }
        }
        // What the current build does wrong is what the gate is for, so it is named first.
        failed.sort_by_key(|f| (!f.interrupted(), f.column != CURRENT));
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

    /// Lets all leave the cell.
    pub fn leave(&self) {
        self.0.iter().for_each(Process::leave);
    }

    /// Tells all to stop.
    pub fn stop(self) {
        self.0.into_iter().for_each(Process::stop);
    }
}

/// A copy, and its hash.
fn kept_copy(binary: &Path, folder: &Path) -> Result<(PathBuf, String)> {
    let copy = fresh_copy(binary, folder)?;
    let bytes = fs::read(&copy).map_err(|e| Error::io("read", &copy, &e))?;
    Ok((copy, model::hash::sha256_hex(&bytes)))
}

/// `folder/program`. All copies have paths of the same length, because the length of a program's path moves its stack.
fn fresh_copy(binary: &Path, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, &e))?;
    let copy = folder.join("program");
    let bytes = fs::read(binary).map_err(|e| Error::io("read the program", binary, &e))?;
    // Written byte by byte, not cloned: copies that share blocks on the disk may share their place in memory.
    fs::write(&copy, bytes).map_err(|e| Error::io("write", &copy, &e))?;
    make_executable(&copy)?;
    Ok(copy)
}
