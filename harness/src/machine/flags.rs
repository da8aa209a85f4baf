//! The flags that every measuring command takes: threads, pinning, feature mask.

use crate::error::{Error, Result};
use crate::interrupt;
use crate::kernel_ids::in_registry_order;
use crate::machine::{host, memory};
use crate::progress::Progress;
use crate::registered;
use crate::scenario::L2;
use crate::words;
use clap::Args;
use kernels::parallel::Team;
use kernels::{CpuFeatures, Kernel, Needs};
use model::loading::Loading;
use receipt::Settings;

/// The flags that choose threads, pinning and CPU features of a run.
#[derive(Args, Clone, Debug, Default)]
pub struct MachineArgs {
    /// Threads that share the rows of each product. By default 1 to compare kernels; to generate and score, all CPUs
    /// for a model of 100 million weights and more, else 1
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Pin thread i to the i-th CPU that this process may use
    #[arg(long)]
    pin: bool,
    /// Use only these CPU features (for example avx2, or none), to see what another machine would do
    #[arg(long, value_name = "LIST")]
    cpu_features: Option<String>,
    /// Whether the CPUs were counted already, by the process that placed this one on some of them.
    #[arg(skip)]
    placed: bool,
}

/// What a run may use of this machine: threads, CPUs and features, from checked flags.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Threads that share the rows of each product.
    pub threads: usize,
    /// Threads for what is not measured: as many as asked for, else all CPUs.
    load_threads: usize,
    /// CPU features that kernels may use.
    pub features: CpuFeatures,
    mask: Option<String>,
    cpus: Vec<core_affinity::CoreId>,
}

/// Weights below which a whole token takes about as long as a few hundred meetings of threads.
const SMALL_MODEL_WEIGHTS: u64 = 100_000_000;

/// Far above any machine; catches typing errors before the threads start.
const MAX_THREADS: usize = 1024;

impl MachineArgs {
    /// The flags of a gate's worker, which the gate itself places on a CPU.
    pub fn for_child(threads: usize, cpu_features: Option<String>) -> Self {
        Self { threads: Some(threads), pin: false, cpu_features, placed: true }
    }

    /// Fills in absent flags: `threads` for `--threads`, `cpu_features` for `--cpu-features`.
    pub fn or_else(&self, threads: usize, cpu_features: Option<&str>) -> Self {
        let cpu_features = self.cpu_features.clone().or_else(|| cpu_features.map(str::to_owned));
        Self { threads: self.threads.or(Some(threads)), pin: self.pin, cpu_features, placed: self.placed }
    }

    /// The first of these flags that was given.
    #[cfg(feature = "gpu")]
    pub fn given(&self) -> Option<&'static str> {
        let flags = [("--threads", self.threads.is_some()), ("--pin", self.pin)];
        let flags = flags.into_iter().chain([("--cpu-features", self.cpu_features.is_some())]);
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// [`Self::check`] for a command that measures: says what will disturb it.
    pub fn to_measure(&self, default_threads: usize) -> Result<Machine> {
        let machine = self.check(default_threads)?;
        memory::warn_of_quota(machine.threads);
        Ok(machine)
    }

    /// Checks the flags; `default_threads` applies when `--threads` is absent. With `--pin` the calling thread is
    /// pinned here.
    pub fn check(&self, default_threads: usize) -> Result<Machine> {
        let threads = self.threads.unwrap_or(default_threads);
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Error::input(format!("--threads {threads} is not between 1 and {MAX_THREADS}")));
        }
        // More would wait for each other, and the waits would be timed.
        let cpus = host::cpus();
        if threads > cpus && !self.placed {
            let why = host::narrowed_by();
            return Err(Error::input(format!(
                "--threads {threads}: this process may use {cpus} CPU(s){why}; give at most --threads {cpus}"
            )));
        }
        let mask = match &self.cpu_features {
            Some(list) => CpuFeatures::parse(list).map_err(|e| Error::input(format!("--cpu-features: {e}")))?,
            None => CpuFeatures::detect(),
        };
        let features = CpuFeatures::detect().intersect(mask);
        // Counted before pinning leaves this thread, and those that it starts, with one CPU.
        let load_threads = self.threads.unwrap_or_else(host::cpus);
        let from_environment = || std::env::var(kernels::MASK_VARIABLE).ok().filter(|m| !m.is_empty());
        // In one spelling, which builds from before take too.
        let mask = self.cpu_features.clone().or_else(from_environment).map(|mask| words::list(&mask));
        let mut machine = Machine { threads, load_threads, features, mask, cpus: Vec::new() };
        if self.pin {
            machine.cpus = core_affinity::get_core_ids().unwrap_or_default();
            if machine.cpus.len() < threads {
                let available = machine.cpus.len();
                return Err(Error::input(format!(
                    "--pin needs a CPU for each of {threads} threads, there are {available}"
                )));
            }
            if !core_affinity::set_for_current(machine.cpus[0]) {
                return Err(Error::unsupported("--pin: the system refused to pin this thread; run without --pin"));
            }
        }
        Ok(machine)
    }
}

