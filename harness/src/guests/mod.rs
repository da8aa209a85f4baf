//! Foreign kernels as this program sees them: what a library says of itself, and a process for each kernel, in which
//! the library is loaded. Nothing of it ever runs in this process.

mod process;

pub use process::{Failed, Process, excuse};

use crate::count::Subject;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::output::note;
use crate::progress::Progress;
use crate::worker::protocol::{GuestReady, JobCell, Load};
use crate::{interrupt, operation, registered};
use clap::Args;
use kernels::{ActivationRule, Family};
use model::hash::sha256_hex;
use receipt::{KernelRecord, RowStatus, VerifyRecord, WithoutTime};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The flag that names libraries.
#[derive(Args, Clone, Debug, Default)]
pub struct GuestArgs {
    /// A shared library with kernels (kernels/include/tritbench.h), which is loaded and run; may be given several times
    #[arg(long, value_name = "FILE")]
    pub kernel_library: Vec<PathBuf>,
}

/// The libraries of a run and their kernels.
pub struct Guests {
    /// How processes are begun; the library and the control file differ.
    begin: Load,
    folder: Option<TempDir>,
    kernels: Vec<Guest>,
    started: Cell<usize>,
    /// Which activations share a scale in whole texts.
    rule: ActivationRule,
}

/// A foreign kernel.
struct Guest {
    record: KernelRecord,
    library: PathBuf,
    /// Its process, between requests.
    process: Option<Process>,
    /// Why it is not measured any more.
    lost: Option<String>,
}

impl Guests {
    /// No libraries.
    pub fn none() -> Self {
        Self {
            begin: Load::default(),
            folder: None,
            kernels: Vec::new(),
            started: Cell::new(0),
            rule: ActivationRule::Token,
        }
    }

    /// Loads the libraries, each in a process of its own, and reads what is in them. What is loaded is said first.
    ///
    /// # Errors
    /// One line with file and field (exit 2) for what is no library of tritbench.h, or cannot be loaded.
    pub fn open(args: &GuestArgs, machine: &Machine, seed: u64) -> Result<Self> {
        let mut this = Self::none();
        if args.kernel_library.is_empty() {
            return Ok(this);
        }
        if cfg!(not(target_os = "linux")) {
            return Err(Error::unsupported("--kernel-library: libraries are loaded on Linux only"));
        }
        if cfg!(all(target_env = "musl", target_feature = "crt-static")) {
            return Err(Error::unsupported(
                "--kernel-library: this program is linked statically and can load nothing; build it with cargo install",
            ));
        }
        let folder = TempDir::with_prefix("tritbench-");
        this.folder = Some(folder.map_err(|e| Error::io("create a folder in", &std::env::temp_dir(), &e))?);
        let (threads, cpu_features) = (machine.threads, machine.mask().map(str::to_owned));
        let cpu = machine.cpus_for_pairs().first().copied().filter(|_| machine.is_pinned() && threads == 1);
        this.begin = Load { seed, threads, cpu, cpu_features, ..Load::default() };
        for path in &args.kernel_library {
            this.library(path)?;
        }
        Ok(this)
    }

