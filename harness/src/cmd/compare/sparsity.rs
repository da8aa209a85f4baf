//! Feed-forward blocks with and without their zeros skipped.

use super::run::Run;
use crate::error::Result;
use crate::measure::sparsity;
use crate::progress::Progress;

/// The sweep over live shares.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let Some(asked) = &run.plan.scenario.sparsity else { return Ok(()) };
    let progress = Progress::start("feed-forward blocks over live shares", asked.shares.len() as u64);
    let record = sparsity::sweep(asked, &run.kernels, &run.plan.machine, &run.receipt, |done, what| {
        progress.set(done as u64);
        progress.say(what.to_owned());
    })?;
    drop(progress);
    run.receipt.sparsity = Some(record);
    run.save()?;
    run.interrupted("the sparsity sweep")
}
