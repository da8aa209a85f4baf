//! A gate for tests: made-up process pairs of three kernels, judged by the rule that real ones are judged by.

use super::fixture;
use crate::gate::summarize;
use crate::measure::sequential::{DELTA, PAIR_LOOKS};
use crate::receipt::*;

/// A gate in which `avx2-i8` is `slowdown` slower (0.1 is 10%) and the others are as they were.
pub fn gate(slowdown: f64) -> Receipt {
    let mut receipt = fixture::empty();
    receipt.status = Status::Complete;
    receipt.scenario.name = "quick".into();
    let side =
        |label: &str| GateSide { label: label.into(), binary_sha256: "ab".repeat(32), build: receipt.build.clone() };
    let cell = |kernel: &str, slowdown: f64| GateCell {
        kernel: kernel.into(),
        op: "gemv".into(),
        m: 6912,
        k: 2560,
        tokens: 1,
        residency: Residency::Cache,
        family: "W2A8".into(),
        threads: 1,
        calls_per_epoch: 4,
        pairs: (0..32).map(|pair| GatePair { pair, cpu: Some(1), rounds: rounds(pair, slowdown) }).collect(),
        baseline_ns_per_call: 0.0,
        current_ns_per_call: 0.0,
        verdict: verdict(),
    };
    let mut record = GateRecord {
        baseline: side("main"),
        current: side("current"),
        rule: Rule::new(DELTA, "process pair", &PAIR_LOOKS, 32, 3),
        rounds_per_pair: 5,
        inject: None,
        checks: vec![ExactCheck {
            what: "output".into(),
            kernel: "avx2-i8".into(),
            subject: "gemv 6912x2560".into(),
            baseline: "ab12".into(),
            current: "ab12".into(),
            passed: true,
            note: String::new(),
        }],
        cells: vec![cell("scalar-i8", 0.0), cell("avx2-i8", slowdown), cell("avx2-i8-tile8", 0.0)],
        unsupported: vec![Unsupported { kernel: "avx512-vnni".into(), reason: "this CPU lacks avx512vnni".into() }],
        outcome: Outcome::Inconclusive,
        reason: String::new(),
        next_step: String::new(),
    };
    summarize(&mut record);
    receipt.gate = Some(record);
    receipt
}

fn rounds(pair: usize, slowdown: f64) -> Vec<Round> {
    let noise = |i: usize| 1.0 + 0.001 * ((i * 7 + pair * 3) % 5) as f64;
    let round = |i: usize| {
        let ns = [1e6 * noise(i), 1e6 * noise(i + 1) * (1.0 + slowdown), 1e6 * noise(i + 2)].map(|x| x as u64);
        Round { order: vec![0, 1, 2], cpu_ns: ns.into(), ns: ns.into(), involuntary_switches: vec![0; 3] }
    };
    (0..5).map(round).collect()
}

/// To be filled in.
fn verdict() -> Verdict {
    Verdict {
        outcome: Outcome::Inconclusive,
        partner: String::new(),
        samples: 0,
        change: 0.0,
        alarm_low: None,
        alarm_high: None,
        pass_high: None,
        pass_low: None,
        delta_eff: 0.0,
        aa_p95: 0.0,
        aa_change: 0.0,
        aa_low: None,
        aa_high: None,
        reason: String::new(),
        next_step: String::new(),
    }
}
