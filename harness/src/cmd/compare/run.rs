//! A run of `compare` or `micro` in progress.

use super::finish::Ended;
use super::plan::Plan;
use crate::choose::able;
use crate::error::Result;
use crate::guests::Guests;
use crate::interrupt;
use crate::load_model::Loaded;
use crate::measure::bench::Bench;
use crate::measure::blocks;
use crate::runs::RunFolder;
use kernels::{Family, Kernel, Needs};
use model::sparse_ffn::Sparsity;
use receipt::{Receipt, RowStatus, WithoutTime};
use std::time::Instant;

/// A run of `compare` or `micro` in progress. Its receipt is written after every part, so that a killed run leaves one.
pub struct Run<'a> {
    pub plan: &'a Plan,
    /// Kernels that agreed with the oracle in every check so far.
    pub kernels: Vec<Kernel>,
    /// Ids of those among them that are there for the entries that say what shares a scale, and for nothing else.
    apart: Vec<&'static str>,
    /// Exact kernels for the rules of activations that the scenario asks about, likewise.
    pub for_rules: Vec<Kernel>,
    /// The model, if there is one, and what was packed of it.
    pub bench: Option<Bench<'a>>,
    /// What its weights ask of a kernel that speaks.
    pub needs: Needs,
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
        mut guests: Guests,
        loaded: Option<&'a Loaded>,
        folder: RunFolder,
        receipt: Receipt,
    ) -> Result<Self> {
        let bench = loaded.map(|loaded| Bench::new(loaded, &plan.machine, plan.texts.head, interrupt::flag()));
        let needs = loaded.map_or(Ok(Needs::TERNARY), |loaded| able::needs(&loaded.model, &plan.machine))?;
        guests.speak_by(needs.rule);
        let mut kernels = plan.kernels.clone();
        if plan.named.is_none() {
            // What the model calls for beyond what every run compares.
            let more = plan.machine.kernels_for(needs);
            kernels.extend(more.into_iter().filter(|k| plan.kernels.iter().all(|known| known.id() != k.id())));
        }
        let mut apart = Vec::new();
        if plan.named.is_none() {
            let asked = plan.scenario.scalings_of_entries().into_iter();
            let grouped = asked.flat_map(|scaling| plan.machine.kernels_for(scaling.needs()));
            for kernel in grouped.filter(|k| k.descriptor().family() == Family::W2gA8) {
                if kernels.iter().all(|known| known.id() != kernel.id()) {
                    apart.push(kernel.id());
                    kernels.push(kernel);
                }
            }
        }
        let mut for_rules: Vec<Kernel> = Vec::new();
        for &rule in &plan.scenario.rules {
            let all = plan.machine.kernels_for(Needs { rule, ..needs });
            let named = |k: &&Kernel| plan.named.as_ref().is_none_or(|ids| ids.iter().any(|id| id == k.id()));
            let exact = all.iter().chain(&plan.kernels).filter(|k| k.descriptor().exact()).filter(named);
            for kernel in exact {
                if for_rules.iter().all(|known| known.id() != kernel.id()) {
                    for_rules.push(*kernel);
                }
            }
        }
        Ok(Self { plan, kernels, apart, for_rules, bench, needs, guests, folder, receipt, start: Instant::now() })
    }

    /// The kernels of a family that are timed in cells of groups alone, or in others.
    pub fn in_family(&self, family: Family, of_groups: bool) -> Vec<Kernel> {
        let takes_part = |k: &&Kernel| k.descriptor().family() == family && (of_groups || self.is_everywhere(k));
        self.kernels.iter().filter(takes_part).copied().collect()
    }

    fn is_everywhere(&self, kernel: &Kernel) -> bool {
        !self.apart.contains(&kernel.id())
    }

    /// The kernels that can multiply the model's weights by its rule, and those that cannot, with the reason;
    /// libraries' kernels are among these alone.
    pub fn speakers(&self) -> (Vec<Kernel>, Vec<WithoutTime>) {
        let mut mute = self.guests.mute();
        let speaks = |kernel: &&Kernel| match kernel.descriptor().can_run(self.needs) {
            Ok(()) => true,
            Err(why) => {
                mute.push(WithoutTime { kernel: kernel.id().into(), status: RowStatus::Unsupported, why });
                false
            }
        };
        let meant = self.kernels.iter().filter(|kernel| self.is_everywhere(kernel));
        let speakers = meant.filter(speaks).copied().collect();
        (speakers, mute)
    }

    /// What is left when nothing more is measured.
    pub fn ended(self) -> Ended {
        Ended { folder: self.folder, receipt: self.receipt, start: self.start }
    }

    /// Writes the receipt as it is now to the run's folder.
    pub fn save(&mut self) -> Result<()> {
        self.receipt.elapsed_s = self.start.elapsed().as_secs_f64();
        self.folder.save(&self.receipt).map(|_| ())
    }

    /// Number of comparisons of generation, which share the run's chance of a false alarm with the microbenchmarks.
    pub fn block_comparisons(&self) -> usize {
        let asked = self.plan.scenario.generate.as_ref();
        let skips = self.bench.as_ref().is_none_or(|bench| bench.model().skips());
        let sparse = skips && !matches!(self.plan.texts.sparsity, Sparsity::Dense);
        let texts =
            asked.map_or(0, |asked| blocks::comparisons(&self.speakers().0, &self.guests, asked.rounds, sparse));
        // Each rule of activations is compared with the first.
        texts + self.plan.scenario.rules.len().saturating_sub(1)
    }
}
