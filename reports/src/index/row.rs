//! What is kept of one run, and what could not be read.

use crate::history::Point;
use serde::Serialize;

/// What is kept of one run.
#[derive(Debug)]
pub struct Entry {
    /// Where it is below the folder.
    pub name: String,
    pub links: Links,
    /// Its figures.
    pub point: Point,
    /// Its row.
    pub row: IndexRow,
}

/// Where a run's files are, as links from the page.
#[derive(Clone, Debug)]
pub struct Links {
    /// Its own page, if it has one.
    pub report: Option<String>,
    /// Its receipt.
    pub receipt: String,
}

/// A folder that is no run, or a receipt that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Below the indexed folder.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// One run, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct IndexRow {
    /// Run folder below the indexed one.
    pub run: String,
    /// Start, as in the receipt.
    pub timestamp: String,
    /// Scenario in words.
    pub scenario: String,
    /// Machine and setting in words.
    pub host: String,
    /// Commit in short.
    pub commit: String,
    /// `complete`, `interrupted`, `failed`, `never finished`, or a gate's verdict.
    pub status: String,
    /// What else must be said of it.
    pub remark: Option<String>,
    /// Fastest exact kernel and its paired ratio.
    pub fastest: Option<String>,
    /// The smallest difference that counts in the run, by cell.
    pub counts_from: Option<String>,
}
