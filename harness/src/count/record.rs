//! From a trace to the record in a receipt, and to what a static model says of its loop.

use super::call::{Call, Counted, Method};
use super::follow::Trace;
use super::static_model::Model;
use super::{classify, hot_loop};
use crate::operation::recorded;
use kernels::Kernel;
use receipt::{CountRecord, LoopRecord};

/// A child that was followed to its end.
pub struct Followed {
    /// What it executed.
    pub trace: Trace,
    /// Whether it was loaded where every other child is.
    pub fixed_addresses: bool,
    /// Hash of what it computed.
    pub output_sha256: String,
}

/// Sums up a trace.
pub fn record(kernel: &Kernel, call: Call, method: Method, followed: Followed, model: &Model) -> Counted {
    let Followed { trace, fixed_addresses, output_sha256 } = followed;
    let (m, k) = (call.shape.m, call.shape.k);
    let weights = (m * k * call.tokens) as u64;
    let total = classify::total(&trace.instructions);
    let mut static_model = None;
    let hot_loop = hot_loop::find(&trace.instructions).map(|hot| {
        let pass = classify::mix(&hot.pass);
        let weights_per_pass = hot.weights_per_pass((m * k) as u64, trace.code_bytes, call.tokens);
        let instructions: Vec<_> = hot.pass.iter().map(|e| e.instruction).collect();
        static_model = model.ask(&instructions, weights_per_pass);
        LoopRecord {
            passes: hot.passes,
            share: hot.instructions as f64 / total.instructions.max(1) as f64,
            weights_per_pass,
            per_64_weights: pass.per_64(weights_per_pass),
            pass,
        }
    });
    let record = CountRecord {
        kernel: kernel.id().into(),
        name: kernel.descriptor().long_name(call.op),
        op: recorded(call.op),
        m,
        k,
        tokens: call.tokens,
        weights_per_call: weights,
        seed: call.seed,
        method: match method {
            Method::Branches => "branches".into(),
            Method::Steps => "steps".into(),
        },
        fixed_addresses,
        output_sha256,
        per_64_weights: total.per_64(weights as f64),
        total,
        hot_loop,
    };
    Counted { record, static_model }
}
