//! What a receipt holds before the first measurement.

use crate::build_info;
use crate::machine::{Machine, host};
use crate::scenario::Scenario;
use kernels::{Activations, Kernel, registry};
use receipt::{KernelRecord, Receipt, SCHEMA_VERSION, Status};

/// What is known before the first measurement.
pub fn new_receipt(timestamp: String, scenario: &Scenario, machine: &Machine, seed: u64) -> Receipt {
    Receipt {
        schema_version: SCHEMA_VERSION.into(),
        status: Status::Running,
        error: None,
        timestamp,
        elapsed_s: 0.0,
        argv: std::env::args().collect(),
        build: build_info::build(),
        host: host::host(),
        scenario: scenario.record(),
        settings: machine.settings(seed),
        kernels: kernel_records(machine),
        model: None,
        verify: Vec::new(),
        limits: None,
        micro: Vec::new(),
        counts: Vec::new(),
        counts_skipped: None,
        static_model_skipped: None,
        rule: None,
        gate: None,
        calibration: None,
        generation: None,
        perplexity: None,
        head_effect: None,
        sparsity: None,
        findings: Vec::new(),
        bitnet_rs: None,
        integrity: None,
    }
}

/// Every registered kernel and whether it runs with these features.
pub fn kernel_records(machine: &Machine) -> Vec<KernelRecord> {
    let record = |d: &&'static kernels::KernelDescriptor| {
        let reason = Kernel::new(d, machine.features).err().map(|why| why.to_string());
        KernelRecord {
            id: d.id.into(),
            isa: d.isa.into(),
            family: d.family().name().into(),
            packing: d.packing.name().into(),
            bits_per_weight: d.packing.bits_per_weight(),
            activations: if d.activations() == Activations::F32 { "f32" } else { "i8" }.into(),
            exact: d.exact(),
            ops: d.operation_names().into_iter().map(str::to_owned).collect(),
            builds_on: d.builds_on.map(str::to_owned),
            summary: d.summary.into(),
            available: reason.is_none(),
            reason,
        }
    };
    registry::KERNELS.iter().map(record).collect()
}
