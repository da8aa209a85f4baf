//! "Instructions per 64 weights": what each kernel executes, by class, whole call and multiplying loop.

use super::anchors;
use crate::query;
use receipt::figures;
use receipt::{CountRecord, Family, Mix, Receipt};
use serde::Serialize;

/// The section; absent when the run did not try to count.
#[derive(Debug, Serialize)]
pub struct CountsView {
    families: Vec<FamilyCounts>,
    skipped: Option<String>,
    /// Kernels that could not be counted, and why.
    failed: Vec<[String; 2]>,
}

#[derive(Debug, Serialize)]
struct FamilyCounts {
    title: String,
    anchor: String,
    setup: String,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    kernel: String,
    total: String,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    call: String,
    #[serde(rename = "loop")]
    in_loop: Option<String>,
}

/// A column and where its figure is.
type Column = (&'static str, fn(&Mix<f64>) -> f64);

const COLUMNS: [Column; 11] = [
    ("All", |m| m.instructions),
    ("Vector", Mix::vector),
    ("Memory reads", |m| m.memory.reads),
    ("Multiply", |m| m.classes.multiply_add),
    ("Shuffle", |m| m.classes.shuffle),
    ("Shift", |m| m.classes.shift),
    ("Logic", |m| m.classes.logic),
    ("Arithmetic", |m| m.classes.arithmetic),
    ("Convert", |m| m.classes.convert),
    ("Scalar and branch", |m| m.classes.scalar + m.classes.branch),
    ("Bytes read", |m| m.memory.bytes_loaded),
];

impl CountsView {
    /// From the receipt's counts.
    pub fn new(receipt: &Receipt) -> Option<Self> {
        if receipt.counts.is_empty() && receipt.counts_skipped.is_none() && receipt.counts_failed.is_empty() {
            return None;
        }
        let family = |c: &CountRecord| receipt.kernels.iter().find(|k| k.id == c.kernel).map(|k| k.family);
        let mut names: Vec<Option<Family>> = receipt.counts.iter().map(family).collect();
        names.dedup();
        let families = names.iter().filter_map(|name| {
            let records: Vec<&CountRecord> = receipt.counts.iter().filter(|c| family(c) == *name).collect();
            FamilyCounts::new(*name, &records)
        });
        let failed = receipt.counts_failed.iter().map(|f| [f.kernel.clone(), f.reason.clone()]).collect();
        Some(Self { families: families.collect(), skipped: receipt.counts_skipped.clone(), failed })
    }
}

impl FamilyCounts {
    fn new(family: Option<Family>, records: &[&CountRecord]) -> Option<Self> {
        let first = records.first()?;
        Some(Self {
            title: family.map_or("other", query::family_title).into(),
            anchor: format!("counts-{}", anchors::slug(family.map_or("other", Family::name))),
            setup: format!("One {} of {}×{}, by one thread.", first.op, first.m, first.k),
            columns: COLUMNS.iter().map(|c| c.0).collect(),
            rows: records.iter().map(|r| row(r)).collect(),
        })
    }
}

fn row(record: &CountRecord) -> Row {
    let hot = record.hot_loop.as_ref();
    let cells = COLUMNS.iter().map(|(_, figure)| Cell {
        call: number(figure(&record.per_64_weights)),
        in_loop: hot.map(|l| number(figure(&l.per_64_weights))),
    });
    Row {
        id: anchors::count(&record.kernel),
        kernel: record.kernel.clone(),
        total: figures::integer(record.total.instructions),
        cells: cells.collect(),
    }
}

/// Counts are exact; a zero is a zero.
fn number(x: f64) -> String {
    if x == 0.0 { "0".into() } else { format!("{x:.2}") }
}
