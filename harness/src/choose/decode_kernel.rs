//! `--kernel auto`: a short probe of the exact kernels on the model's own largest matrix.

use super::probe;
use crate::error::{Error, Result};
use crate::machine::Machine;
use kernels::conformance::{self, Expected, compare};
use kernels::parallel::Team;
use kernels::{CodeTable, F32Ops, Kernel, KernelError, LinearInput, PackedWeights, reference};
use model::weights::Model;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hint::black_box;
use std::time::Duration;

/// Time for the whole probe.
const PROBE: Duration = Duration::from_millis(200);

/// A kernel and the reason it is the one.
pub struct Selection {
    /// As asked for: an id, or `auto`.
    pub requested: String,
    /// The kernel.
    pub kernel: Kernel,
    /// Why, in one line.
    pub reason: String,
}

/// The named kernel, or the fastest exact one. Either passed the conformance suite just now.
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

/// The kernel, if it passes the suite.
pub fn verified(kernel: Kernel) -> Result<Kernel> {
    let outcome = conformance::verify(&kernel);
    match outcome.first_mismatch {
        None => Ok(kernel),
        Some(what) => Err(Error::failed(format!(
            "{} fails {} of {} conformance cases and is not used; first: {what}",
            kernel.id(),
            outcome.mismatches,
            outcome.cases
        ))),
    }
}

/// The fastest of these exact kernels, which passed the suite.
pub fn fastest(candidates: &[Kernel], machine: &Machine, model: &Model) -> Result<Selection> {
    let name = "blk.0.ffn_gate.weight";
    let mut packed: HashMap<_, PackedWeights> = HashMap::new();
    let mut input = LinearInput::new(1, model.config.dim, F32Ops::select(machine.features));
    for kernel in candidates {
        let layout = kernel.descriptor().layout;
        if let Entry::Vacant(empty) = packed.entry(layout) {
            empty.insert(model.matrix(name, layout, CodeTable::TERNARY, &mut Team::single())?);
        }
        let x: Vec<f32> = (0..model.config.dim).map(|i| ((i * 37 % 251) as f32 - 125.0) / 125.0).collect();
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
    let reason = format!(
        "fastest of {} exact kernels in {} rounds on {name} ({}x{}): {us:.1} us a call",
        candidates.len(),
        evidence.passes,
        weights.rows(),
        weights.k(),
    );
    Ok(Selection { requested: "auto".into(), kernel: candidates[best], reason })
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
