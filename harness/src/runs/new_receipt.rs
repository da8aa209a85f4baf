//! A receipt before the first measurement, and after the last.

use crate::build_info;
use crate::error::{Error, Exit};
use crate::machine::{Machine, host};
use crate::operation;
use crate::registered;
use crate::scenario::Scenario;
use kernels::{Family, Kernel};
use receipt::{ForeignRecord, KernelRecord, Receipt, Status};

/// Makes the receipt of a run, with what is known before the first measurement.
pub fn new_receipt(timestamp: String, scenario: &Scenario, machine: &Machine, seed: u64) -> Receipt {
    Receipt {
        timestamp,
        argv: std::env::args().collect(),
        kernels: kernel_records(machine),
        ..Receipt::begun(build_info::build(), host::host(), scenario.record(), machine.settings(seed))
    }
}

/// Sets a receipt's status by how the run ended: complete, interrupted or failed.
pub fn close(receipt: &mut Receipt, error: Option<&Error>) {
    receipt.status = match error {
        None => Status::Complete,
        Some(e) if e.exit() == Exit::Interrupted => Status::Interrupted,
        Some(e) => {
            receipt.error = Some(e.to_string());
            Status::Failed
        }
    };
}

/// Records of every registered kernel, each with whether it runs with the machine's features.
pub fn kernel_records(machine: &Machine) -> Vec<KernelRecord> {
    let record = |d: &'static kernels::KernelDescriptor| {
        let reason = Kernel::new(d, machine.features).err().map(|why| why.to_string());
        KernelRecord {
            id: d.id.into(),
            isa: d.isa.into(),
            family: operation::family(d.family()),
            packing: d.layout.name.into(),
            // Only a library can say it of a layout of its own, and it is not asked here.
            bits_per_weight: if d.layout.foreign.is_some() { f64::NAN } else { d.layout.bits_per_weight() },
            activations: if d.family() == Family::W2A32 { "f32" } else { "i8" }.into(),
            exact: d.exact(),
            ops: d.operations().map(operation::recorded).collect(),
            builds_on: d.builds_on.map(str::to_owned),
            summary: d.summary.into(),
            available: reason.is_none(),
            reason,
            foreign: d.foreign_kernel().map(|foreign| ForeignRecord {
                library: String::new(),
                sha256: String::new(),
                origin: foreign.origin.map(str::to_owned),
                compiler: foreign.compiler.map(str::to_owned),
                requires_cpu: foreign.requires.to_string(),
                weight_group: foreign.weight_group(),
                act_group: foreign.act_group(),
                output: if foreign.writes_floats() { "f32" } else { "i32" }.into(),
                rows_multiple: foreign.rows_multiple(),
                k_multiple: foreign.k_multiple(),
                max_tokens: foreign.max_tokens(),
            }),
        }
    };
    registered::all().map(record).collect()
}
