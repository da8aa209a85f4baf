//! `report`: renders receipts again. It reads receipts only, so a run of any day and machine can be shown.

use crate::error::{Error, Result};
use crate::files::{check_named, write_atomic};
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::receipt_file::{holds_runs, read_receipt};
use crate::runs;
use clap::Args;
use receipt::recheck::Checked;
use reports::document::Page;
use reports::{Comparison, FIELD_FILE, INDEX_FILE, Look, Unreadable, export};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Flags of `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// A run folder or receipt; two of them; or one folder that holds run folders, at any depth
    #[arg(required = true, value_name = "RUN_DIR|RECEIPT|DIR")]
    pub runs: Vec<PathBuf>,
    /// Where to write: a folder for one run (its own by default), a file for several (comparison.html in the folder
    /// that holds them by default), a file for a folder of runs (index.html in it by default; field-claims.html is
    /// written beside it)
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Replace what is at --out
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Print all tables instead of the summary
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub full: bool,
    /// Print the summary as GitHub Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints: where the page is, and what it says.
#[derive(Serialize)]
struct Printed<'a> {
    report: String,
    #[serde(flatten)]
    page: &'a Page,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    receipts: &'a [Checked],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    no_runs: &'a [Unreadable],
}

impl<'a> Printed<'a> {
    fn new(report: &Path, page: &'a Page) -> Self {
        Self { report: report.display().to_string(), page, receipts: &[], no_runs: &[] }
    }
}

/// Runs `report`.
pub fn run(args: &ReportArgs, out: &Output) -> Result<()> {
    match &args.runs[..] {
        [one] if holds_runs(one) => folder(args, one, out),
        [one] => single(args, one, out),
        several => side_by_side(args, several, out),
    }
}

fn look(args: &ReportArgs, out: &Output) -> Look {
    Look { full: args.full, ..out.look() }
}

/// The text on stdout; the page's path last, or beside it where the text is to be pasted.
fn print(args: &ReportArgs, text: &str, page: &Path, out: &Output) -> Result<()> {
    out.line(text.trim_end())?;
    let page = page.display().to_string();
    if args.markdown {
        note(page);
        return Ok(());
    }
    out.line(page)
}

fn single(args: &ReportArgs, run: &Path, out: &Output) -> Result<()> {
    let receipt = read_receipt(run)?;
    let own = folder_of(run);
    if let Some(out) = args.out.as_ref().filter(|out| !args.force && !same_folder(out, &own)) {
        runs::refuse_to_replace(out)?;
    }
    let paths = runs::write_run_folder(&receipt, args.out.as_ref().unwrap_or(&own))?;
    if args.json {
        return out.json(&Printed::new(&paths.html, &reports::run_page(&receipt)));
    }
    let text = if args.markdown { export::markdown(&receipt) } else { reports::summary(&receipt, look(args, out)) };
    print(args, &text, &paths.html, out)
}

fn side_by_side(args: &ReportArgs, runs: &[PathBuf], out: &Output) -> Result<()> {
    let target = args
        .out
        .clone()
        .map_or_else(|| shared_folder(runs).join("comparison.html"), |out| inside(out, "comparison.html"));
    let home = target.parent().unwrap_or(Path::new("."));
    let named = runs.iter().map(|path| {
        if holds_runs(path) {
            let what = "holds no receipt.json: a folder of runs is shown alone, as `report DIR`";
            return Err(Error::input(format!("{} {what}", path.display())));
        }
        Ok((path.display().to_string(), runs::link(&folder_of(path), home), read_receipt(path)?))
    });
    let comparison = Comparison::new(named.collect::<Result<Vec<_>>>()?)?;
    check_target(args, &target)?;
    let page = comparison.page();
    write_atomic(&target, reports::page_html(&page).as_bytes())?;
    if args.json {
        return out.json(&Printed::new(&target, &page));
    }
    let text = if args.markdown { comparison.markdown() } else { comparison.summary(look(args, out)) };
    print(args, &text, &target, out)
}

fn folder(args: &ReportArgs, folder: &Path, out: &Output) -> Result<()> {
    let target = args.out.clone().map_or_else(|| folder.join(INDEX_FILE), |out| inside(out, INDEX_FILE));
    if args.markdown {
        let what = "an index is a page; name runs for Markdown";
        return Err(Error::input(format!("--markdown: {} is a folder of runs: {what}", folder.display())));
    }
    check_target(args, &target)?;
    check_target(args, &target.with_file_name(FIELD_FILE))?;
    let progress = Progress::start("reading receipts", 1);
    let index = runs::write_index(folder, &target, |done, of| {
        progress.say(format!("reading receipts ({done} of {of})"));
    })?;
    drop(progress);
    for u in &index.others {
        note(format!("note: {}: {}", u.path, u.reason));
    }
    if args.json {
        let page = Printed::new(&target, &index.page);
        out.json(&Printed { receipts: &index.checked, no_runs: &index.others, ..page })?;
    } else {
        for row in index.checked.iter().filter(|row| !row.standing.is_sound()) {
            note(row.line());
        }
        print(args, &reports::index_summary(&index.page, look(args, out)), &target, out)?;
    }
    // The page is written and shown all the same.
    runs::unsound(folder, &index.checked)
}

/// A page where no `--out` says where is this program's own, and rendered again.
fn check_target(args: &ReportArgs, target: &Path) -> Result<()> {
    if args.out.is_some() { check_named(target, args.force) } else { Ok(()) }
}

fn same_folder(a: &Path, b: &Path) -> bool {
    let real =
        |path: &Path| if path.as_os_str().is_empty() { Path::new(".").canonicalize() } else { path.canonicalize() };
    real(a).is_ok_and(|a| real(b).is_ok_and(|b| a == b))
}

fn folder_of(run: &Path) -> PathBuf {
    if run.is_dir() { run.to_path_buf() } else { run.parent().unwrap_or(Path::new(".")).to_path_buf() }
}

/// A folder as target means a file of that name in it.
fn inside(target: PathBuf, name: &str) -> PathBuf {
    if target.is_dir() { target.join(name) } else { target }
}

/// The deepest folder that holds all runs, as long as that is not the root of the file system; else the current one.
fn shared_folder(runs: &[PathBuf]) -> PathBuf {
    let parents = runs.iter().map(|run| {
        let folder = folder_of(run);
        let folder = folder.canonicalize().unwrap_or(folder);
        folder.parent().map(Path::to_path_buf).unwrap_or_default()
    });
    let shared = parents.reduce(|a, b| {
        let pairs = a.components().zip(b.components());
        pairs.take_while(|(x, y)| x == y).map(|(x, _)| x).collect()
    });
    let shared = shared.filter(|p| p.components().count() > 1).unwrap_or_default();
    // As the user would write it.
    let here = std::env::current_dir().and_then(|d| d.canonicalize()).unwrap_or_default();
    shared.strip_prefix(&here).map(Path::to_path_buf).unwrap_or(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_folder_holds_all_runs() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for run in ["runs/a", "runs/b", "other/c"] {
            std::fs::create_dir_all(root.join(run)).unwrap();
        }
        let of = |runs: &[&str]| shared_folder(&runs.iter().map(|r| root.join(r)).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a", "runs/b"]), root.join("runs"));
        assert_eq!(of(&["runs/a", "other/c"]), root);
        assert_eq!(shared_folder(&[PathBuf::from("/a/x"), PathBuf::from("/b/y")]), PathBuf::new());
    }
}
