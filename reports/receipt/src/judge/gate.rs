//! From a gate's raw rounds to its verdicts. The record is the only input, so that a receipt can be recomputed.

use crate::judge::columns::Columns;
pub use crate::judge::columns::{BASELINE, BASELINE_AGAIN, CURRENT};
use crate::judge::coverage;
use crate::judge::disturbance::disturbances;
use crate::judge::stats::median;
use crate::record::{Broken, ExactCheck, GateCell, GatePair, GateRecord, Outcome, Receipt, Rule, Verdict};

/// Name of the exact check of instruction counts in a gate's record (`what`).
pub const INSTRUCTIONS: &str = "instructions";

/// One sample a process pair: the medians over its rounds of log(current / baseline), and of log(baseline again /
/// baseline).
pub fn samples(pairs: &[GatePair], threads: usize) -> (Vec<f64>, Vec<f64>) {
    let columns = Columns::gate(pairs, threads);
    (columns.log_ratios(CURRENT, BASELINE), columns.same().to_vec())
}

/// The verdict of a gate's cell over its process pairs so far, and whether it is final.
pub fn verdict(rule: &Rule, pairs: &[GatePair], threads: usize) -> (Verdict, bool) {
    Columns::gate(pairs, threads).verdict(rule, CURRENT, BASELINE)
}

/// The verdict of a cell as [`verdict`] gives it; where its process failed, that is the verdict, and it is final.
pub fn judged(rule: &Rule, cell: &GateCell) -> (Verdict, bool) {
    let (verdict, stands) = verdict(rule, &cell.pairs, cell.threads);
    let (outcome, reason, next_step) = match &cell.broken {
        None => return (verdict, stands),
        Some(Broken::Current(reason)) => {
            (Outcome::Fail, reason, format!("run `tritbench verify --kernels {}` with the current build", cell.kernel))
        }
        Some(Broken::Baseline(reason)) => {
            (Outcome::Unsupported, reason, "gate against a build that does not fail here".into())
        }
    };
    (Verdict { outcome, reason: reason.clone(), next_step, ..verdict }, true)
}

/// Tokens a second of the baseline and of the current build; none for a cell of a single matrix.
pub fn tokens_per_s(cell: &GateCell) -> Option<[f64; 2]> {
    let rate = |ns: f64| if ns > 0.0 { 1e9 * cell.tokens as f64 / ns } else { 0.0 };
    cell.model.is_some().then(|| [rate(cell.baseline_ns_per_call), rate(cell.current_ns_per_call)])
}

/// Fills in a gate as [`summarize`] does once its run has ended; the next step then removes what disturbed it.
pub fn summarize_run(receipt: &mut Receipt) {
    let remedy = disturbances(receipt).first().map(|found| found.remedy);
    if let Some(gate) = &mut receipt.gate {
        fill(gate, remedy);
    }
}

/// Fills in a gate's times, verdicts and outcome from its raw rounds and exact checks.
pub fn summarize(gate: &mut GateRecord) {
    fill(gate, None);
}

fn fill(gate: &mut GateRecord, remedy: Option<&str>) {
    for cell in &mut gate.cells {
        let columns = Columns::gate(&cell.pairs, cell.threads);
        let calls = f64::from(cell.calls_per_epoch.max(1));
        let per_call = |build| median(&columns.ns(build).iter().map(|&ns| ns as f64 / calls).collect::<Vec<_>>());
        (cell.baseline_ns_per_call, cell.current_ns_per_call) = (per_call(BASELINE), per_call(CURRENT));
        let (mut verdict, stands) = judged(&gate.rule, cell);
        // Not of one that was cut off: that is to be run to its end first.
        let noisy = stands && matches!(verdict.outcome, Outcome::Unstable | Outcome::Inconclusive);
        if let Some(remedy) = remedy.filter(|_| noisy) {
            verdict.next_step = remedy.into();
        }
        cell.verdict = verdict;
    }
    (gate.outcome, gate.reason, gate.next_step) = conclude(gate);
}

