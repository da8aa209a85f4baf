//! All runs below a folder on one page. Receipts are read one after the other and only what the page shows is kept, so that
//! hundreds of them fit.

mod page;
mod scan;
mod spark;

use super::comparison::identity;
use super::history::Point;
use super::{calibration, figures, gate, html, query};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::receipt::{Outcome, Receipt, Residency, Status, read_receipt};
use serde::Serialize;
use std::path::{Path, PathBuf};

pub use scan::Unreadable;

/// Name of the page in its folder.
pub const INDEX_FILE: &str = "index.html";

/// What is kept of one run.
#[derive(Debug)]
struct Entry {
    /// Where it is below the folder.
    name: String,
    folder: PathBuf,
    point: Point,
    row: IndexRow,
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

/// What was written.
#[derive(Debug)]
pub struct Index {
    /// The page.
    pub path: PathBuf,
    /// Its first sentence.
    pub opening: String,
    /// Runs, the newest first.
    pub runs: Vec<IndexRow>,
    /// What could not be read, and what is no run.
    pub unreadable: Vec<Unreadable>,
}

/// Reads every receipt below `folder` and writes the page to `out`. `progress` hears how many of how many were read.
pub fn write_index(folder: &Path, out: &Path, mut progress: impl FnMut(usize, usize)) -> Result<Index> {
    let found = scan::scan(folder)?;
    if found.runs.is_empty() {
        let what = "no receipt.json in it or in a folder below: name a run folder, or one that holds run folders";
        return Err(Error::input(format!("{}: {what}", folder.display())));
    }
    let mut entries = Vec::new();
    let mut unreadable = found.others;
    for (i, run) in found.runs.iter().enumerate() {
        let name = run.strip_prefix(folder).unwrap_or(run).display().to_string();
        match read_receipt(run) {
            Ok(receipt) => entries.push(entry(name, run.clone(), &receipt)),
            Err(error) => unreadable.push(Unreadable { path: name, reason: error.to_string() }),
        }
        progress(i + 1, found.runs.len());
    }
    unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    // The newest first; of equal times by name.
    entries.sort_by(|a, b| b.point.time.cmp(&a.point.time).then_with(|| a.name.cmp(&b.name)));
    let opening = opening(&entries, unreadable.len());
    let view = page::view(&opening, &entries, &unreadable, out);
    write_atomic(out, html::index(&view)?.as_bytes())?;
    let runs = entries.into_iter().map(|e| e.row).collect();
    Ok(Index { path: out.to_path_buf(), opening, runs, unreadable })
}

fn entry(name: String, folder: PathBuf, r: &Receipt) -> Entry {
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
    Entry { name, folder, point, row }
}

/// How far a run got, or what its gate came to; and what is wrong with it.
fn status(r: &Receipt) -> (String, Option<String>) {
    let ended = super::comparison::status(r.status).to_string();
    if let Some(g) = r.gate.as_ref().filter(|_| r.status == Status::Complete) {
        let remark = if g.outcome == Outcome::Pass { None } else { Some(g.reason.clone()) };
        return (gate::outcome_word(g.outcome).into(), remark);
    }
    if let Some(c) = &r.calibration {
        return (format!("calibration, {ended}"), Some(calibration::sentence(c)));
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

/// The fastest exact kernel for `gemv`, or what was measured instead, with its paired ratio.
pub fn fastest(r: &Receipt) -> Option<String> {
    let op = query::headlines(r, query::EXACT).first()?.op.clone();
    // Memory first, as in the run's own first sentence.
    let mut places = Residency::PLACES;
    places.sort_by_key(|at| query::places_for_answers(*at));
    let cells = places.map(|at| query::headline(r, query::EXACT, &op, at));
    let cell = cells.into_iter().flatten().find(|c| !c.rounds.is_empty())?;
    let exact = |id: &str| r.kernels.iter().any(|k| k.id == id && k.exact);
    let best = query::fastest_of(cell, |s| exact(&s.kernel))?;
    let ratio = best.vs_baseline.as_ref().map_or_else(|| "1×".into(), figures::judged);
    Some(format!("{} {ratio}", best.kernel))
}

/// The smallest difference that counts: from the quietest cell to the noisiest.
pub fn counts_from(r: &Receipt) -> Option<String> {
    query::threshold_range(r).map(query::percent_range)
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

/// `to` as a link from a page in `from`. Both are made absolute first; what a URL reserves is escaped.
pub fn relative_link(from: &Path, to: &Path) -> String {
    let absolute = |p: &Path| {
        let p = if p.as_os_str().is_empty() { Path::new(".") } else { p };
        p.canonicalize().or_else(|_| std::path::absolute(p)).unwrap_or_else(|_| p.to_path_buf())
    };
    let (from, to) = (absolute(from), absolute(to));
    let (a, b): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let common = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let up = a[common..].iter().map(|_| "..".to_string());
    let down = b[common..].iter().map(|c| escape(&c.as_os_str().to_string_lossy()));
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// Percent-encoded, all but RFC 3986's unreserved characters: a folder called `javascript:` is a folder.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;
