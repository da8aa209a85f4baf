//! The same text scored by every kernel.

use super::run::Run;
use crate::error::Result;
use crate::measure::perplexity::perplexity;
use crate::progress::Progress;

/// Perplexity with every kernel, and with the seed's table.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let (Some(asked), Some(bench)) = (&run.plan.scenario.perplexity, &mut run.bench) else { return Ok(()) };
    let progress = Progress::start("perplexity with every kernel", run.kernels.len() as u64 + 1);
    let record = perplexity(bench, asked, &run.kernels, |kernel, done| {
        progress.set(done as u64);
        progress.say(format!("perplexity with {kernel}"));
    })?;
    drop(progress);
    run.receipt.perplexity = Some(record);
    run.save()?;
    run.interrupted("perplexity")
}