    fn library(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, &e))?;
        let sha256 = sha256_hex(&bytes);
        drop(bytes);
        note(format!("loading {} in a process of its own, sha256 {sha256}", path.display()));
        let (process, kernels) = self.start(path).map_err(|failed| match failed {
            Failed::Run(error) => error,
            Failed::Row { status, why } => {
                Error::input(format!("--kernel-library {}: {status}: {why}", path.display()))
            }
        })?;
        let mut process = Some(process);
        let file =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        for mut record in kernels {
            let taken =
                self.kernels.iter().any(|guest| guest.record.id == record.id) || registered::find(&record.id).is_some();
            if taken {
                let (path, id) = (path.display(), &record.id);
                return Err(Error::input(format!(
                    "--kernel-library {path}: kernel {id}: id is taken by another kernel"
                )));
            }
            if let Some(foreign) = &mut record.foreign {
                (foreign.library, foreign.sha256) = (file.clone(), sha256.clone());
            }
            // The first call of one of its functions: what it does wrong there, its suite says.
            let asked = process.as_mut().filter(|_| record.available).map(|p| p.bits_per_weight(&record.id));
            match asked {
                Some(Ok(Some(bits))) => record.bits_per_weight = bits,
                Some(Err(Failed::Run(error))) => return Err(error),
                Some(Err(Failed::Row { .. })) => process = None,
                Some(Ok(None)) | None => {}
            }
            self.kernels.push(Guest { record, library: path.to_path_buf(), process: None, lost: None });
        }
        Ok(())
    }

    fn start(&self, library: &Path) -> std::result::Result<(Process, Vec<KernelRecord>), Failed> {
        let folder = self.folder.as_ref().ok_or_else(|| Error::failed("no library was opened"))?;
        self.started.set(self.started.get() + 1);
        let control = folder.path().join(format!("control-{}", self.started.get()));
        let load = Load { library: library.display().to_string(), ..self.begin.clone() };
        Process::start(load, &control)
    }

    /// What the libraries say of their kernels.
    pub fn records(&self) -> impl Iterator<Item = &KernelRecord> {
        self.kernels.iter().map(|guest| &guest.record)
    }

    /// Id of the kernel that this one builds on, ours or a library's, if it builds on one.
    pub fn builds_on(&self, id: &str) -> Option<String> {
        let theirs = self.records().find(|record| record.id == id).map(|record| record.builds_on.clone());
        theirs.unwrap_or_else(|| registered::builds_on(id))
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// Takes the ids of libraries' kernels out of a list of names, and leaves ours. Where it names some of theirs, the
    /// others are left out; else all of theirs are taken: whoever names a library wants to see it.
    ///
    /// # Errors
    /// One of theirs that is named and that this CPU cannot run, as for ours (exit 5).
    pub fn take_named(&mut self, ids: Option<Vec<String>>) -> Result<Option<Vec<String>>> {
        let theirs = |id: &String| self.records().any(|record| record.id == *id);
        let Some(ids) = ids else { return Ok(None) };
        let (theirs, ours): (Vec<String>, Vec<String>) = ids.into_iter().partition(theirs);
        if !theirs.is_empty() {
            self.kernels.retain(|guest| theirs.contains(&guest.record.id));
            if let Some(reason) = self.records().find_map(|record| record.reason.as_ref()) {
                return Err(Error::unsupported(format!("{reason}; `list kernels` shows what runs here")));
            }
        }
        Ok(Some(ours))
    }

    /// Sets how much memory the copies of weights that come from memory must exceed.
    pub fn last_level_cache(&mut self, bytes: u64) {
        self.begin.last_level_cache_bytes = bytes;
        // Those that run were begun with another size.
        self.kernels.iter_mut().for_each(|guest| guest.process = None);
    }

    /// Runs the suite of every kernel. One that fails has no time from here on.
    ///
    /// # Errors
    /// An interrupt.
    pub fn verify(&mut self) -> Result<Vec<VerifyRecord>> {
        let mut records = Vec::new();
        if self.is_empty() {
            return Ok(records);
        }
        let progress = Progress::start("verifying kernels of libraries", self.kernels.len() as u64);
        for index in 0..self.kernels.len() {
            interrupt::check("interrupted while verifying kernels of libraries")?;
            let record = self.kernels[index].record.clone();
            progress.step(index, format!("verifying {}", record.id));
            let verified = match &record.reason {
                Some(reason) => without_suite(&record, RowStatus::Unsupported, reason.clone()),
                None => match self.process(index).and_then(|process| process.verify(&record.id)) {
                    Ok(verified) => verified,
                    Err(Failed::Row { status, why }) => without_suite(&record, status, why),
                    Err(Failed::Run(error)) => return Err(error),
                },
            };
            self.kernels[index].process = None;
            let why =
                |status| format!("{status}: {}", verified.first_mismatch.as_deref().unwrap_or("it does not run here"));
            self.kernels[index].lost = Some(verified.row_status()).filter(|status| !status.is_ok()).map(why);
            records.push(verified);
        }
        Ok(records)
    }

    /// Those that may be timed and have this operation and family. A kernel of integers that applies scales has that of
    /// groups too, where those of the cell are its own.
    pub fn to_time(&self, cell: &JobCell) -> Vec<usize> {
        let able = |guest: &Guest| {
            guest.lost.is_none()
                && guest.record.available
                && (guest.record.family == cell.family || applies(&guest.record, cell))
                && guest.record.ops.contains(&cell.op)
        };
        (0..self.kernels.len()).filter(|index| able(&self.kernels[*index])).collect()
    }

    /// Those that may be counted and have this operation.
    pub fn to_count(&self, op: receipt::Operation) -> Vec<usize> {
        let able = |guest: &Guest| guest.lost.is_none() && guest.record.available && guest.record.ops.contains(&op);
        (0..self.kernels.len()).filter(|index| able(&self.kernels[*index])).collect()
    }

    /// A kernel as what is counted.
    pub fn subject(&self, index: usize) -> Subject<'_> {
        let guest = &self.kernels[index];
        Subject { id: &guest.record.id, library: Some(&guest.library) }
    }

    /// Why a kernel has no time, if its suite or this CPU says so.
    pub fn without_time(&self, id: &str) -> Option<String> {
        let guest = self.kernels.iter().find(|guest| guest.record.id == id)?;
        guest.lost.clone().or_else(|| guest.record.reason.clone())
    }

    /// Paths of the libraries, each once, as a worker finds them.
    pub fn libraries(&self) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        for path in self.kernels.iter().map(|guest| guest.library.display().to_string()) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }

    /// Says by which rule activations share scales in whole texts.
    pub fn speak_by(&mut self, rule: ActivationRule) {
        self.rule = rule;
    }

    /// Those that may generate texts: none by another rule than one scale a token, which is all that the interface has.
    pub fn to_speak(&self) -> Vec<usize> {
        if self.rule == ActivationRule::Token { self.to_count(receipt::Operation::Gemv) } else { Vec::new() }
    }

    /// Those that could but for the rule of activations, with the reason.
    pub fn mute(&self) -> Vec<WithoutTime> {
        if self.rule == ActivationRule::Token {
            return Vec::new();
        }
        let unsupported = |index| {
            let kernel = self.record(index).id.clone();
            let why = format!("kernel {kernel} takes activations by the rule token, not {}", self.rule);
            WithoutTime { kernel, status: RowStatus::Unsupported, why }
        };
        self.to_count(receipt::Operation::Gemv).into_iter().map(unsupported).collect()
    }

    /// Whether a kernel's sums are integers.
    pub fn is_exact(&self, id: &str) -> bool {
        self.records().any(|record| record.id == id && record.exact)
    }

    /// Family of a kernel.
    pub fn family(&self, index: usize) -> Family {
        operation::family_of_kernels(self.kernels[index].record.family)
    }

    /// A new process for a kernel, in which nothing was computed yet: none that remembers an earlier text.
    pub fn fresh(&self, index: usize) -> std::result::Result<Process, Failed> {
        self.start(&self.kernels[index].library).map(|(process, _)| process)
    }

    /// Seed of the operands.
    pub fn seed(&self) -> u64 {
        self.begin.seed
    }

    /// Whether one that runs here has an operation.
    pub fn have(&self, op: receipt::Operation) -> bool {
        self.records().any(|record| record.available && record.ops.contains(&op))
    }

    /// The record of a kernel.
    pub fn record(&self, index: usize) -> &KernelRecord {
        &self.kernels[index].record
    }

    /// Makes a kernel ready for a cell, in its process.
    pub fn prepare(&mut self, index: usize, cell: &JobCell) -> std::result::Result<GuestReady, Failed> {
        let cell = JobCell { kernel: self.kernels[index].record.id.clone(), ..cell.clone() };
        let ready = self.process(index).and_then(|process| process.measure(cell));
        if ready.is_err() {
            self.kernels[index].process = None;
        }
        ready
    }

    /// The processes of these kernels, which are ready, to take turns; given back with [`Self::give_back`].
    pub fn take(&mut self, index: usize) -> Option<Process> {
        self.kernels[index].process.take()
    }

    /// Takes a process back that has left its cell.
    pub fn give_back(&mut self, index: usize, process: Process) {
        self.kernels[index].process = Some(process);
    }

    fn process(&mut self, index: usize) -> std::result::Result<&mut Process, Failed> {
        if self.kernels[index].process.is_none() {
            let library = self.kernels[index].library.clone();
            let (process, _) = self.start(&library)?;
            self.kernels[index].process = Some(process);
        }
        let process = self.kernels[index].process.as_mut();
        process.ok_or_else(|| Error::failed("a process was started and is not there").into())
    }
}

/// Whether a kernel applies the scales of a cell of groups: so many weights and activations share one as it says.
fn applies(record: &KernelRecord, cell: &JobCell) -> bool {
    let (Some(foreign), Some(scaling)) = (&record.foreign, cell.scaling()) else { return false };
    let own = (foreign.weight_group.as_str(), foreign.act_group.as_str());
    let asked = (scaling.weight_group.to_string(), scaling.activations.name());
    record.family == receipt::Family::W2A8 && foreign.output == "f32" && own == (asked.0.as_str(), asked.1)
}

/// The record of a kernel whose suite did not end.
fn without_suite(record: &KernelRecord, status: RowStatus, why: String) -> VerifyRecord {
    let available = status != RowStatus::Unsupported;
    VerifyRecord {
        id: record.id.clone(),
        available,
        reason: (!available).then(|| why.clone()),
        exact: record.exact,
        cases: 0,
        mismatches: usize::from(available),
        max_abs_error: 0.0,
        max_relative_error: 0.0,
        bound: 0.0,
        first_mismatch: available.then_some(why),
        status: if available { status } else { RowStatus::Ok },
    }
}
