//! `--kernel auto`: a short probe of the exact kernels on the model's own largest matrix.

use super::probe;
use crate::error::{Error, Result};
use crate::machine::Machine;
use kernels::conformance::{self, Expected, compare};
use kernels::parallel::Team;
use kernels::{CodeTable, F32Ops, Kernel, KernelError, Layout, LinearInput, PackedWeights, reference};
use model::weights::Model;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hint::black_box;
use std::time::Duration;

/// Time for the whole probe.
const PROBE: Duration = Duration::from_millis(200);

/// The kernel that decodes, and the reason why it was taken.
#[derive(Serialize)]
pub struct Selection {
    /// What the user asked for: a kernel id, or `auto`.
    pub requested: String,
    /// The kernel that was taken.
    #[serde(rename = "executed", serialize_with = "id")]
    pub kernel: Kernel,
    /// Why this kernel was taken, in one line.
    pub reason: String,
}

fn id<S: Serializer>(kernel: &Kernel, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(kernel.id())
}

/// The kernel with the id `requested`, or for `auto` the fastest exact one. Either has passed the conformance suite.
pub fn select(requested: &str, machine: &Machine, model: &Model) -> Result<Selection> {
    let kernel = match requested {
        "auto" => {
            let exact = machine.kernels(None)?.into_iter().filter(|kernel| kernel.descriptor().exact());
            return fastest(&exact.map(verified).collect::<Result<Vec<_>>>()?, machine, model);
        }
        id => verified(machine.kernel(id)?)?,
    };
    Ok(Selection { requested: requested.into(), kernel, reason: "named on the command line".into() })
}

/// Returns `kernel` if it passes the conformance suite, an error if it does not.
pub fn verified(kernel: Kernel) -> Result<Kernel> {
    let conformance::Outcome { first_mismatch, mismatches, cases, .. } = conformance::verify(&kernel);
    let Some(first) = first_mismatch else { return Ok(kernel) };
    let what = format!("fails {mismatches} of {cases} conformance cases and is not used; first: {first}");
    Err(Error::failed(format!("{} {what}", kernel.id())))
}

/// Times the `candidates`, exact kernels that passed the suite, on the model's matrix and takes the fastest.
pub fn fastest(candidates: &[Kernel], machine: &Machine, model: &Model) -> Result<Selection> {
    let packed = packed(candidates, model)?;
    let mut input = LinearInput::new(1, model.config.dim, F32Ops::select(machine.features));
    let x: Vec<f32> = (0..model.config.dim).map(|i| ((i * 37 % 251) as f32 - 125.0) / 125.0).collect();
    for kernel in candidates {
        input.prepare(&mut Team::single(), kernel, x.len(), &x).map_err(|e| Error::failed(format!("probe: {e}")))?;
    }
    let most = packed.values().map(PackedWeights::rows).max().unwrap_or(0);
    let mut sums = vec![0i32; most];
    let evidence = probe::probe(candidates.len(), PROBE, |candidate, first| {
        let kernel = &candidates[candidate];
        let weights = &packed[&kernel.descriptor().layout];
        let y = &mut sums[..weights.rows()];
        let failed = |e: KernelError| Error::failed(format!("probe: {}: {e}", kernel.id()));
        black_box(kernel.gemv_i8(weights, 0..weights.rows(), &input.quantized[0], y)).map_err(failed)?;
        if first { check(kernel, weights, &input, y) } else { Ok(()) }
    })?;
    let (best, us) = evidence.fastest().ok_or_else(|| {
        Error::unsupported("no exact kernel runs on this CPU with these features; `list kernels` says why")
    })?;
    let weights = &packed[&candidates[best].descriptor().layout];
    let (kernels, rounds, shape) = (candidates.len(), evidence.passes, format!("{}x{}", weights.rows(), weights.k()));
    let reason =
        format!("fastest of {kernels} exact kernels in {rounds} rounds on {MATRIX} ({shape}): {us:.1} us a call");
    Ok(Selection { requested: "auto".into(), kernel: candidates[best], reason })
}

/// The matrix that is probed.
const MATRIX: &str = "blk.0.ffn_gate.weight";

/// The matrix that is probed (`blk.0.ffn_gate.weight`), packed once in each packing that these kernels read.
pub fn packed(kernels: &[Kernel], model: &Model) -> Result<HashMap<&'static Layout, PackedWeights>> {
    let mut packed = HashMap::new();
    for layout in kernels.iter().map(|kernel| kernel.descriptor().layout) {
        if let Entry::Vacant(empty) = packed.entry(layout) {
            empty.insert(model.matrix(MATRIX, layout, CodeTable::TERNARY, &mut Team::single())?);
        }
    }
    Ok(packed)
}

/// The probe times nothing that is wrong on the very operands.
fn check(kernel: &Kernel, weights: &PackedWeights, input: &LinearInput, y: &[i32]) -> Result<()> {
    // Three rows: an oracle takes its time.
    let rows = [0, weights.rows() / 3, weights.rows().saturating_sub(1)];
    let oracle = |i: usize| Expected::integer(reference::row_i64(weights, rows[i], input.quantized[0].values()));
    compare(&rows.map(|row| y[row]), 0.0, oracle).map_err(|mismatch| {
        Error::failed(format!("probe: {}: row {} is {mismatch}", kernel.id(), rows[mismatch.index]))
    })?;
    Ok(())
}
