//! Several receipts side by side, each against the first, with a verdict a cell. Paired ratios from inside each run are what is
//! compared; medians of different runs are divided only when the machines are the same, and even then as a hint. Across
//! machines nothing is.

mod change;
mod gate_rows;
mod generation_rows;
pub mod identity;
mod kernel_rows;
mod markdown;
mod page;
mod words;

pub use change::Verdict;
pub use markdown::markdown;
pub use page::{HistoryView, charts_of, status, write_comparison};
pub use words::quoted as shell_quoted;

use super::query;
use crate::error::{Error, Result};
use crate::receipt::Receipt;
use change::Change;
use identity::Difference;
use serde::Serialize;

/// Most runs side by side: each has a letter, and all are in memory at once.
const MOST: usize = 26;

/// One run on the page.
#[derive(Debug)]
pub struct Run {
    /// `A`, `B`, ...
    pub letter: String,
    /// What the user called it.
    pub name: String,
    /// What it measured.
    pub receipt: Receipt,
    /// What forbids to compare it with the first run.
    pub differences: Vec<Difference>,
}

/// One figure of one run, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Paired ratio inside the run.
    pub paired: String,
    /// Its interval.
    pub interval: String,
    /// A/A noise of the same rounds, if there was a pair.
    pub floor: Option<String>,
    /// The speed itself: to read, not to compare.
    pub value: String,
    /// Ratio of medians to the first run's, on one machine only: a hint.
    pub unpaired: Option<String>,
    /// What else must be said.
    pub note: Option<String>,
    /// Why there is no figure.
    pub absent: Option<String>,
    /// Against the first run; absent for that one, and for the partner of the ratios.
    pub change: Option<Change>,
}

/// One kernel at one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Kernel id.
    pub kernel: String,
    /// Cell or phase.
    pub place: String,
    /// One a run.
    pub cells: Vec<Cell>,
}

/// Rows of one family and kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Heading.
    pub title: String,
    /// Unit of the speeds.
    pub unit: &'static str,
    /// Rows.
    pub rows: Vec<Row>,
}

/// One run against the first, in sum.
#[derive(Clone, Debug, Serialize)]
pub struct Against {
    /// The run's letter.
    pub letter: String,
    /// The run.
    pub run: String,
    /// The first run.
    pub first: String,
    /// Whether both say the same about machine and setting.
    pub comparable: bool,
    /// If not, where they differ.
    pub differences: Vec<Difference>,
    /// What differs and does not forbid it.
    pub circumstances: Vec<Difference>,
    /// Cells by verdict.
    pub counts: Vec<(Verdict, usize)>,
    /// The same in a sentence.
    pub sentence: String,
    /// How to get a verdict that can be relied on.
    pub next: Option<words::Next>,
}

/// Everything that pages and texts say of several runs.
#[derive(Debug)]
pub struct Comparison {
    /// The runs, the first being what others are compared with.
    pub runs: Vec<Run>,
    /// The first sentence.
    pub opening: String,
    /// One entry for each run after the first.
    pub against: Vec<Against>,
    /// Kernels by family, then generation by family.
    pub tables: Vec<Table>,
    /// Gates side by side.
    pub gates: Vec<gate_rows::GateRow>,
    /// Calibrations side by side.
    pub calibrations: Vec<gate_rows::RateRow>,
    /// Remarks on whole cells.
    pub remarks: Vec<String>,
}

impl Comparison {
    /// Of at least two runs, by the names that the user gave them.
    pub fn new(receipts: Vec<(String, Receipt)>) -> Result<Self> {
        if receipts.len() < 2 {
            return Err(Error::input("a comparison needs at least two receipts"));
        }
        if receipts.len() > MOST {
            let n = receipts.len();
            let how = "name the folder that holds them, `report DIR`, for a history of any number";
            return Err(Error::input(format!("{n} runs are too many side by side (at most {MOST}); {how}")));
        }
        let differences: Vec<Vec<Difference>> =
            receipts.iter().map(|(_, r)| identity::differences(&receipts[0].1, r)).collect();
        let letters = ('A'..='Z').map(String::from);
        let runs: Vec<Run> = letters
            .zip(receipts)
            .zip(differences)
            .map(|((letter, (name, receipt)), differences)| Run { letter, name, receipt, differences })
            .collect();
        let mut tables = kernel_rows::tables(&runs);
        tables.extend(generation_rows::tables(&runs));
        let remarks = words::remarks(&runs, &tables);
        let against: Vec<Against> = (1..runs.len()).map(|i| words::against(&runs, &tables, i)).collect();
        let (gates, calibrations) = (gate_rows::gates(&runs), gate_rows::calibrations(&runs));
        let opening = words::opening(&runs, &tables, &against, &gates, &calibrations);
        Ok(Self { runs, opening, against, tables, gates, calibrations, remarks })
    }

    /// Every verdict of every run, with its row: worse first, then better, in the order of the tables.
    pub fn changed(&self) -> Vec<(&Table, &Row, &Run, &Change)> {
        let rows = self.tables.iter().flat_map(|t| t.rows.iter().map(move |r| (t, r)));
        let all = rows.flat_map(|(t, r)| {
            let changes = r.cells.iter().zip(&self.runs).filter_map(|(c, run)| Some((run, c.change.as_ref()?)));
            changes.map(move |(run, change)| (t, r, run, change)).collect::<Vec<_>>()
        });
        let mut out: Vec<_> = all.filter(|(.., c)| matches!(c.verdict, Verdict::Worse | Verdict::Better)).collect();
        out.sort_by_key(|(.., c)| c.verdict);
        out
    }
}

/// Families of all runs, in the order in which pages show them.
fn families(runs: &[Run]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for family in runs.iter().flat_map(|r| query::families(&r.receipt)) {
        if !out.contains(&family) {
            out.push(family);
        }
    }
    out
}

#[cfg(test)]
mod tests;
