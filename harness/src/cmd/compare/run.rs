//! A run of `compare` or `micro` in progress.

use super::plan::Plan;
use crate::error::Result;
use crate::guests::Guests;
use crate::interrupt;
use crate::load_model::Loaded;
use crate::measure::bench::Bench;
use crate::measure::blocks;
use crate::runs::RunFolder;
use kernels::Kernel;
use model::sparse_ffn::Sparsity;
use receipt::Receipt;
use std::time::Instant;

/// A run of `compare` or `micro` in progress. Its receipt is written after every part, so that a killed run leaves one.
pub struct Run<'a> {
    pub plan: &'a Plan,
    /// Kernels that agreed with the oracle in every check so far.
    pub kernels: Vec<Kernel>,
    /// The model, if there is one, and what was packed of it.
    pub bench: Option<Bench<'a>>,
    /// Kernels of libraries.
    pub guests: Guests,
    pub folder: RunFolder,
    pub receipt: Receipt,
    start: Instant,
}

impl<'a> Run<'a> {
    /// Begins a run in which nothing is measured yet.
    pub fn new(
        plan: &'a Plan,
        guests: Guests,
        loaded: Option<&'a Loaded>,
        folder: RunFolder,
        receipt: Receipt,
    ) -> Self {
        let bench = loaded.map(|loaded| Bench::new(loaded, &plan.machine, plan.texts.head, interrupt::flag()));
        Self { plan, kernels: plan.kernels.clone(), bench, guests, folder, receipt, start: Instant::now() }
    }

    /// Writes the receipt as it is now to the run's folder.
    pub fn save(&mut self) -> Result<()> {
        self.receipt.elapsed_s = self.start.elapsed().as_secs_f64();
        self.folder.save(&self.receipt).map(|_| ())
    }

    /// Number of comparisons of generation, which share the run's chance of a false alarm with the microbenchmarks.
    pub fn block_comparisons(&self) -> usize {
        let asked = self.plan.scenario.generate.as_ref();
        let sparse = !matches!(self.plan.texts.sparsity, Sparsity::Dense);
        asked.map_or(0, |asked| blocks::comparisons(&self.kernels, &self.guests, asked.rounds, sparse))
    }
}
