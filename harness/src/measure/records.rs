//! What `model` says of a run, as receipts keep it and as it is printed.

use model::sparse_ffn::{Probe, SparseFfn};
use model::times::Times;
use receipt::figures::mib;
use receipt::{DecodeTimesNs, ForwardMs, PhasesMs, SparseFfnRecord, SparseProbe};

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Milliseconds that each phase of decoding took, for a receipt.
pub fn phases_ms(t: &Times) -> PhasesMs {
    let [embed, forward, logits, sample, stop_check] = [t.embed, t.forward, t.logits, t.sample, t.stop_check].map(ms);
    PhasesMs { embed, forward, logits, sample, stop_check }
}

/// Milliseconds that each operation inside `forward` took, for a receipt.
pub fn forward_ms(t: &Times) -> ForwardMs {
    let [qkv, attention, attn_out] = [t.qkv, t.attention, t.attn_out].map(ms);
    let [gate_up, down, norms, activation_quant] = [t.gate_up, t.down, t.norms, t.activation_quant].map(ms);
    ForwardMs { qkv, attention, attn_out, gate_up, down, norms, activation_quant }
}

/// Nanoseconds of all phases of decoding and of the operations inside `forward`, for a receipt.
pub fn decode_times_ns(t: &Times) -> DecodeTimesNs {
    DecodeTimesNs {
        embed: t.embed,
        forward: t.forward,
        logits: t.logits,
        sample: t.sample,
        stop_check: t.stop_check,
        qkv: t.qkv,
        attention: t.attention,
        attn_out: t.attn_out,
        gate_up: t.gate_up,
        down: t.down,
        norms: t.norms,
        activation_quant: t.activation_quant,
    }
}

/// The record of skipping zero gates: the probe, the mode, and the live shares since the last reset.
pub fn sparse_ffn(sparse: &SparseFfn) -> SparseFfnRecord {
    let found = sparse.summary();
    let probe = found.probe.map(|p| {
        let Probe { dense_us, shares, sparse_us, crossover, .. } = p;
        SparseProbe { dense_us, shares, sparse_us, crossover }
    });
    SparseFfnRecord {
        mode: found.mode.into(),
        operations: found.operations.into(),
        crossover: found.crossover,
        probe,
        extra_bytes: found.extra_bytes,
        live_share: found.live_share,
        live_columns_share: found.live_columns_share,
        sparse_steps_share: found.sparse_steps_share,
        dense_kernel: None,
        vs_dense: None,
        dense_rounds: Vec::new(),
    }
}

/// What skipping zero gates does and costs, in one line to print.
pub fn sparse_in_words(sparse: &SparseFfn) -> String {
    let summary = sparse.summary();
    let memory = mib(summary.extra_bytes);
    let Some(p) = &summary.probe else {
        return format!("skipping zero gates: always, as asked, {memory} more memory");
    };
    let on = if p.crossover > 0.0 { "on" } else { "off" };
    let (dense, sparse, share) = (p.dense_us, p.sparse_us[0], 100.0 * p.shares[0]);
    let probe = format!("{dense:.0} µs dense, {sparse:.0} µs when {share:.0}% of gates are non-zero");
    format!("skipping zero gates: {on}, {memory} more memory (probe: {probe}); --dense turns it off")
}