impl Machine {
    /// Takes 1 thread for models of few `ternary_weights`, unless `--threads` was given: products are so short that
    /// threads would only wait for each other.
    pub fn suit(mut self, args: &MachineArgs, ternary_weights: u64) -> Self {
        if args.threads.is_none() && ternary_weights < SMALL_MODEL_WEIGHTS {
            self.threads = 1;
        }
        self
    }

    /// A machine with one thread and these features, for tests.
    #[cfg(test)]
    pub fn for_tests(features: CpuFeatures) -> Self {
        Self { threads: 1, load_threads: 1, features, mask: None, cpus: Vec::new() }
    }

    /// Starts a team of `threads` threads, pinned if asked.
    pub fn team(&self) -> Result<Team> {
        self.team_with(self.threads)
    }

    /// Runs `work`, which loads a model or a part of one; shows `what` and how much of `bytes` is done.
    pub fn loading<T>(
        &self,
        what: impl Into<String>,
        bytes: u64,
        work: impl FnOnce(&mut Loading<'_>) -> model::Result<T>,
    ) -> Result<T> {
        let team = self.team_with(self.load_threads)?;
        let progress = Progress::start(what, bytes);
        Ok(work(&mut Loading::new(team, &|more| progress.add(more), interrupt::flag()))?)
    }

    /// Starts a team of `threads` threads, whatever the flags say; pinned if asked.
    pub fn team_with(&self, threads: usize) -> Result<Team> {
        let cpus = self.cpus.clone();
        let start = move |number: usize| {
            // Fewer CPUs than threads was refused in `check`; the system already agreed to pin the first thread.
            if let Some(&cpu) = cpus.get(number) {
                core_affinity::set_for_current(cpu);
            }
        };
        Team::new(threads, start).map_err(|e| Error::input(format!("cannot start {threads} threads: {e}")))
    }

    /// The settings of a run as receipts keep them.
    pub fn settings(&self, seed: u64) -> Settings {
        Settings {
            threads: self.threads,
            pinned_cpus: self.cpus.iter().take(self.threads).map(|cpu| cpu.id).collect(),
            cpu_features: self.mask.clone(),
            seed,
            kernels_requested: None,
            deterministic: false,
        }
    }

    /// The check of `--strict`: an error (exit 5) if a CPU feature is masked, for then a smaller machine is measured.
    pub fn refuse_mask(&self) -> Result<()> {
        match &self.mask {
            Some(mask) => Err(Error::unsupported(format!(
                "--strict: CPU features are masked ({mask}); run without --cpu-features and with {} unset",
                kernels::MASK_VARIABLE
            ))),
            None => Ok(()),
        }
    }

    /// The second-level caches of the run's threads; `None` where the system does not say how large they are.
    pub fn l2(&self) -> Option<L2> {
        host::l2_bytes().map(|bytes| L2 { bytes, threads: self.threads })
    }

    /// The feature mask as the user gave it.
    pub fn mask(&self) -> Option<&str> {
        self.mask.as_deref()
    }

    /// Whether threads stay on the CPUs of `--pin`.
    pub fn is_pinned(&self) -> bool {
        !self.cpus.is_empty()
    }

    /// CPUs on which a gate's process pairs stay, in turn: all that this process may use, or the first of `--pin`. One
    /// CPU for all processes of a pair, because two are never quite alike. None where products are shared among
    /// threads.
    pub fn cpus_for_pairs(&self) -> Vec<usize> {
        let cpus = match self.cpus.first() {
            Some(first) => vec![*first],
            None => core_affinity::get_core_ids().unwrap_or_default(),
        };
        if self.threads == 1 { cpus.into_iter().map(|cpu| cpu.id).collect() } else { Vec::new() }
    }

    /// The kernel with this id, never another one: an unknown id is an input error, an unavailable kernel is exit 5.
    pub fn kernel(&self, id: &str) -> Result<Kernel> {
        let descriptor = registered::find(id).ok_or_else(|| crate::kernel_ids::unknown(id))?;
        Kernel::new(descriptor, self.features)
            .map_err(|why| Error::unsupported(format!("{why}; `list kernels` shows what runs here")))
    }

    /// The kernels with these ids, which must all run here; without a list, those that run here of what a model with
    /// one scale a tensor calls for.
    pub fn kernels(&self, list: Option<&[String]>) -> Result<Vec<Kernel>> {
        match list {
            Some(ids) => in_registry_order(ids)?.into_iter().map(|d| self.kernel(d.id)).collect(),
            None => Ok(self.kernels_for(Needs::TERNARY)),
        }
    }

    /// The kernels that run here of those that such weights and activations call for.
    pub fn kernels_for(&self, needs: Needs) -> Vec<Kernel> {
        registered::meant_for(needs).filter_map(|d| Kernel::new(d, self.features).ok()).collect()
    }
}
