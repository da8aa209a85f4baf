//! A regression gate on the page.

use super::anchors;
use crate::gate_words::{Weight, by_gravity, columns, differing, outcome_word, place, sides, speeds, weight};
use crate::query;
use receipt::judge::{builds, coverage};
use receipt::{ExactCheck, GateCell, GateRecord, Outcome, Receipt};
use serde::Serialize;

/// The gate's part of the page.
#[derive(Debug, Serialize)]
pub struct GateView {
    outcome: &'static str,
    class: &'static str,
    reason: String,
    next_step: String,
    sides: String,
    /// Where the builds differ in more than their commit.
    builds: Option<String>,
    inject: Option<String>,
    families: Vec<FamilyGate>,
    agree: usize,
    differ: Vec<[String; 5]>,
    left_out: Vec<String>,
}

/// The comparisons of one family.
#[derive(Debug, Serialize)]
struct FamilyGate {
    title: String,
    anchor: String,
    rows: Vec<Row>,
}

/// One comparison.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    source: Option<String>,
    place: String,
    kernel: String,
    outcome: &'static str,
    class: &'static str,
    columns: [String; 5],
    baseline: String,
    current: String,
    reason: String,
    /// One dot a process pair, scaled to +-10%: a slowdown is to the right.
    dots: Vec<Dot>,
}

/// A process pair in the strip.
#[derive(Debug, Serialize)]
struct Dot {
    x: String,
    /// Whether it is the A/A pair.
    same: bool,
}

/// Share at either end of the strip.
const STRIP: f64 = 0.1;

impl GateView {
    /// The gate of `receipt`, if it is one.
    pub fn new(receipt: &Receipt) -> Option<Self> {
        let record: &GateRecord = receipt.gate.as_ref()?;
        let planted = |i: &receipt::Injection| format!("A slowdown of {}% was planted in {}.", i.percent, i.kernel);
        let row = |c: &ExactCheck, note: String| {
            let change = format!("{} → {}", c.baseline, c.current);
            [c.what.clone(), c.kernel.clone(), c.subject.clone(), change, note]
        };
        let (wrong, accepted) = differing(record);
        let wrong = wrong.into_iter().map(|c| row(c, c.note.clone()));
        let accepted = accepted.into_iter().map(|c| row(c, format!("accepted: {}", c.note)));
        Some(Self {
            outcome: outcome_word(record.outcome),
            class: class(record.outcome),
            reason: record.reason.clone(),
            next_step: record.next_step.clone(),
            sides: sides(record),
            builds: builds::beside(record),
            inject: record.inject.as_ref().map(planted),
            families: families(receipt, record),
            agree: record.checks.iter().filter(|c| c.passed).count(),
            differ: wrong.chain(accepted).collect(),
            left_out: coverage::by_gravity(record).into_iter().map(coverage::in_words).collect(),
        })
    }
}

/// CSS class of an outcome.
pub fn class(outcome: Outcome) -> &'static str {
    match weight(outcome) {
        Weight::Good => "ok",
        Weight::Bad => "bad",
        Weight::Open => "noise",
    }
}

/// The gravest family first, and in it the gravest comparison.
fn families(receipt: &Receipt, record: &GateRecord) -> Vec<FamilyGate> {
    let mut out: Vec<FamilyGate> = Vec::new();
    for (i, cell) in by_gravity(record).into_iter().enumerate() {
        let title: String = query::family_title(cell.family).into();
        let at = out.iter().position(|f| f.title == title).unwrap_or_else(|| {
            out.push(FamilyGate {
                title,
                anchor: format!("gate-{}", anchors::slug(cell.family.name())),
                rows: Vec::new(),
            });
            out.len() - 1
        });
        out[at].rows.push(row(receipt, i, cell));
    }
    out
}

fn row(receipt: &Receipt, index: usize, cell: &GateCell) -> Row {
    let [baseline, current] = speeds(cell);
    Row {
        id: format!("gated-{}", index + 1),
        source: anchors::source(receipt, &cell.kernel),
        place: place(cell),
        kernel: cell.kernel.clone(),
        outcome: outcome_word(cell.verdict.outcome),
        class: class(cell.verdict.outcome),
        columns: columns(cell),
        baseline,
        current,
        reason: cell.verdict.reason.clone(),
        dots: dots(cell),
    }
}

fn dots(cell: &GateCell) -> Vec<Dot> {
    let (effect, same) = receipt::judge::gate::samples(&cell.pairs, cell.threads);
    let dot = |same: bool| {
        move |log: f64| Dot { x: format!("{:.1}", 100.0 + 100.0 * (log.exp_m1() / STRIP).clamp(-1.0, 1.0)), same }
    };
    same.into_iter().map(dot(true)).chain(effect.into_iter().map(dot(false))).collect()
}
