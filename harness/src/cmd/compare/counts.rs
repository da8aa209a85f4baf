//! Instructions of each kernel.

use super::run::Run;
use crate::count;
use crate::count::{Call, Method};
use crate::error::{Error, Exit, Result};
use crate::interrupt;
use crate::progress::Progress;
use kernels::Operation;
use receipt::Unsupported;

/// Instructions of each kernel's gemv. Where they cannot be counted, the receipt says why, and the run goes on.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    if run.plan.scenario.micro.is_none() {
        return Ok(());
    }
    let call = Call { op: Operation::Gemv, shape: count::SMALL_SHAPE, tokens: 1, seed: run.receipt.settings.seed };
    let progress = Progress::start("counting instructions", run.kernels.len() as u64);
    for (done, kernel) in run.kernels.iter().enumerate() {
        if interrupt::requested() {
            return Err(Error::interrupted("interrupted while counting instructions"));
        }
        progress.set(done as u64);
        progress.say(format!("counting {}", kernel.id()));
        match count::count(kernel, call, Method::Branches, &count::Model::none()) {
            Ok(counted) => run.receipt.counts.push(counted.record),
            Err(e) if e.exit() == Exit::Unsupported => {
                run.receipt.counts_skipped = Some(e.to_string());
                break;
            }
            Err(e) if e.exit() == Exit::Interrupted => return Err(e),
            Err(e) => {
                run.receipt.counts_failed.push(Unsupported { kernel: kernel.id().into(), reason: e.to_string() });
            }
        }
    }
    run.save()
}