/// Whether a check stands in the way of nothing: it passed, or it found more instructions of a kernel that is faster in
/// every cell, the whole interval below 0.
pub fn accepted(gate: &GateRecord, check: &ExactCheck) -> bool {
    let faster = || {
        let mut own = gate.cells.iter().filter(|c| c.kernel == check.kernel).peekable();
        own.peek().is_some() && own.all(|c| c.verdict.pass_high.is_some_and(|high| high < 0.0))
    };
    check.passed || (check.what == INSTRUCTIONS && faster())
}

/// The gate's outcome: the gravest thing that was found. A wrong result outweighs every timing, and what only a change
/// of the build mends is said before what another run may settle.
fn conclude(gate: &GateRecord) -> (Outcome, String, String) {
    let wrong: Vec<_> = gate.checks.iter().filter(|c| !accepted(gate, c)).collect();
    if let Some(first) = wrong.first() {
        let more = if wrong.len() > 1 { format!(" and {} more", wrong.len() - 1) } else { String::new() };
        let (what, kernel) = (&first.what, &first.kernel);
        if first.what == INSTRUCTIONS {
            return (
                Outcome::Fail,
                format!(
                    "{what} of {kernel} grew from {} to {} on {}{more}",
                    first.baseline, first.current, first.subject
                ),
                format!("run `tritbench count --kernels {kernel}` on both builds and compare the mix"),
            );
        }
        return (
            Outcome::Fail,
            format!("{what} of {kernel} differs on {}{more}", first.subject),
            format!("run `tritbench verify --kernels {kernel}` on both builds"),
        );
    }
    let of = |outcome| gate.cells.iter().filter(move |c| c.verdict.outcome == outcome);
    for outcome in [Outcome::Fail, Outcome::Unstable, Outcome::Inconclusive] {
        if let Some((reason, next_step)) = coverage::lacking(gate).filter(|_| outcome == Outcome::Inconclusive) {
            return (outcome, reason, next_step);
        }
        if let Some(first) = of(outcome).max_by(|a, b| a.verdict.change.total_cmp(&b.verdict.change)) {
            let others = of(outcome).count() - 1;
            let more = if others > 0 { format!("; {others} more") } else { String::new() };
            let reason = format!("{}: {}{more}", title(first), first.verdict.reason);
            return (outcome, reason, first.verdict.next_step.clone());
        }
    }
    let compared: Vec<&GateCell> = gate.cells.iter().filter(|c| c.verdict.outcome != Outcome::Unsupported).collect();
    if compared.is_empty() {
        let broken = gate.cells.first().map(|c| &c.verdict.reason);
        let why = broken.or(gate.unsupported.first().map(|u| &u.reason));
        let why = why.map_or("no kernel was asked for", String::as_str);
        return (
            Outcome::Unsupported,
            format!("nothing could be compared here: {why}"),
            "run on a CPU that has it, or save the baseline again with this build".into(),
        );
    }
    let largest = compared.iter().map(|c| c.verdict.pass_high.unwrap_or(c.verdict.change)).fold(f64::MIN, f64::max);
    let checks =
        if gate.checks.is_empty() { String::new() } else { format!(", {} exact checks agree", gate.checks.len()) };
    let cells = compared.len();
    let not_compared = coverage::beside(gate, gate.cells.len() - cells);
    let reason = format!(
        "none of {cells} comparisons is slower by more than {:.1}%{checks}{not_compared}",
        100.0 * largest.max(0.0)
    );
    (Outcome::Pass, reason, "nothing to do".into())
}

