//! What a gate did not compare, and what that means for its outcome: what the baseline has and the current build lacks
//! is no PASS, and what has no baseline yet may pass, but is named.

use crate::record::{Gap, GateRecord, LeftOut, Outcome};

/// The outcome that one left-out part gives a gate: INCONCLUSIVE where the gate covers less than it should.
pub fn outcome(left_out: &LeftOut) -> Outcome {
    match left_out.gap {
        Some(Gap::Lost | Gap::NotMade) => Outcome::Inconclusive,
        Some(Gap::NoBaseline | Gap::NotHere) | None => Outcome::Unsupported,
    }
}

/// One left-out part in words, in every format: `not compared: avx2-lut8 (the current build does not have it)`.
pub fn in_words(left_out: &LeftOut) -> String {
    format!("not compared: {} ({})", left_out.kernel, left_out.reason)
}

/// All that a gate left out, first what keeps it from passing.
pub fn by_gravity(gate: &GateRecord) -> Vec<&LeftOut> {
    let mut all: Vec<&LeftOut> = gate.unsupported.iter().collect();
    all.sort_by_key(|left_out| outcome(left_out) != Outcome::Inconclusive);
    all
}

/// Why the gate covers less than it should, and what to do about it; none where it does not.
pub fn lacking(gate: &GateRecord) -> Option<(String, String)> {
    let all: Vec<&LeftOut> = gate.unsupported.iter().filter(|u| outcome(u) == Outcome::Inconclusive).collect();
    let first = all.first()?;
    let (than, next) = match first.gap {
        Some(Gap::NotMade) => ("was asked for", "remove the cause, or gate without --full"),
        _ => ("the baseline", "bring it back, or leave it out and name the others with --kernels"),
    };
    let more = if all.len() > 1 { format!("; {} more", all.len() - 1) } else { String::new() };
    Some((format!("the gate covers less than {than}; {}{more}", in_words(first)), next.into()))
}

/// What a PASS says after its figures: `broken` cells, what has no baseline, and what cannot be done here.
pub fn beside(gate: &GateRecord, broken: usize) -> String {
    let of = |gap: Gap| gate.unsupported.iter().filter(move |u| u.gap.unwrap_or(Gap::NotHere) == gap);
    let mut out = if broken > 0 { format!("; {broken} could not be made") } else { String::new() };
    let fresh: Vec<&str> = of(Gap::NoBaseline).map(|u| u.kernel.as_str()).collect();
    if !fresh.is_empty() {
        out += &format!("; no baseline for {}", fresh.join(", "));
    }
    match of(Gap::NotHere).count() {
        0 => {}
        some => out += &format!("; {some} not possible here"),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::gate as fixture;
    use crate::judge::gate::summarize;

    fn gated(slowdown: f64, gaps: &[(&str, Option<Gap>)]) -> GateRecord {
        let mut gate = fixture::record(slowdown);
        let left_out = |(kernel, gap): &(&str, Option<Gap>)| LeftOut {
            kernel: (*kernel).into(),
            reason: format!("reason of {kernel}"),
            gap: *gap,
        };
        gate.unsupported = gaps.iter().map(left_out).collect();
        summarize(&mut gate);
        gate
    }

    #[test]
    fn what_the_baseline_has_and_the_current_build_lacks_is_no_pass() {
        assert_eq!(gated(0.0, &[]).outcome, Outcome::Pass);
        let gate = gated(0.0, &[("x", Some(Gap::NotHere)), ("old", Some(Gap::Lost)), ("older", Some(Gap::Lost))]);
        assert_eq!(gate.outcome, Outcome::Inconclusive);
        assert_eq!(gate.reason, "the gate covers less than the baseline; not compared: old (reason of old); 1 more");
        assert!(gate.next_step.contains("--kernels"), "{}", gate.next_step);
        let full = gated(0.0, &[("decode of large", Some(Gap::NotMade))]);
        assert_eq!(full.outcome, Outcome::Inconclusive);
        assert!(full.reason.starts_with("the gate covers less than was asked for; "), "{}", full.reason);
        assert!(full.next_step.contains("--full"), "{}", full.next_step);
        assert_eq!(by_gravity(&gate)[0].kernel, "old");
    }

    #[test]
    fn a_regression_outweighs_a_gap_and_a_gap_outweighs_what_another_run_may_settle() {
        assert_eq!(gated(0.08, &[("old", Some(Gap::Lost))]).outcome, Outcome::Fail);
        let mut gate = gated(0.0, &[("old", Some(Gap::Lost))]);
        gate.cells[0].pairs.truncate(1);
        summarize(&mut gate);
        assert_eq!(gate.cells[0].verdict.outcome, Outcome::Inconclusive);
        assert!(gate.reason.starts_with("the gate covers less"), "{}", gate.reason);
        // Nothing else was asked for.
        gate.cells.clear();
        summarize(&mut gate);
        assert_eq!(gate.outcome, Outcome::Inconclusive);
    }

    #[test]
    fn a_kernel_without_a_baseline_passes_and_is_named() {
        let gate = gated(0.0, &[("k9", Some(Gap::NoBaseline)), ("a", Some(Gap::NotHere)), ("b", None)]);
        assert_eq!(gate.outcome, Outcome::Pass);
        assert!(gate.reason.ends_with("; no baseline for k9; 2 not possible here"), "{}", gate.reason);
        let mut nothing = gate;
        nothing.cells.clear();
        summarize(&mut nothing);
        assert_eq!(nothing.outcome, Outcome::Unsupported);
    }
}
