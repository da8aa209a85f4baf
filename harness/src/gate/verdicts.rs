//! From a gate's raw rounds to its verdicts. Nothing but the record itself is looked at, so that a receipt can be recomputed.

use crate::measure::rounds::charged;
use crate::measure::sequential::{self, Sample};
use crate::measure::stats::median;
use crate::receipt::{ExactCheck, GateCell, GatePair, GateRecord, Outcome, Rule, Verdict};

/// Columns of a round.
pub const BASELINE: usize = 0;
/// The build that is judged.
pub const CURRENT: usize = 1;
/// The baseline in a second process: its difference from the first is what the machine makes up.
pub const BASELINE_AGAIN: usize = 2;

/// One sample a process pair: the medians over its rounds of log(current / baseline), and of log(baseline again / baseline).
pub fn samples(pairs: &[GatePair], threads: usize) -> (Vec<f64>, Vec<f64>) {
    let against_baseline = |pair: &GatePair, own: usize| {
        median(&sequential::log_ratios(&charged(&pair.rounds, BASELINE, threads), &charged(&pair.rounds, own, threads)))
    };
    pairs.iter().map(|p| (against_baseline(p, CURRENT), against_baseline(p, BASELINE_AGAIN))).unzip()
}

/// A cell's verdict over its pairs so far, and whether it stands.
pub fn verdict(rule: &Rule, pairs: &[GatePair], threads: usize) -> (Verdict, bool) {
    let (effect, same) = samples(pairs, threads);
    sequential::decide(rule, Sample::ProcessPair, &effect, &same, "the baseline")
}

/// Fills in times, verdicts and the outcome from raw rounds and exact checks.
pub fn summarize(gate: &mut GateRecord) {
    for cell in &mut gate.cells {
        let per_call = |column_of: usize| {
            let ns = cell.pairs.iter().flat_map(|pair| charged(&pair.rounds, column_of, cell.threads));
            median(&ns.map(|ns| ns as f64 / f64::from(cell.calls_per_epoch.max(1))).collect::<Vec<_>>())
        };
        (cell.baseline_ns_per_call, cell.current_ns_per_call) = (per_call(BASELINE), per_call(CURRENT));
        cell.verdict = verdict(&gate.rule, &cell.pairs, cell.threads).0;
    }
    (gate.outcome, gate.reason, gate.next_step) = conclude(gate);
}

/// The gate's outcome: the gravest thing that was found. A wrong result outweighs every timing.
fn conclude(gate: &GateRecord) -> (Outcome, String, String) {
    // More instructions are accepted from a kernel that is faster in every cell, with its whole interval.
    let faster = |kernel: &str| {
        let mut own = gate.cells.iter().filter(|c| c.kernel == kernel).peekable();
        own.peek().is_some() && own.all(|c| c.verdict.pass_high.is_some_and(|high| high < 0.0))
    };
    let accepted = |c: &ExactCheck| c.passed || (c.what == super::exact::INSTRUCTIONS && faster(&c.kernel));
    let wrong: Vec<_> = gate.checks.iter().filter(|c| !accepted(c)).collect();
    if let Some(first) = wrong.first() {
        let more = if wrong.len() > 1 { format!(" and {} more", wrong.len() - 1) } else { String::new() };
        let (what, kernel) = (&first.what, &first.kernel);
        if first.what == super::exact::INSTRUCTIONS {
            return (
                Outcome::Fail,
                format!(
                    "{what} of {kernel} grew from {} to {} on {}{more}",
                    first.baseline, first.current, first.subject
                ),
                format!("run `harness count --kernels {kernel}` on both builds and compare the mix"),
            );
        }
        return (
            Outcome::Fail,
            format!("{what} of {kernel} differs on {}{more}", first.subject),
            format!("run `harness verify --kernels {kernel}` on both builds"),
        );
    }
    let of = |outcome| gate.cells.iter().filter(move |c| c.verdict.outcome == outcome);
    for outcome in [Outcome::Fail, Outcome::Unstable, Outcome::Inconclusive] {
        if let Some(first) = of(outcome).max_by(|a, b| a.verdict.change.total_cmp(&b.verdict.change)) {
            let others = of(outcome).count() - 1;
            let more = if others > 0 { format!("; {others} more") } else { String::new() };
            let reason = format!("{}: {}{more}", title(first), first.verdict.reason);
            return (outcome, reason, first.verdict.next_step.clone());
        }
    }
    if gate.cells.is_empty() {
        let why = gate.unsupported.first().map_or("no kernel was asked for".into(), |u| u.reason.clone());
        return (
            Outcome::Unsupported,
            format!("nothing could be compared here: {why}"),
            "run on a CPU that has it, or save the baseline again with this build".into(),
        );
    }
    let largest = gate.cells.iter().map(|c| c.verdict.pass_high.unwrap_or(c.verdict.change)).fold(f64::MIN, f64::max);
    let checks =
        if gate.checks.is_empty() { String::new() } else { format!(", {} exact checks agree", gate.checks.len()) };
    let cells = gate.cells.len();
    let reason = format!("none of {cells} comparisons is slower by more than {:.1}%{checks}", 100.0 * largest.max(0.0));
    (Outcome::Pass, reason, "nothing to do".into())
}

/// `avx2-i8 gemv 6912x2560 from DRAM`.
pub fn title(cell: &GateCell) -> String {
    let tokens = if cell.tokens > 1 { format!("x{}", cell.tokens) } else { String::new() };
    let place = crate::report::residency(cell.residency);
    format!("{} {} {}x{}{tokens} {place}", cell.kernel, cell.op, cell.m, cell.k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::Round;

    #[test]
    fn a_preempted_epoch_is_charged_its_cpu_time() {
        let round = |ns: [u64; 3], switches: u32| Round {
            order: vec![0, 1, 2],
            ns: ns.into(),
            cpu_ns: vec![100, 105, 100],
            involuntary_switches: vec![0, switches, 0],
        };
        let pair = |round: Round| [GatePair { pair: 0, cpu: None, rounds: vec![round] }];
        let change = |pairs: &[GatePair], threads| samples(pairs, threads).0[0].exp();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(change(&pair(round([100, 900, 100], 1)), 1), 1.05));
        assert!(near(change(&pair(round([100, 900, 100], 1)), 2), 9.0), "other threads' time is not known");
        assert!(near(change(&pair(round([100, 110, 100], 0)), 1), 1.1));
    }
}
