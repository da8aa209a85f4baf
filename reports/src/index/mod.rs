//! All runs below a folder on one page. Receipts are read one after the other and only what the page shows is kept, so
//! that hundreds of them fit.

pub mod answers;
mod page;
mod row;
mod spark;

pub use answers::{counts_from, fastest};
use row::Entry;
pub use row::{IndexRow, Links, Unreadable};

use super::comparison::identity;
use super::history::Point;
use crate::{gate_words, html, query};
use receipt::figures;
use receipt::{Outcome, Receipt, Result, Status};

/// Name of the page in its folder.
pub const INDEX_FILE: &str = "index.html";

/// The page and what it says.
#[derive(Debug)]
pub struct Index {
    /// The page.
    pub page: String,
    /// Its first sentence.
    pub opening: String,
    /// Runs, the newest first.
    pub runs: Vec<IndexRow>,
    /// What could not be read, and what is no run.
    pub unreadable: Vec<Unreadable>,
}

/// Runs as they are read, one after the other.
#[derive(Debug, Default)]
pub struct Listing {
    entries: Vec<Entry>,
}

impl Listing {
    /// One run more. `name` is where it is below the folder.
    pub fn add(&mut self, name: String, links: Links, receipt: &Receipt) {
        self.entries.push(entry(name, links, receipt));
    }

    /// The page over all of them.
    pub fn index(self, mut unreadable: Vec<Unreadable>) -> Result<Index> {
        let mut entries = self.entries;
        unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        // The newest first; of equal times by name.
        entries.sort_by(|a, b| b.point.time.cmp(&a.point.time).then_with(|| a.name.cmp(&b.name)));
        let opening = opening(&entries, unreadable.len());
        let page = html::index(&page::view(&opening, &entries, &unreadable))?;
        let runs = entries.into_iter().map(|e| e.row).collect();
        Ok(Index { page, opening, runs, unreadable })
    }
}

fn entry(name: String, links: Links, r: &Receipt) -> Entry {
    let point = Point::new(r);
    let (status, remark) = status(r);
    let row = IndexRow {
        run: name.clone(),
        timestamp: r.timestamp.clone(),
        scenario: identity::scenario(r),
        host: identity::in_words(r),
        commit: point.commit.clone(),
        status,
        remark,
        fastest: fastest(r),
        counts_from: counts_from(r),
    };
    Entry { name, links, point, row }
}

/// How far a run got, or what its gate came to; and what is wrong with it.
fn status(r: &Receipt) -> (String, Option<String>) {
    let ended = super::comparison::status(r.status).to_string();
    if let Some(g) = r.gate.as_ref().filter(|_| r.status == Status::Complete) {
        let remark = if g.outcome == Outcome::Pass { None } else { Some(g.reason.clone()) };
        return (gate_words::outcome_word(g.outcome).into(), remark);
    }
    let mut remarks = Vec::new();
    if let Some(error) = r.error.as_ref().filter(|_| r.status == Status::Failed) {
        remarks.push(figures::label(error, 160));
    }
    let wrong: Vec<&str> = r.verify.iter().filter(|v| v.mismatches > 0).map(|v| v.id.as_str()).collect();
    if !wrong.is_empty() {
        remarks.push(format!("wrong results: {}", wrong.join(", ")));
    }
    let unstable = r.micro.iter().filter(|c| query::unstable(c)).count();
    if unstable > 0 {
        remarks.push(format!("{unstable} of {} cells unstable", r.micro.len()));
    }
    (ended, (!remarks.is_empty()).then(|| remarks.join("; ")))
}

fn opening(entries: &[Entry], unreadable: usize) -> String {
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut hosts: Vec<&str> = entries.iter().map(|e| e.point.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let day = |e: &Entry| e.point.time.map(|t| t.strftime("%Y-%m-%d").to_string());
    let newest = entries.iter().find_map(day);
    let oldest = entries.iter().rev().find_map(day);
    let span = match (oldest, newest) {
        (Some(a), Some(b)) if a == b => format!(" of {a}"),
        (Some(a), Some(b)) => format!(" from {a} to {b}"),
        _ => String::new(),
    };
    let on = match hosts.len() {
        0 => String::new(),
        1 => ", all with one machine and setting".into(),
        n => format!(", with {n} machines or settings"),
    };
    let complete =
        entries.iter().filter(|e| !matches!(e.row.status.as_str(), "interrupted" | "failed" | "never finished"));
    let (all, whole) = (entries.len(), complete.count());
    let part = if whole < all { format!("; {} did not end", all - whole) } else { String::new() };
    let failed = entries.iter().filter(|e| e.row.status == "FAIL").count();
    let gates = if failed > 0 { format!("; {} said FAIL", plural(failed, "gate")) } else { String::new() };
    let rest = match unreadable {
        0 => String::new(),
        n => format!(
            " {} could not be read or {} no run; see the end.",
            plural(n, "folder"),
            if n == 1 { "is" } else { "are" }
        ),
    };
    format!("{}{span}{on}{part}{gates}.{rest}", plural(all, "run"))
}
