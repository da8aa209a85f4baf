//! "Which stage is faster?": one table a family, a row a kernel, a column an operation and residency at its largest
//! shape.

use super::anchors;
use crate::{query, seed};
use receipt::figures;
use receipt::judge::claims::Claim;
use receipt::{Family, MicroCell, MicroSummary, Ratio, Receipt};
use serde::Serialize;

/// One family's answer.
#[derive(Debug, Serialize)]
pub struct StageTable {
    family: String,
    title: String,
    baseline: String,
    has_claims: bool,
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Column {
    title: String,
    anchor: String,
    counts: Option<String>,
    unstable: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    kernel: String,
    id: String,
    summary: String,
    claim: Option<String>,
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, Serialize)]
struct Cell {
    /// Its row among all measurements.
    anchor: String,
    best: bool,
    gelem_s: String,
    base: Option<RatioView>,
    previous: Option<RatioView>,
}

/// A ratio in words, with its direction.
#[derive(Debug, Serialize)]
pub struct RatioView {
    /// `12.3×`
    pub ratio: String,
    /// `[12.1, 12.5]`
    pub interval: String,
    /// The other kernel.
    pub partner: String,
    /// `faster`, `slower`, `same`, `undecided` or `unstable`: the word and its class.
    pub direction: &'static str,
    /// The smallest difference that counts: `3.0%`.
    pub counts: Option<String>,
}

impl RatioView {
    /// As it was judged.
    pub fn new(r: &Ratio) -> Self {
        Self {
            ratio: figures::ratio(r.median),
            interval: figures::interval(r),
            partner: r.partner.clone(),
            direction: r.direction().word(),
            counts: r.threshold().map(figures::percent),
        }
    }
}

impl StageTable {
    /// The table, if the family was timed at all.
    pub fn new(receipt: &Receipt, family: Family) -> Option<Self> {
        let heads: Vec<&MicroCell> =
            query::headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty()).collect();
        let baseline = heads.first()?.summaries.first()?.kernel.clone();
        let has_claims = family == query::LADDER;
        let position = |c: &MicroCell| receipt.micro.iter().position(|x| std::ptr::eq(x, c)).unwrap_or(0);
        let columns = heads
            .iter()
            .map(|c| Column {
                title: query::cell_title(c),
                anchor: anchors::cell(position(c)),
                counts: query::threshold(c).map(figures::percent),
                unstable: query::unstable(c),
            })
            .collect();
        let rows = query::kernel_ids(receipt, family)
            .into_iter()
            .map(|kernel| Row {
                summary: receipt
                    .kernels
                    .iter()
                    .find(|k| k.id == kernel)
                    .map_or_else(String::new, |k| k.summary.clone()),
                claim: seed::claim(&kernel).filter(|_| has_claims).map(claim),
                cells: heads.iter().map(|c| cell(position(c), c, &kernel)).collect(),
                id: format!("stage-{}", anchors::slug(&kernel)),
                kernel,
            })
            .collect();
        Some(Self {
            title: query::family_title(family).into(),
            family: anchors::slug(family.name()),
            baseline,
            has_claims,
            columns,
            rows,
        })
    }
}

fn claim(c: &Claim) -> String {
    format!("{} ({}, §{})", figures::ratio(c.expected), c.standing.words(), c.section)
}

fn cell(index: usize, c: &MicroCell, kernel: &str) -> Option<Cell> {
    let (entry, s): (usize, &MicroSummary) = query::kernels(c).find(|(_, s)| s.kernel == kernel)?;
    Some(Cell {
        anchor: anchors::measurement(index, entry),
        best: query::fastest(c).is_some_and(|f| f.kernel == kernel),
        gelem_s: figures::number(s.gelem_s),
        base: s.vs_baseline.as_ref().map(RatioView::new),
        // Of the first stage both are the same ratio; once is enough.
        previous: s
            .vs_previous
            .as_ref()
            .filter(|p| s.vs_baseline.as_ref().is_none_or(|b| b.partner != p.partner))
            .map(RatioView::new),
    })
}
