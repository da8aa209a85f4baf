//! What a gate says, in words that every form of it shares.

use crate::document::Tone;
use receipt::figures;
use receipt::judge::gate::{accepted, title, tokens_per_s};
use receipt::{ExactCheck, GateCell, GateRecord, Injection, Outcome};

/// The word for an outcome: PASS, FAIL, INCONCLUSIVE, UNSTABLE, UNSUPPORTED.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Inconclusive => "INCONCLUSIVE",
        Outcome::Unstable => "UNSTABLE",
        Outcome::Unsupported => "UNSUPPORTED",
    }
}

/// What an outcome weighs: one mapping for annotations, test reports and colours, so that they cannot disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The outcome is as it must be.
    Good,
    /// The outcome says that something is wrong.
    Bad,
    /// The outcome says nothing: it is neither a failure nor a proof.
    Open,
}

/// What an outcome weighs.
pub fn weight(outcome: Outcome) -> Weight {
    match outcome {
        Outcome::Pass => Weight::Good,
        Outcome::Fail => Weight::Bad,
        Outcome::Inconclusive | Outcome::Unstable | Outcome::Unsupported => Weight::Open,
    }
}

/// How an outcome is set off by colour.
pub fn tone(outcome: Outcome) -> Tone {
    match weight(outcome) {
        Weight::Good => Tone::Good,
        Weight::Bad => Tone::Bad,
        Weight::Open => Tone::Open,
    }
}

/// Exact checks that differ: those that the outcome counts, and those that it accepts.
pub fn differing(record: &GateRecord) -> (Vec<&ExactCheck>, Vec<&ExactCheck>) {
    record.checks.iter().filter(|c| !c.passed).partition(|c| !accepted(record, c))
}

/// A check that differs, in words: `output of avx2-i8 on gemv 256x2560 differs: integer results must not change`.
pub fn check(check: &ExactCheck) -> String {
    let note = if check.note.is_empty() { String::new() } else { format!(": {}", check.note) };
    format!("{} of {} on {} differs{note}", check.what, check.kernel, check.subject)
}

/// A cell without times in words: `FAIL avx2-i8 gemv 256x2560 from L2: the worker hung`.
pub fn cell(cell: &GateCell) -> String {
    format!("{} {}: {}", outcome_word(cell.verdict.outcome), title(cell), cell.verdict.reason)
}

/// A gate's comparisons, the gravest first, and of equals the slowest.
pub fn by_gravity(record: &GateRecord) -> Vec<&GateCell> {
    let gravity = |c: &GateCell| match c.verdict.outcome {
        Outcome::Fail => 0,
        Outcome::Unstable => 1,
        Outcome::Inconclusive => 2,
        Outcome::Unsupported => 3,
        Outcome::Pass => 4,
    };
    let mut cells: Vec<&GateCell> = record.cells.iter().collect();
    cells.sort_by(|a, b| gravity(a).cmp(&gravity(b)).then(b.verdict.change.total_cmp(&a.verdict.change)));
    cells
}

/// The time of a call with the baseline and with the current build, in words; of a whole model, tokens/s.
pub fn speeds(cell: &GateCell) -> [String; 2] {
    match tokens_per_s(cell) {
        Some(rates) => rates.map(|rate| format!("{} tokens/s", figures::number(rate))),
        None => [cell.baseline_ns_per_call, cell.current_ns_per_call].map(figures::duration),
    }
}

/// The sentence on a slowdown that a gate planted in one of its builds, to calibrate.
pub fn planted(injection: &Injection) -> String {
    let (percent, kernel) = (injection.percent, &injection.kernel);
    format!("a slowdown of {percent}% was planted in {kernel}: this gate calibrates, it says nothing about the build")
}

/// A cell's title without its kernel: `gemv 6912x2560 from DRAM`.
pub fn place(cell: &GateCell) -> String {
    // The title is the kernel and then the place.
    let title = title(cell);
    title.strip_prefix(&cell.kernel).unwrap_or(&title).trim().into()
}

/// A gate's builds and rule in words: `current 0123456789ab against main 0123456789ab; threshold 3.0%, ...`.
pub fn sides(record: &GateRecord) -> String {
    let commit = |side: &receipt::GateSide| {
        let commit = side.build.git_commit.as_deref().unwrap_or("no commit");
        let dirty = if side.build.git_dirty == Some(true) { "+changes" } else { "" };
        format!("{} {}{dirty}", side.label, commit.chars().take(12).collect::<String>())
    };
    let rule = &record.rule;
    format!(
        "{} against {}; threshold {}, chance of any false alarm {}, {} comparisons, looks at {:?} {}s",
        commit(&record.current),
        commit(&record.baseline),
        figures::percent(rule.delta),
        figures::percent(rule.alpha),
        rule.comparisons,
        rule.looks,
        rule.sample
    )
}
