//! Every measurement as one row: a table a family, with links to the raw rounds, the instruction counts and the source
//! of its kernel.

use super::anchors;
use super::limits::BoundView;
use super::stages::RatioView;
use crate::query;
use receipt::figures;
use receipt::{Family, MicroCell, Operation, Receipt};
use serde::Serialize;

/// One family's measurements.
#[derive(Debug, Serialize)]
pub struct FamilyRows {
    family: Family,
    anchor: String,
    title: String,
    bounded: bool,
    rows: Vec<MeasurementRow>,
}

#[derive(Debug, Serialize)]
struct MeasurementRow {
    id: String,
    kernel: String,
    op: Operation,
    shape: String,
    residency: &'static str,
    threads: usize,
    best: bool,
    time: String,
    gelem_s: String,
    gb_s: String,
    bound: Option<BoundView>,
    base: Option<RatioView>,
    previous: Option<RatioView>,
    verdict: Option<VerdictView>,
    rounds: String,
    counts: Option<String>,
    source: Option<String>,
}

/// A kernel against what it builds on.
#[derive(Debug, Serialize)]
pub struct VerdictView {
    word: &'static str,
    counts: String,
    reason: String,
}

impl VerdictView {
    /// In words.
    pub fn new(verdict: &receipt::Verdict) -> Self {
        Self {
            word: verdict.direction().word(),
            counts: figures::percent(verdict.delta_eff),
            reason: verdict.sentence(query::ROUND),
        }
    }
}

impl FamilyRows {
    /// The family's rows, if anything of it was timed.
    pub fn new(receipt: &Receipt, family: Family) -> Option<Self> {
        let own = receipt.micro.iter().enumerate().filter(|(_, c)| c.family == family && !c.rounds.is_empty());
        let rows: Vec<MeasurementRow> = own.flat_map(|(i, c)| of_cell(receipt, i, c)).collect();
        (!rows.is_empty()).then(|| Self {
            family,
            anchor: format!("measurements-{}", anchors::slug(family.name())),
            title: query::family_title(family).into(),
            bounded: rows.iter().any(|r| r.bound.is_some()),
            rows,
        })
    }
}

fn of_cell(receipt: &Receipt, index: usize, cell: &MicroCell) -> Vec<MeasurementRow> {
    let best = query::fastest(cell).map(|s| s.kernel.as_str());
    let counted = |kernel: &str| receipt.counts.iter().any(|c| c.kernel == kernel);
    let rows = query::kernels(cell).map(|(i, s)| MeasurementRow {
        id: anchors::measurement(index, i),
        kernel: s.kernel.clone(),
        op: cell.op,
        shape: query::shape(cell),
        residency: query::residency(cell.residency),
        threads: cell.threads,
        best: best == Some(s.kernel.as_str()),
        time: figures::duration(s.median_ns_per_call),
        gelem_s: figures::number(s.gelem_s),
        gb_s: figures::number(s.gb_s),
        bound: BoundView::new(cell, i),
        base: s.vs_baseline.as_ref().map(RatioView::new),
        previous: s.vs_previous.as_ref().map(RatioView::new),
        verdict: s.verdict.as_ref().map(VerdictView::new),
        // A kernel whose every time is zero has no row among the rounds.
        rounds: match query::round_ratios(cell, i).is_empty() {
            true => anchors::cell(index),
            false => anchors::rounds(index, i),
        },
        counts: counted(&s.kernel).then(|| anchors::count(&s.kernel)),
        source: anchors::source(receipt, &s.kernel),
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_timed_kernel_has_a_row_of_its_family_and_the_self_pair_has_none() {
        let receipt = fixture::complete();
        let exact = FamilyRows::new(&receipt, query::EXACT).expect("timed");
        assert_eq!(exact.rows.len(), 2 * 2, "two cells of two kernels");
        assert!(exact.rows.iter().all(|r| r.kernel.ends_with("-i8")));
        assert_eq!(exact.rows[1].counts.as_deref(), Some("count-avx2-i8"));
        assert_eq!(exact.rows[0].counts, None, "scalar-i8 was not counted");
        assert!(FamilyRows::new(&fixture::empty(), query::EXACT).is_none());
    }
}
