//! A receipt before the first measurement, and after the last.

use crate::build_info;
use crate::error::{Error, Exit};
use crate::machine::{Machine, host};
use crate::operation;
use crate::registered;
use crate::scenario::Scenario;
use kernels::{Family, Kernel, KernelDescriptor};
use model::hash::sha256_hex;
use receipt::{ForeignRecord, KernelRecord, Receipt, Status};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Makes the receipt of a run, with what is known before the first measurement.
pub fn new_receipt(timestamp: String, scenario: &Scenario, machine: &Machine, seed: u64) -> Receipt {
    Receipt {
        timestamp,
        run_id: run_id(),
        argv: std::env::args().collect(),
        kernels: kernel_records(machine),
        ..Receipt::begun(build_info::build(), host::host(), scenario.record(), machine.settings(seed))
    }
}

/// 128 random bits in hexadecimal; none where the system has no source of them.
fn run_id() -> Option<String> {
    let mut bits = [0u8; 16];
    getrandom::fill(&mut bits).ok()?;
    Some(bits.iter().map(|byte| format!("{byte:02x}")).collect())
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
    let reason = |d| Kernel::new(d, machine.features).err().map(|why| why.to_string());
    registered::all().map(|d| record_of(d, reason(d))).collect()
}

/// A kernel's record; `reason` is why it cannot run, if it cannot.
pub fn record_of(d: &'static KernelDescriptor, reason: Option<String>) -> KernelRecord {
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
        foreign: came_from(d),
    }
}

/// The library that a kernel came from, whose file the parent names, or the program of one's own; none for ours.
fn came_from(d: &KernelDescriptor) -> Option<ForeignRecord> {
    if let Some(foreign) = d.foreign_kernel() {
        return Some(ForeignRecord {
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
        });
    }
    if !registered::is_added(d.id) {
        return None;
    }
    static OWN: OnceLock<(String, String)> = OnceLock::new();
    let (library, sha256) = OWN.get_or_init(|| {
        let name = std::env::args_os().next().map(PathBuf::from);
        let name = name.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let bytes = std::fs::read(build_info::own_program()).unwrap_or_default();
        (name.unwrap_or_else(|| "this program".into()), sha256_hex(&bytes))
    });
    Some(ForeignRecord {
        library: library.clone(),
        sha256: sha256.clone(),
        origin: None,
        compiler: Some(build_info::build().rustc),
        requires_cpu: d.requires.to_string(),
        weight_group: d.layout.usual_group().map_or_else(|| "tensor".into(), |group| group.to_string()),
        act_group: "token".into(),
        output: if d.family() == Family::W2A8 { "i32" } else { "f32" }.into(),
        rows_multiple: 1,
        k_multiple: 1,
        max_tokens: None,
    })
}
