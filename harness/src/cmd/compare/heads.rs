//! What a quantised output head does.

use super::run::Run;
use crate::error::Result;
use crate::measure::head;
use crate::output::note;
use kernels::HeadFormat;

/// Said before anything is generated with it.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let scenario = &run.plan.scenario;
    let used = scenario.generate.is_some() || scenario.perplexity.is_some();
    let fastest = run.kernels.iter().rfind(|k| k.descriptor().exact()).or(run.kernels.last());
    let (Some(bench), Some(&kernel), true) = (&mut run.bench, fastest, used) else { return Ok(()) };
    run.receipt.head_effect = head::announce(bench, kernel)?;
    let goldens = scenario.generate.as_ref().is_some_and(|g| g.goldens) && bench.loaded.known.is_some();
    if bench.head != HeadFormat::F16 && goldens {
        note("head: known answers are those of the f16 head; they are checked with it");
    }
    Ok(())
}
