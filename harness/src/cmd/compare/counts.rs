//! Instructions of each kernel.

use super::run::Run;
use crate::count;
use crate::count::{Call, Method};
use crate::error::{Error, Exit, Result};
use crate::interrupt;
use crate::progress::Progress;

/// Instructions of each kernel's gemv. Where they cannot be counted, the receipt says why, and the run goes on.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    if run.plan.scenario.micro.is_none() {
        return Ok(());
    }
    let model = count::Model::find();
    let call = Call { op: "gemv", shape: count::SMALL_SHAPE, tokens: 1, seed: run.receipt.settings.seed };
    let progress = Progress::start("counting instructions", run.kernels.len() as u64);
    for (done, kernel) in run.kernels.iter().enumerate() {
        if interrupt::requested() {
            return Err(Error::interrupted("interrupted while counting instructions"));
        }
        progress.set(done as u64);
        progress.say(format!("counting {}", kernel.id()));
        match count::count(kernel, call, Method::Branches, &model) {
            Ok(record) => run.receipt.counts.push(record),
            Err(e) if e.exit() == Exit::Unsupported => {
                run.receipt.counts_skipped = Some(e.to_string());
                break;
            }
            Err(e) => return Err(e),
        }
    }
    run.receipt.static_model_skipped = model.absent().map(str::to_owned);
    run.save()
}
