//! The ladder explained: what each stage was claimed to save, what it saved, what changed in its instructions, and the
//! verdict.

use super::anchors;
use crate::view::stages::RatioView;
use crate::{query, seed};
use receipt::figures;
use receipt::judge::claims::{self, Judged, Metric};
use receipt::{MicroCell, MicroSummary, Mix, Operation, Receipt, Residency};
use serde::Serialize;

/// The table.
#[derive(Debug, Serialize)]
pub struct LadderView {
    dequantize: String,
    gemv: Option<String>,
    counted: bool,
    rows: Vec<StageRow>,
}

#[derive(Debug, Serialize)]
struct StageRow {
    id: String,
    kernel: String,
    summary: String,
    claimed_saving: Option<String>,
    claimed_factor: Option<String>,
    saved: Option<String>,
    dequantize: Option<RatioView>,
    gemv: Option<RatioView>,
    instructions: String,
    reads: String,
    verdicts: Vec<VerdictView>,
}

/// A verdict as a tag with its reason.
#[derive(Debug, Serialize)]
pub struct VerdictView {
    claim: String,
    verdict: &'static str,
    class: &'static str,
    why: String,
}

impl VerdictView {
    /// Of a judged claim.
    pub fn new(judged: &Judged) -> Self {
        let class = match judged.verdict {
            claims::Verdict::Holds => "ok",
            claims::Verdict::Fails => "bad",
            claims::Verdict::NotMeasurable => "open",
        };
        Self { claim: judged.claim.id.clone(), verdict: judged.verdict.words(), class, why: judged.why.clone() }
    }
}

impl LadderView {
    /// The stages of the largest dequantize cell, if any was timed.
    pub fn new(receipt: &Receipt, judged: &[Judged]) -> Option<Self> {
        let near = |place| query::headline(receipt, query::LADDER, Operation::Dequantize, place);
        let cell = near(Residency::Llc).or_else(|| near(Residency::L2));
        let cell = cell.filter(|c| !c.rounds.is_empty())?;
        let gemv =
            query::headline(receipt, query::LADDER, Operation::Gemv, Residency::Llc).filter(|c| !c.rounds.is_empty());
        let stages: Vec<&str> = query::kernels(cell).map(|(_, s)| s.kernel.as_str()).collect();
        let counted = stages.iter().any(|id| per_64_weights(receipt, id).is_some());
        let rows = stages.iter().map(|id| row(receipt, cell, gemv, id, judged)).collect();
        Some(Self { dequantize: query::shape(cell), gemv: gemv.map(query::shape), counted, rows })
    }
}

fn row(receipt: &Receipt, cell: &MicroCell, gemv: Option<&MicroCell>, id: &str, judged: &[Judged]) -> StageRow {
    let record = receipt.kernels.iter().find(|k| k.id == id);
    let of = |want: fn(&Judged) -> bool| judged.iter().find(|j| want(j) && j.claim.metric.kernel() == Some(id));
    let saving = of(|j| matches!(j.claim.metric, Metric::SavedShare { .. }) && j.claim.section == "3.3");
    let factor = seed::claim(id).and_then(|claim| judged.iter().find(|j| j.claim.id == claim.id));
    let before = record.and_then(|k| k.builds_on.as_deref()).and_then(|b| per_64_weights(receipt, b));
    let own = per_64_weights(receipt, id);
    let change = |of: fn(&Mix<f64>) -> f64| match (before.map(of), own.map(of)) {
        (Some(before), Some(own)) => format!("{} → {}", figures::number(before), figures::number(own)),
        (None, Some(own)) => figures::number(own),
        _ => "–".into(),
    };
    let previous = |c: &MicroCell| {
        let summary: &MicroSummary = query::kernels(c).find(|(_, s)| s.kernel == id)?.1;
        summary.vs_previous.as_ref().map(RatioView::new)
    };
    StageRow {
        id: format!("explained-{}", anchors::slug(id)),
        kernel: id.into(),
        summary: record.map_or_else(String::new, |k| k.summary.clone()),
        claimed_saving: saving.map(|j| figures::percent(j.claim.expected)),
        claimed_factor: factor.map(|j| {
            format!("{} ({}, §{})", figures::ratio(j.claim.expected), j.claim.standing.words(), j.claim.section)
        }),
        saved: saving.or(of(|j| matches!(j.claim.metric, Metric::SavedShare { .. }))).and_then(saved),
        dequantize: previous(cell),
        gemv: gemv.and_then(previous),
        instructions: change(|c| c.instructions),
        reads: change(|c| c.memory.reads),
        verdicts: [factor, saving].into_iter().flatten().map(VerdictView::new).collect(),
    }
}

/// A kernel's gemv in counts for each 64 weights, if the receipt has it.
fn per_64_weights<'r>(receipt: &'r Receipt, kernel: &str) -> Option<&'r Mix<f64>> {
    receipt.counts.iter().find(|c| c.kernel == kernel && c.op == Operation::Gemv).map(|c| &c.per_64_weights)
}

fn saved(judged: &Judged) -> Option<String> {
    let share = figures::percent(judged.measured?);
    Some(match judged.low.zip(judged.high) {
        Some((low, high)) => format!("{share} [{}, {}]", figures::percent(low), figures::percent(high)),
        None => format!("{share} [too few rounds]"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_stage_has_its_claims_and_a_dash_where_nothing_was_counted() {
        let receipt = fixture::complete();
        let view = LadderView::new(&receipt, &claims::judge_all(crate::seed::claims(), &receipt)).expect("timed");
        assert_eq!(view.rows.len(), 6);
        let nibble = &view.rows[2];
        assert_eq!((nibble.kernel.as_str(), nibble.claimed_saving.as_deref()), ("avx2-nibble", Some("56.0%")));
        assert!(nibble.claimed_factor.as_deref().is_some_and(|f| f.starts_with("2.27×")));
        // The fixture counted this stage and not the one before it; 64,000 weights took 56,291 instructions.
        assert_eq!((nibble.instructions.as_str(), view.counted, nibble.verdicts.len()), ("56.3", true, 2));
        assert_eq!(view.rows[3].instructions, "–");
        assert!(nibble.saved.as_deref().is_some_and(|s| s.contains('[')) && nibble.gemv.is_some());
        assert!(LadderView::new(&fixture::empty(), &[]).is_none());
    }
}
