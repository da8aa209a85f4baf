//! The same text with every kernel.

use super::run::Run;
use crate::error::Result;
use crate::measure::end_to_end;
use crate::measure::end_to_end::Plan;
use crate::progress::Progress;

/// Whole texts, then kernels in turn by blocks of tokens.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let rule = run.receipt.rule.as_ref();
    let comparisons = rule.map_or_else(|| run.block_comparisons(), |rule| rule.comparisons);
    let (Some(asked), Some(bench)) = (&run.plan.scenario.generate, &mut run.bench) else { return Ok(()) };
    let known = bench.loaded.known.as_ref();
    let plan = Plan {
        asked,
        kernels: &run.kernels,
        goldens: known.filter(|_| asked.goldens).map_or(&[], |known| &known.goldens),
        stop_ids: known.map_or(&[], |known| &known.stop_ids),
        prefill: &run.plan.texts.prefill,
        sparsity: run.plan.texts.sparsity,
        seed: run.receipt.settings.seed,
        comparisons,
    };
    let texts = (asked.rounds * run.kernels.len()) as u64;
    let progress = Progress::start(format!("generating with {} kernels", run.kernels.len()), texts);
    let record = end_to_end::generation(bench, &plan, |kernel, done| {
        progress.set(done as u64);
        progress.say(format!("generating with {kernel}"));
    })?;
    drop(progress);
    run.receipt.generation = Some(record);
    run.save()?;
    run.interrupted("generation")
}
