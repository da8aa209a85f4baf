//! Whole texts: what the head does, generation, perplexity, feed-forward blocks without their zeros.

use super::run::Run;
use crate::error::Result;
use crate::interrupt;
use crate::measure::{end_to_end, head, sparsity};
use crate::output::note;
use crate::progress::Progress;
use kernels::HeadFormat;

impl Run {
    /// Feed-forward blocks with and without their zeros skipped.
    pub fn sparsity(&mut self) -> Result<()> {
        let Some(asked) = &self.scenario.sparsity else { return Ok(()) };
        let progress = Progress::start("feed-forward blocks over live shares", asked.shares.len() as u64);
        let record = sparsity::sweep(asked, &self.kernels, &self.machine, &self.receipt, |done, what| {
            progress.set(done as u64);
            progress.say(what.to_owned());
        })?;
        drop(progress);
        self.receipt.sparsity = Some(record);
        self.save()?;
        self.interrupted("the sparsity sweep")
    }

    /// What a quantised head does, said before anything is generated with it.
    pub fn head(&mut self) -> Result<()> {
        let used = self.scenario.generate.is_some() || self.scenario.perplexity.is_some();
        let fastest = self.kernels.iter().rfind(|k| k.descriptor().exact()).or(self.kernels.last());
        let (Some(loaded), Some(&kernel), true) = (&self.loaded, fastest, used) else { return Ok(()) };
        self.receipt.head_effect =
            head::announce(loaded, &mut self.store, kernel, &self.machine, self.head, interrupt::flag())?;
        let goldens = self.scenario.generate.as_ref().is_some_and(|g| g.goldens) && loaded.known.is_some();
        if self.head != HeadFormat::F16 && goldens {
            note("head: known answers are those of the f16 head; they are checked with it");
        }
        Ok(())
    }

    pub fn generation(&mut self) -> Result<()> {
        let (Some(asked), Some(loaded)) = (&self.scenario.generate, &self.loaded) else { return Ok(()) };
        let goldens = loaded.known.as_ref().filter(|_| asked.goldens).map(|k| k.goldens.clone()).unwrap_or_default();
        let stop_ids = loaded.known.as_ref().map(|k| k.stop_ids.clone()).unwrap_or_default();
        let total = (asked.rounds * self.kernels.len()) as u64;
        let rule = self.receipt.rule.as_ref();
        let comparisons = rule.map_or_else(|| self.block_comparisons(), |rule| rule.comparisons);
        let progress = Progress::start(format!("generating with {} kernels", self.kernels.len()), total);
        let record = end_to_end::generation(
            &loaded.model,
            &mut self.store,
            &self.kernels,
            asked,
            &goldens,
            &stop_ids,
            &self.machine,
            self.head,
            self.receipt.settings.seed,
            comparisons,
            self.sparsity,
            &self.prefill,
            interrupt::flag(),
            |kernel, done, _| {
                progress.set(done as u64);
                progress.say(format!("generating with {kernel}"));
            },
        )?;
        drop(progress);
        self.receipt.generation = Some(record);
        self.save()?;
        self.interrupted("generation")
    }

    pub fn perplexity(&mut self) -> Result<()> {
        let (Some(asked), Some(loaded)) = (&self.scenario.perplexity, &self.loaded) else { return Ok(()) };
        let progress = Progress::start("perplexity with every kernel", self.kernels.len() as u64 + 1);
        let record = end_to_end::perplexity(
            &loaded.model,
            &mut self.store,
            &self.kernels,
            asked,
            &self.machine,
            self.head,
            interrupt::flag(),
            |kernel, done, _| {
                progress.set(done as u64);
                progress.say(format!("perplexity with {kernel}"));
            },
        )?;
        drop(progress);
        self.receipt.perplexity = Some(record);
        self.save()?;
        self.interrupted("perplexity")
    }
}
