//! A gate's record for tests, made up but whole: its verdicts follow from its rounds.

use super::verdicts::summarize;
use crate::measure::sequential::{DELTA, PAIR_LOOKS};
use crate::receipt::{
    ExactCheck, GateCell, GatePair, GateRecord, GateSide, Outcome, Receipt, Residency, Round, Rule, Verdict,
};
use crate::report::fixture;
use kernels::random::SplitMix64;

/// A gate over two kernels; the second one's current build takes `slowdown` more time.
pub fn record(slowdown: f64) -> GateRecord {
    let side = |label: &str| GateSide {
        label: label.into(),
        binary_sha256: "ab".repeat(32),
        build: crate::build_info::build(),
    };
    let mut gate = GateRecord {
        baseline: side("baseline main"),
        current: side("current"),
        rule: Rule::new(DELTA, "process pair", &PAIR_LOOKS, 16, 2),
        rounds_per_pair: 4,
        inject: None,
        checks: vec![check("output", "scalar-i8", true), check("instructions", "avx2-i8", true)],
        cells: vec![cell("scalar-i8", 0.0), cell("avx2-i8", slowdown)],
        unsupported: Vec::new(),
        outcome: Outcome::Inconclusive,
        reason: String::new(),
        next_step: String::new(),
    };
    summarize(&mut gate);
    gate
}

/// The receipt of such a gate.
pub fn receipt(slowdown: f64) -> Receipt {
    Receipt {
        status: crate::receipt::Status::Complete,
        gate: Some(record(slowdown)),
        build: crate::build_info::build(),
        ..fixture::empty()
    }
}

pub fn check(what: &str, kernel: &str, passed: bool) -> ExactCheck {
    ExactCheck {
        what: what.into(),
        kernel: kernel.into(),
        subject: "gemv 256x2560".into(),
        baseline: "100".into(),
        current: if passed { "100" } else { "200" }.into(),
        passed,
        note: String::new(),
    }
}

pub fn cell(kernel: &str, slowdown: f64) -> GateCell {
    let random = &mut SplitMix64::new(5);
    let mut noisy = |ns: f64| (ns * (1.0 + 0.002 * f64::from(random.signed_unit()))) as u64;
    let mut round = || {
        let ns = vec![noisy(1e6), noisy(1e6 * (1.0 + slowdown)), noisy(1e6)];
        Round { order: vec![0, 1, 2], cpu_ns: ns.clone(), ns, involuntary_switches: vec![0; 3] }
    };
    let pairs = (0..16).map(|pair| GatePair { pair, cpu: Some(1), rounds: (0..4).map(|_| round()).collect() });
    GateCell {
        kernel: kernel.into(),
        op: "gemv".into(),
        m: 256,
        k: 2560,
        tokens: 1,
        residency: Residency::Cache,
        family: "W2A8".into(),
        threads: 1,
        calls_per_epoch: 100,
        pairs: pairs.collect(),
        baseline_ns_per_call: 0.0,
        current_ns_per_call: 0.0,
        verdict: unknown(),
    }
}

fn unknown() -> Verdict {
    let rule = Rule::new(DELTA, "process pair", &PAIR_LOOKS, 16, 2);
    super::verdicts::verdict(&rule, &[], 1).0
}
