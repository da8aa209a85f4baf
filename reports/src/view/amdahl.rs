//! A kernel's gain against its gain end to end, in words. Its own section: ratios of kernels and ratios of tokens/s
//! share no column.

use super::anchors;
use super::stages::RatioView;
use crate::query;
use receipt::figures;
use receipt::judge::amdahl::{AmdahlRow, rows};
use receipt::{Family, Receipt};
use serde::Serialize;

/// One family's table.
#[derive(Debug, Serialize)]
pub struct AmdahlTable {
    title: String,
    anchor: String,
    baseline: String,
    cell: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    kernel: String,
    micro: RatioView,
    share: String,
    own_share: String,
    predicted: String,
    predicted_interval: Option<String>,
    measured: RatioView,
    gap: String,
    explanation: String,
}

/// The tables of all families that have both parts.
pub fn tables(receipt: &Receipt) -> Vec<AmdahlTable> {
    let all = rows(receipt);
    let tables = Family::ALL.into_iter().filter_map(|family| {
        let own: Vec<&AmdahlRow> = all.iter().filter(|r| r.family == family).collect();
        let first = own.first()?;
        Some(AmdahlTable {
            title: query::family_title(family).into(),
            anchor: format!("amdahl-{}", anchors::slug(family.name())),
            baseline: first.baseline.clone(),
            cell: format!("{} ({})", first.micro_cell, first.micro_choice),
            rows: own.iter().map(|r| row(r)).collect(),
        })
    });
    tables.collect()
}

fn row(r: &AmdahlRow) -> Row {
    Row {
        id: format!("amdahl-{}", anchors::slug(&r.kernel)),
        kernel: r.kernel.clone(),
        micro: RatioView::new(&r.micro),
        share: figures::percent(r.share_of_token),
        own_share: figures::percent(r.own_share_of_token),
        predicted: figures::ratio(r.predicted),
        predicted_interval: r
            .predicted_interval
            .map(|(low, high)| format!("[{}, {}]", figures::number(low), figures::number(high))),
        measured: RatioView::new(&r.measured),
        // Adding 0 turns a rounded -0 into 0.
        gap: format!("{:+.0}%", (100.0 * (r.gap - 1.0)).round() + 0.0),
        explanation: r.explanation.clone(),
    }
}
