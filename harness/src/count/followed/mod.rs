//! A call that is followed to its end: counted, and its hot loop found.

mod classify;
mod follow;
mod hot_loop;
mod listing;
mod tracee;
mod watchdog;

pub use tracee::refused;

use super::Assembly;
use super::call::{Call, Counted, Method, Subject};
use super::static_model::Model;
use crate::error::Result;
use crate::operation::recorded;
use crate::registered;
use crate::scenario::Shape;
use kernels::{Family, KernelDescriptor};
use receipt::{CountRecord, LoopRecord};
use tracee::Tracee;

/// Counts one call of a kernel, and asks `model` about its hot loop.
///
/// # Errors
/// Exit 5 where ptrace is refused; exit 1 when the kernel does not match the oracle, or its worker dies, hangs or
/// answers nonsense, with the request that it was given.
pub fn count(subject: Subject<'_>, call: Call, method: Method, model: &Model) -> Result<Counted> {
    let mut tracee = Tracee::start(subject, call, method)?;
    let executed = follow::follow(&mut tracee, method)?;
    let output_sha256 = tracee.finish()?;
    let Call { op, shape: Shape { m, k }, tokens, seed, scaling } = call;
    // A library's kernel is not known here, and has one scale a token.
    let family = registered::find(subject.id).map_or(Family::W2A8, KernelDescriptor::family);
    let (weight_group, activations) = scaling.recorded(family);
    let total = classify::mix(executed.values());
    let mut static_model = None;
    let entry = tracee.ready.entry;
    let mut assembly = Assembly { lines: listing::lines(&executed, entry), in_loop: 0..0, entry, pass: Vec::new() };
    let hot_loop = hot_loop::find(&executed).map(|hot| {
        let pass = classify::mix(&hot.pass);
        let weights_per_pass = hot.weights_per_pass((m * k) as u64, tracee.ready.codes.1, tokens);
        let instructions: Vec<_> = hot.pass.iter().map(|e| e.instruction).collect();
        static_model = model.ask(&instructions, weights_per_pass);
        let (first, last) = hot.range;
        assembly.in_loop = executed.range(..first).count()..executed.range(..=last).count();
        assembly.pass = instructions;
        LoopRecord {
            passes: hot.passes,
            share: hot.instructions as f64 / total.instructions.max(1) as f64,
            weights_per_pass,
            per_64_weights: pass.per_64(weights_per_pass),
            pass,
            ports: None,
            listing: assembly.lines[assembly.in_loop.clone()].to_vec(),
        }
    });
    let weights = (m * k * tokens) as u64;
    let record = CountRecord {
        kernel: subject.id.into(),
        name: tracee.ready.name.clone(),
        op: recorded(op),
        m,
        k,
        tokens,
        weight_group,
        activations,
        weights_per_call: weights,
        seed,
        method: if method == Method::Steps { "steps" } else { "branches" }.into(),
        fixed_addresses: tracee.ready.fixed_addresses,
        output_sha256,
        per_64_weights: total.per_64(weights as f64),
        total,
        hot_loop,
    };
    Ok(Counted { record, static_model, assembly })
}
