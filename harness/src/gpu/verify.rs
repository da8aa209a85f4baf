//! `verify` on a device: the suite of every kernel, each on a device of its own, so that what one does to it is not
//! another's.

use super::open::{Adapter, of_device, status};
use crate::cmd::verify::{VerifyArgs, finish, record};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::output::{Output, note};
use crate::progress::Progress;
use kernels_gpu::{GpuKernel, LADDER, Settings, find_kernel};
use receipt::VerifyRecord;

/// Runs `verify --device gpu`.
pub fn verify(adapter: &Adapter, args: &VerifyArgs, out: &Output) -> Result<()> {
    let kernels = selected(args.kernels.as_deref())?;
    note(format!("on gpu:{}, {} ({})", adapter.facts().index, adapter.facts().name, adapter.facts().driver_info));
    let records = records(adapter, &kernels)?;
    finish(&records, args.json, out)
}

/// The kernels of these names, in ladder order; all without names.
pub fn selected(names: Option<&[String]>) -> Result<Vec<&'static GpuKernel>> {
    let Some(names) = names else { return Ok(LADDER.iter().collect()) };
    let unknown = names.iter().find(|name| find_kernel(name).is_none());
    if let Some(name) = unknown {
        let all = LADDER.iter().map(GpuKernel::id).collect::<Vec<_>>().join(", ");
        return Err(Error::input(format!("--kernels: the GPU has no kernel {name}; it has {all}")));
    }
    Ok(LADDER.iter().filter(|kernel| names.iter().any(|name| name == kernel.id())).collect())
}

/// Runs the suite of each of these kernels. One that the device fails has a row that says so.
pub fn records(adapter: &Adapter, kernels: &[&'static GpuKernel]) -> Result<Vec<VerifyRecord>> {
    let progress = Progress::start("verifying kernels of the GPU against the oracle", kernels.len() as u64);
    let mut records = Vec::new();
    for (done, kernel) in kernels.iter().enumerate() {
        interrupt::check(format!("interrupted after verifying {done} of {} kernels", kernels.len()))?;
        progress.step(done, format!("verifying {}", kernel.id()));
        let mut device = adapter.open(Settings::default())?;
        let (outcome, error) = kernels_gpu::verify(kernel, &mut device, &interrupt::requested);
        interrupt::check("interrupted while a kernel was verified")?;
        let mut record = record(kernel.id(), outcome, 0.0, true, None);
        if let Some(error) = error {
            record.status = status(&error);
            record.first_mismatch = Some(of_device(&error).to_string());
        }
        records.push(record);
    }
    Ok(records)
}
