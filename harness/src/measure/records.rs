//! What `model` says of a run, as receipts keep it and as it is printed.

use model::sparse_ffn::{Probe, SparseFfn};
use model::times::Times;
use receipt::figures::mib;
use receipt::{DecodeTimesNs, ForwardMs, PhasesMs, SparseFfnRecord, SparseProbe};

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Phases in milliseconds.
pub fn phases_ms(t: &Times) -> PhasesMs {
    PhasesMs {
        embed: ms(t.embed),
        forward: ms(t.forward),
        logits: ms(t.logits),
        sample: ms(t.sample),
        stop_check: ms(t.stop_check),
    }
}

/// Operations inside `forward` in milliseconds.
pub fn forward_ms(t: &Times) -> ForwardMs {
    ForwardMs {
        qkv: ms(t.qkv),
        attention: ms(t.attention),
        attn_out: ms(t.attn_out),
        gate_up: ms(t.gate_up),
        down: ms(t.down),
        norms: ms(t.norms),
        activation_quant: ms(t.activation_quant),
    }
}

/// All of them in nanoseconds.
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

/// Skipping: the probe, the mode, and the live shares since the last reset.
pub fn sparse_ffn(sparse: &SparseFfn) -> SparseFfnRecord {
    let found = sparse.summary();
    let probe = found.probe.map(|p| {
        let Probe { dense_us, shares, sparse_us, crossover } = p;
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

/// Skipping in one line to print.
pub fn sparse_in_words(sparse: &SparseFfn) -> String {
    let summary = sparse.summary();
    let memory = mib(summary.extra_bytes);
    match &summary.probe {
        Some(p) => {
            let on = if p.crossover > 0.0 { "on" } else { "off" };
            let share = 100.0 * p.shares[0];
            format!(
                "skipping zero gates: {on}, {memory} more memory (probe: {:.0} µs dense, {:.0} µs when \
                 {share:.0}% of gates are non-zero); --dense turns it off",
                p.dense_us, p.sparse_us[0]
            )
        }
        None => format!("skipping zero gates: always, as asked, {memory} more memory"),
    }
}