/// What a gate's cell is called: `avx2-i8 gemv 6912x2560 from DRAM`, `avx2-i8 decode, built-in model`.
pub fn title(cell: &GateCell) -> String {
    if let Some(model) = &cell.model {
        return format!("{} {}", cell.kernel, crate::titles::gated_text(cell.op, cell.tokens, model));
    }
    let product = crate::titles::product(cell.op, cell.m, cell.k, cell.tokens);
    let title = format!("{} {product} {}", cell.kernel, crate::titles::residency(cell.residency));
    crate::titles::scaled(title, cell.scaling())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::gate as fixture;
    use crate::record::{Operation, Round};

    /// A process pair of rounds with these wall times.
    fn pair(rounds: &[[u64; 3]], cpu_ns: [u64; 3], switches: [u32; 3]) -> GatePair {
        let round = |ns: &[u64; 3]| Round {
            order: vec![0, 1, 2],
            ns: ns.into(),
            cpu_ns: cpu_ns.into(),
            wall_ns: Vec::new(),
            involuntary_switches: switches.into(),
        };
        GatePair { pair: 0, cpu: None, rounds: rounds.iter().map(round).collect() }
    }

    /// Ratios in thousandths.
    fn rounded(logs: &[f64]) -> Vec<u64> {
        logs.iter().map(|log| (log.exp() * 1000.0).round() as u64).collect()
    }

    #[test]
    fn a_preempted_epoch_is_charged_its_cpu_time() {
        // The second epoch's wall time and switches, threads, and its ratio to the first.
        for (ns, switches, threads, ratio) in [(900, 1, 1, 1050), (900, 1, 2, 9000), (110, 0, 1, 1100)] {
            let pairs = [pair(&[[100, ns, 100]], [100, 105, 100], [0, switches, 0])];
            assert_eq!(rounded(&samples(&pairs, threads).0), [ratio], "other threads' time is not known");
        }
    }

    #[test]
    fn each_column_has_its_own_samples() {
        // A CPU time of 0 is one that was not read.
        let pairs = [&[[100, 110, 90], [100, 120, 80], [100, 130, 70]][..], &[[200, 100, 200]]];
        let (effect, same) = samples(&pairs.map(|rounds| pair(rounds, [0; 3], [3; 3])), 1);
        assert_eq!((rounded(&effect), rounded(&same)), (vec![1200, 500], vec![800, 1000]));
    }

    #[test]
    fn a_record_is_summarized_from_its_rounds() {
        let gate = fixture::record(0.08);
        // Nanoseconds of a call.
        let of = |c: &GateCell| (c.kernel.clone(), [c.baseline_ns_per_call, c.current_ns_per_call].map(|ns| ns as u64));
        let times: Vec<_> = gate.cells.iter().map(of).collect();
        let expected =
            [("scalar-i8", [167_706, 170_401]), ("avx2-i8", [9_763, 10_605]), ("avx2-permute", [33_153, 32_982])];
        assert_eq!(times, expected.map(|(kernel, ns)| (kernel.to_owned(), ns)));
        let outcomes: Vec<_> = gate.cells.iter().map(|c| (c.verdict.outcome, c.verdict.samples)).collect();
        assert_eq!(outcomes, [(Outcome::Pass, 12), (Outcome::Fail, 12), (Outcome::Pass, 12)]);
        assert_eq!(gate.outcome, Outcome::Fail);
        let reason = "avx2-i8 gemv 256x2560 from L2: 8.5% slower than the baseline";
        assert!(gate.reason.starts_with(reason), "{}", gate.reason);
        assert_eq!(gate.next_step, gate.cells[1].verdict.next_step);
    }

    #[test]
    fn a_cell_whose_process_failed_is_judged_by_that() {
        let broken = |broken: Broken| {
            let mut gate = fixture::record(0.0);
            gate.cells[0].broken = Some(broken);
            summarize(&mut gate);
            gate
        };
        let gate = broken(Broken::Current("the worker hung".into()));
        assert_eq!((gate.cells[0].verdict.outcome, gate.outcome), (Outcome::Fail, Outcome::Fail));
        assert_eq!(gate.reason, "scalar-i8 gemv 256x2560 from L2: the worker hung");
        let mut gate = broken(Broken::Baseline("the worker died".into()));
        assert_eq!((gate.cells[0].verdict.outcome, gate.outcome), (Outcome::Unsupported, Outcome::Pass));
        assert!(gate.reason.starts_with("none of 2 comparisons") && gate.reason.ends_with("; 1 could not be made"));
        gate.cells.truncate(1);
        summarize(&mut gate);
        assert_eq!(gate.outcome, Outcome::Unsupported);
        assert_eq!(gate.reason, "nothing could be compared here: the worker died");
    }

    #[test]
    fn the_next_step_removes_what_the_receipt_shows_to_be_the_cause() {
        let mut receipt = fixture::receipt(0.0);
        receipt.host.load_after = Some(receipt.host.load_before);
        // The baseline against itself scatters, so nothing can be said.
        for cell in &mut receipt.gate.as_mut().expect("a gate").cells {
            for (i, pair) in cell.pairs.iter_mut().enumerate() {
                pair.rounds.iter_mut().for_each(|r| r.ns[2] = [600_000, 1_400_000][i % 2]);
            }
        }
        let said = |receipt: &mut Receipt| {
            summarize_run(receipt);
            let gate = receipt.gate.as_ref().expect("a gate");
            assert_eq!(gate.outcome, Outcome::Unstable, "{}", gate.reason);
            (gate.next_step.clone(), gate.cells[0].verdict.next_step.clone())
        };
        let (next, _) = said(&mut receipt);
        assert!(next.starts_with("stop what else runs"), "{next}");
        receipt.host.load_before.quota_stops = Some(0);
        receipt.host.load_after.as_mut().expect("it ended").quota_stops = Some(387);
        let (next, of_cell) = said(&mut receipt);
        assert!(next.starts_with("raise the CPU quota") && next == of_cell, "{next}");
        receipt.gate.as_mut().expect("a gate").cells.iter_mut().for_each(|c| c.pairs.truncate(3));
        summarize_run(&mut receipt);
        assert_eq!(receipt.gate.expect("a gate").next_step, "run it to its end", "cut off");
    }

    #[test]
    fn a_title_names_operation_and_place_and_a_whole_model_is_read_in_tokens_a_second() {
        let mut cell = fixture::cell("k", 0.0);
        (cell.baseline_ns_per_call, cell.current_ns_per_call) = (4e6, 2e6);
        for (op, model, tokens, expected, rates) in [
            (Operation::Gemv, None, 1, "k gemv 256x2560 from L2", None),
            (Operation::Gemm, None, 32, "k gemm 256x2560x32 from L2", None),
            (Operation::Prefill, Some("builtin"), 32, "k prefill of 32 tokens, built-in model", Some([8e3, 16e3])),
            (Operation::Decode, Some("synth:2b-4t"), 1, "k decode, synth:2b-4t", Some([250.0, 500.0])),
        ] {
            (cell.op, cell.model, cell.tokens) = (op, model.map(String::from), tokens);
            assert_eq!((title(&cell).as_str(), tokens_per_s(&cell)), (expected, rates));
        }
    }

    /// A gate of these cells' outcomes and changes, concluded.
    fn concluded(cells: &[(Outcome, f64)], checks: Vec<ExactCheck>) -> (Outcome, String, String) {
        let cell = |(i, (outcome, change)): (usize, &(Outcome, f64))| {
            let mut cell = fixture::cell(&format!("k{i}"), 0.0);
            (cell.verdict.outcome, cell.verdict.change, cell.verdict.pass_high) =
                (*outcome, *change, Some(change + 0.01));
            (cell.verdict.reason, cell.verdict.next_step) = (format!("reason {i}"), format!("step {i}"));
            cell
        };
        let cells = cells.iter().enumerate().map(cell).collect();
        conclude(&GateRecord { cells, checks, ..fixture::record(0.0) })
    }

    #[test]
    fn the_gravest_finding_is_the_outcome() {
        use Outcome::{Fail, Inconclusive, Pass, Unstable, Unsupported};
        let wrong = |ids: &[&str]| ids.iter().map(|id| fixture::check("output", id, false)).collect::<Vec<_>>();
        let agrees = || vec![fixture::check("output", "a", true)];
        type Cells<'a> = &'a [(Outcome, f64)];
        let cases: [(Cells<'_>, Vec<ExactCheck>, Outcome, &str); 9] = [
            (&[(Fail, 0.2)], [agrees(), wrong(&["b"])].concat(), Fail, "output of b differs on gemv 256x2560"),
            (&[(Pass, 0.0)], wrong(&["b", "c", "d"]), Fail, "output of b differs on gemv 256x2560 and 2 more"),
            // The worst of the gravest speaks.
            (
                &[(Unstable, 0.5), (Fail, 0.1), (Fail, 0.3), (Inconclusive, 0.9), (Pass, 0.0)],
                Vec::new(),
                Fail,
                "k2 gemv 256x2560 from L2: reason 2; 1 more",
            ),
            (&[(Inconclusive, 0.9), (Unstable, 0.5)], Vec::new(), Unstable, "k1 gemv 256x2560 from L2: reason 1"),
            (&[(Inconclusive, 0.9), (Pass, 0.5)], Vec::new(), Inconclusive, "k0 gemv 256x2560 from L2: reason 0"),
            (
                &[(Pass, -0.02), (Pass, 0.004)],
                agrees(),
                Pass,
                "none of 2 comparisons is slower by more than 1.4%, 1 exact checks agree",
            ),
            (&[(Pass, -0.2)], Vec::new(), Pass, "none of 1 comparisons is slower by more than 0.0%"),
            (&[], agrees(), Unsupported, "nothing could be compared here: no kernel was asked for"),
            (&[(Unsupported, 0.0)], Vec::new(), Unsupported, "nothing could be compared here: reason 0"),
        ];
        for (cells, checks, outcome, reason) in cases {
            let found = concluded(cells, checks);
            assert_eq!((found.0, found.1.as_str()), (outcome, reason));
        }
        let next = |cells: &[(Outcome, f64)], checks| concluded(cells, checks).2;
        assert_eq!(next(&[], wrong(&["b"])), "run `tritbench verify --kernels b` on both builds");
        assert_eq!(next(&[(Pass, 0.0), (Fail, 0.3)], Vec::new()), "step 1");
    }

    #[test]
    fn more_instructions_are_accepted_only_of_a_kernel_that_is_faster_everywhere() {
        use Outcome::{Fail, Pass};
        let grown = |kernel: &str| fixture::check(INSTRUCTIONS, kernel, false);
        // `pass_high` is the change and 0.01.
        let faster = [(Pass, -0.02)];
        assert_eq!(concluded(&faster, vec![grown("k0")]).0, Pass);
        let (outcome, reason, next) = concluded(&[(Pass, -0.01)], vec![grown("k0")]);
        assert_eq!((outcome, reason.as_str()), (Fail, "instructions of k0 grew from 100 to 200 on gemv 256x2560"));
        assert_eq!(next, "run `tritbench count --kernels k0` on both builds and compare the mix");
        let two = concluded(&faster, vec![grown("k7"), grown("k8")]);
        assert_eq!(two.1, "instructions of k7 grew from 100 to 200 on gemv 256x2560 and 1 more", "not timed at all");
        let output = vec![fixture::check("output", "k0", false)];
        assert_eq!(concluded(&faster, output).0, Fail, "a wrong result is never accepted");
        // Faster in one cell, not in the other.
        let mut gate = GateRecord { checks: vec![grown("k")], ..fixture::record(0.0) };
        gate.cells.iter_mut().for_each(|cell| cell.kernel = "k".into());
        gate.cells[0].verdict.pass_high = Some(-0.02);
        assert_eq!(conclude(&gate).0, Fail);
    }
}
