//! A run in progress.

use crate::choose::prefill_kernel::PrefillPolicy;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::load_model::Loaded;
use crate::machine::Machine;
use crate::measure::blocks;
use crate::measure::end_to_end::WeightStore;
use crate::runs::RunFolder;
use crate::scenario::Scenario;
use kernels::{HeadFormat, Kernel};
use model::sparse_ffn::Sparsity;
use receipt::Receipt;
use std::time::Instant;

/// A run in progress. The receipt is written after every part, so that a killed run leaves what it had.
pub struct Run {
    pub start: Instant,
    pub scenario: Scenario,
    pub machine: Machine,
    pub kernels: Vec<Kernel>,
    pub named: Option<Vec<String>>,
    pub sparsity: Sparsity,
    pub prefill: PrefillPolicy,
    pub loaded: Option<Loaded>,
    pub head: HeadFormat,
    /// Weights and heads that the parts share.
    pub store: WeightStore,
    pub folder: RunFolder,
    pub receipt: Receipt,
}

impl Run {
    pub fn save(&mut self) -> Result<()> {
        self.receipt.elapsed_s = self.start.elapsed().as_secs_f64();
        self.folder.save(&self.receipt).map(|_| ())
    }

    pub fn interrupted(&self, part: &str) -> Result<()> {
        if interrupt::requested() { Err(Error::interrupted(format!("interrupted during {part}"))) } else { Ok(()) }
    }

    /// Comparisons of generation, which share the run's chance of a false alarm with those of the microbenchmarks.
    pub fn block_comparisons(&self) -> usize {
        self.scenario.generate.as_ref().map_or(0, |asked| blocks::comparisons(&self.kernels, asked.rounds))
    }
}
