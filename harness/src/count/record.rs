//! The record of a counted call, from what it executed.

use super::call::Call;
use super::hot_loop::HotLoop;
use super::trace::{Executed, Instruction, Trace};
use crate::operation::recorded;
use crate::registered;
use crate::scenario::Shape;
use kernels::{Family, KernelDescriptor};
use receipt::{AsmLine, CountRecord, LoopRecord, Mix};

/// What is known of a counted call beside its instructions.
pub struct Facts {
    /// The kernel's long name.
    pub name: String,
    /// Bytes of the packed codes.
    pub code_bytes: u64,
    pub method: &'static str,
    pub fixed_addresses: bool,
    pub output_sha256: String,
    /// The lines of the hot loop.
    pub listing: Vec<AsmLine>,
}

/// The record of a call that executed a trace with a hot loop in it, and the weights of a pass of that loop. `mix` sums
/// instructions by class.
pub fn record<I: Instruction>(
    kernel: &str,
    call: Call,
    facts: Facts,
    (trace, hot): (&Trace<I>, Option<&HotLoop<I>>),
    mix: impl Fn(&mut dyn Iterator<Item = &Executed<I>>) -> Mix<u64>,
) -> (CountRecord, f64) {
    let Call { op, shape: Shape { m, k }, tokens, seed, scaling } = call;
    // A library's kernel is not known here, and has one scale a token.
    let family = registered::find(kernel).map_or(Family::W2A8, KernelDescriptor::family);
    let (weight_group, activations) = scaling.recorded(family);
    let total = mix(&mut trace.values());
    let hot_loop = hot.map(|hot| {
        let pass = mix(&mut hot.pass.iter());
        let weights_per_pass = hot.weights_per_pass((m * k) as u64, facts.code_bytes, tokens);
        LoopRecord {
            passes: hot.passes,
            share: hot.instructions as f64 / total.instructions.max(1) as f64,
            weights_per_pass,
            per_64_weights: pass.per_64(weights_per_pass),
            pass,
            ports: None,
            listing: facts.listing,
        }
    });
    let weights_per_pass = hot_loop.as_ref().map_or(0.0, |hot| hot.weights_per_pass);
    let weights = (m * k * tokens) as u64;
    let record = CountRecord {
        kernel: kernel.into(),
        name: facts.name,
        op: recorded(op),
        m,
        k,
        tokens,
        weight_group,
        activations,
        weights_per_call: weights,
        seed,
        method: facts.method.into(),
        fixed_addresses: facts.fixed_addresses,
        output_sha256: facts.output_sha256,
        per_64_weights: total.per_64(weights as f64),
        total,
        hot_loop,
    };
    (record, weights_per_pass)
}
