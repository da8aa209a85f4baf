//! The raw rounds of every comparison, compactly, with how it was set up and why each verdict is what it is.

use super::anchors;
use super::rows::VerdictView;
use crate::query;
use receipt::figures;
use receipt::{Family, MicroCell, Receipt};
use serde::Serialize;
use std::fmt::Write;

/// Points of a strip; more rounds than that are thinned, and the page says so.
const STRIP_POINTS: usize = 100;

/// The cells of one family.
#[derive(Debug, Serialize)]
pub struct FamilyCells {
    title: String,
    anchor: String,
    cells: Vec<CellView>,
}

#[derive(Debug, Serialize)]
struct CellView {
    id: String,
    title: String,
    fastest: String,
    setup: String,
    single_rounds: String,
    counts: Option<String>,
    stream: Option<String>,
    unstable: bool,
    rounds: usize,
    thinned: Option<usize>,
    measured: bool,
    pointer: String,
    rows: Vec<CellRow>,
}

#[derive(Debug, Serialize)]
struct CellRow {
    id: String,
    kernel: String,
    name: String,
    self_pair: bool,
    /// The row with the figures; the self-pair has none.
    figures: Option<String>,
    verdict: Option<VerdictView>,
    output: String,
    raw: Option<Raw>,
}

/// Raw rounds of one entry against the baseline.
#[derive(Debug, Serialize)]
struct Raw {
    min: String,
    median: String,
    max: String,
    cpu_share: String,
    switches: u64,
    strip: String,
}

impl FamilyCells {
    /// The family's cells, if there are any.
    pub fn new(receipt: &Receipt, family: Family) -> Option<Self> {
        let own = receipt.micro.iter().enumerate().filter(|(_, c)| c.family == family);
        let cells: Vec<CellView> = own.map(|(i, c)| view(i, c)).collect();
        let title = query::family_title(family).into();
        let anchor = format!("rounds-{}", anchors::slug(family.name()));
        (!cells.is_empty()).then_some(Self { title, anchor, cells })
    }
}

fn view(index: usize, cell: &MicroCell) -> CellView {
    let best = query::fastest(cell);
    let fastest = best.map_or_else(String::new, |s| match &s.vs_baseline {
        Some(r) => format!("{} {}", s.kernel, figures::judged(r)),
        None => s.kernel.clone(),
    });
    let rows = cell.summaries.iter().enumerate().map(|(i, s)| {
        let entry = cell.entries.get(i);
        let self_pair = entry.is_some_and(|e| e.self_pair);
        CellRow {
            id: anchors::rounds(index, i),
            kernel: s.kernel.clone(),
            name: entry.map_or_else(String::new, |e| e.name.clone()),
            self_pair,
            figures: (!self_pair && !cell.rounds.is_empty()).then(|| anchors::measurement(index, i)),
            verdict: s.verdict.as_ref().map(VerdictView::new),
            output: entry.map_or_else(String::new, |e| figures::short_hash(&e.output_sha256)),
            raw: raw(cell, i),
        }
    });
    CellView {
        id: anchors::cell(index),
        title: query::cell_title(cell),
        fastest,
        setup: setup(cell),
        single_rounds: figures::percent(cell.noise_floor),
        counts: query::threshold(cell).map(figures::percent),
        stream: cell.stream.as_ref().filter(|s| s.gb_s > 0.0).map(|s| figures::number(s.gb_s)),
        unstable: query::unstable(cell),
        rounds: cell.rounds.len(),
        thinned: (cell.rounds.len() > STRIP_POINTS).then(|| cell.rounds.len().div_ceil(STRIP_POINTS)),
        measured: !cell.rounds.is_empty(),
        pointer: format!("/micro/{index}/rounds"),
        rows: rows.collect(),
    }
}

fn setup(cell: &MicroCell) -> String {
    let copies = match cell.copies {
        0 | 1 => "one copy of the weights".to_string(),
        n => format!("{n} copies of the weights in rotation"),
    };
    let again = cell.unstable_first.as_ref().map_or_else(String::new, |first| {
        format!(
            "; measured twice, because over the first {} rounds the same code differed from itself",
            first.rounds.len()
        )
    });
    format!(
        "{} weights a call, {} call{} an epoch, {copies}, {} thread{}, seed {}{again}",
        figures::integer(cell.weights_per_call),
        figures::integer(u64::from(cell.calls_per_epoch)),
        if cell.calls_per_epoch == 1 { "" } else { "s" },
        cell.threads,
        if cell.threads == 1 { "" } else { "s" },
        cell.seed
    )
}

fn raw(cell: &MicroCell, i: usize) -> Option<Raw> {
    let ratios = query::round_ratios(cell, i);
    let median = figures::median(ratios.iter().copied())?;
    let min = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let max = ratios.iter().copied().fold(0.0, f64::max);
    let sum = |of: fn(&receipt::Round) -> &Vec<u64>| -> u64 {
        cell.rounds.iter().filter_map(|r| of(r).get(i)).copied().fold(0, u64::saturating_add)
    };
    let (wall, cpu) = (sum(|r| &r.ns), sum(|r| &r.cpu_ns));
    Some(Raw {
        min: figures::ratio(min),
        median: figures::ratio(median),
        max: figures::ratio(max),
        cpu_share: figures::percent(cpu as f64 / wall.max(1) as f64),
        switches: cell.rounds.iter().filter_map(|r| r.involuntary_switches.get(i)).map(|s| u64::from(*s)).sum(),
        strip: strip(&ratios, min, max),
    })
}

/// Points of a 200 x 20 polyline: rounds from left to right, ratio upwards between its own extremes.
fn strip(ratios: &[f64], min: f64, max: f64) -> String {
    let step = ratios.len().div_ceil(STRIP_POINTS).max(1);
    let points: Vec<f64> = ratios.iter().copied().step_by(step).collect();
    let dx = 198.0 / (points.len().max(2) - 1) as f64;
    let height = |v: f64| if max > min { 19.0 - 18.0 * (v - min) / (max - min) } else { 10.0 };
    let mut out = String::new();
    for (i, v) in points.iter().enumerate() {
        // Writing into a String cannot fail.
        let _ = write!(out, "{:.0},{:.1} ", 1.0 + dx * i as f64, height(*v));
    }
    out
}
