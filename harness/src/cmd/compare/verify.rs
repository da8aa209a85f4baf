//! Every kernel against the oracle.

use super::run::Run;
use crate::cmd::verify::verify;
use crate::error::Result;
use crate::kernel_ids::in_registry_order;
use kernels::{Kernel, registry};

/// Every kernel asked for; those that fail are not measured further.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let descriptors = match &run.plan.named {
        Some(ids) => in_registry_order(ids)?,
        None => registry::KERNELS.to_vec(),
    };
    run.receipt.verify = verify(&descriptors, &run.plan.machine)?;
    let passed = |k: &Kernel| {
        let record = run.receipt.verify.iter().find(|v| v.id == k.id());
        record.is_some_and(|v| v.mismatches == 0) && !k.descriptor().may_saturate
    };
    run.kernels.retain(passed);
    run.save()
}
