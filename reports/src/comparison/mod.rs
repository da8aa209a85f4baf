//! Several receipts side by side, each against the first, with a direction a cell. Paired ratios from inside each run are what is
//! compared; medians of different runs are divided only when the machines are the same, and even then as a hint. Across
//! machines nothing is.

pub mod change;
mod gate_rows;
mod generation_rows;
pub mod identity;
mod kernel_rows;
mod markdown;
mod page;
mod words;

pub use markdown::markdown;
pub use page::{HistoryView, charts_of, page, status};
pub use words::quoted as shell_quoted;

use super::query;
use change::{Change, Found};
use identity::Difference;
use receipt::Receipt;
use receipt::figures;
use receipt::{Error, Result};
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
    /// Direction of that ratio; absent for the partner.
    pub direction: Option<&'static str>,
    /// The smallest difference that counts in it.
    pub counts: Option<String>,
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
    /// Cells by direction.
    pub counts: Vec<(Found, usize)>,
    /// The same in a sentence.
    pub sentence: String,
    /// Cells and kernels that only one of the two runs has, by name.
    pub lacking: Vec<String>,
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

    /// Kernels that are slower or faster in some run: slower first, and of equals the largest change.
    pub fn changed(&self) -> Vec<Changed> {
        let mut out: Vec<Changed> = Vec::new();
        for (t, table) in self.tables.iter().enumerate() {
            for (r, row) in table.rows.iter().enumerate() {
                let changes = row.cells.iter().zip(&self.runs).filter_map(|(c, run)| Some((run, c.change.as_ref()?)));
                for (run, change) in changes {
                    let Some(ratio) = change.ratio.filter(|_| change::is_change(change.direction)) else { continue };
                    let same = |c: &&mut Changed| {
                        let same = c.kernel == row.kernel && c.letter == run.letter && c.table == t;
                        same && c.direction == change.direction
                    };
                    match out.iter_mut().find(same) {
                        Some(known) => known.add(&row.place, ratio),
                        None => out.push(Changed {
                            kernel: row.kernel.clone(),
                            letter: run.letter.clone(),
                            direction: change.direction,
                            places: vec![row.place.clone()],
                            of: self.compared(t, &row.kernel, &run.letter),
                            low: ratio,
                            high: ratio,
                            table: t,
                            row: r,
                        }),
                    }
                }
            }
        }
        let size = |c: &Changed| c.low.ln().abs().max(c.high.ln().abs());
        out.sort_by(|a, b| a.direction.cmp(&b.direction).then(size(b).total_cmp(&size(a))));
        out
    }

    /// Comparisons of a kernel in one table that had two figures.
    fn compared(&self, table: usize, kernel: &str, letter: &str) -> usize {
        let at = self.runs.iter().position(|r| r.letter == letter);
        let rows = self.tables[table].rows.iter().filter(|r| r.kernel == kernel);
        rows.filter(|r| at.and_then(|i| r.cells[i].change.as_ref()).is_some_and(|c| c.ratio.is_some())).count()
    }
}

/// One kernel that changed the same way in some cells of one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// Kernel id.
    pub kernel: String,
    /// The run.
    pub letter: String,
    /// Slower or faster.
    pub direction: Found,
    /// Where.
    pub places: Vec<String>,
    /// Of how many places that could be compared.
    pub of: usize,
    /// Smallest ratio over the first run's.
    pub low: f64,
    /// Largest.
    pub high: f64,
    /// Index of the table, and of the first row in it.
    pub table: usize,
    /// See `table`.
    pub row: usize,
}

impl Changed {
    fn add(&mut self, place: &str, ratio: f64) {
        self.places.push(place.into());
        (self.low, self.high) = (self.low.min(ratio), self.high.max(ratio));
    }

    /// `0.69× to 0.73×`.
    pub fn range(&self) -> String {
        let (low, high) = (figures::ratio(self.low), figures::ratio(self.high));
        if low == high { low } else { format!("{low} to {high}") }
    }

    /// `gemv 6912×2560, in cache`, `decode and prefill`, `9 of 11 cells`.
    pub fn place(&self) -> String {
        match (&self.places[..], self.of) {
            ([one], _) => one.clone(),
            ([a, b], _) if a.len() + b.len() < 20 => format!("{a} and {b}"),
            (several, n) if several.len() == n => format!("all {n} cells"),
            (several, n) => format!("{} of {n} cells", several.len()),
        }
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
