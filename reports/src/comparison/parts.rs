//! What a comparison of runs is made of.

use super::change::{Change, Found};
use super::identity::Difference;
use receipt::{Receipt, figures};
use serde::Serialize;

/// What to do for a verdict that can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// Why, and where to run it.
    pub why: String,
    /// Commands, one a line.
    pub commands: Vec<String>,
}

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
    pub next: Option<Next>,
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
    pub(super) fn add(&mut self, place: &str, ratio: f64) {
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
