//! All runs below a folder on one page. Only what it shows of each receipt is kept, so that thousands fit.

use super::check::{CheckedFolder, check_all};
use super::links::{link, relative_link};
use crate::error::Result;
use crate::files::write_atomic;
use receipt::RECEIPT_FILE;
use receipt::recheck::Checked;
use reports::document::Page;
use reports::{Entry, FIELD_FILE, Links, Unreadable, index_page};
use std::path::Path;

/// The index page over all runs below a folder, and how each receipt stands.
#[derive(Debug)]
pub struct Index {
    /// The page that lists the runs.
    pub page: Page,
    /// A row for each receipt, and for each place that cannot be looked into.
    pub checked: Vec<Checked>,
    /// Folders that are no runs.
    pub others: Vec<Unreadable>,
}

/// Rechecks every receipt below `folder` and writes the page to `out`, and beside it the page of published claims that
/// it leads to. `progress` hears how many of how many were read.
pub fn write_index(folder: &Path, out: &Path, progress: impl FnMut(usize, usize)) -> Result<Index> {
    let home = out.parent().unwrap_or(Path::new("."));
    let entry = |run: &Path, name: &str, receipt: &receipt::Receipt| {
        let links = Links { report: link(run, home), receipt: relative_link(home, &run.join(RECEIPT_FILE)) };
        Entry::new(name.to_owned(), links, receipt)
    };
    let CheckedFolder { rows: checked, counted, others } = check_all(folder, entry, progress)?;
    let page = index_page(counted, &checked, &others);
    // First: the index leads to it.
    write_atomic(&home.join(FIELD_FILE), reports::page_html(&reports::field_page()).as_bytes())?;
    write_atomic(out, reports::page_html(&page).as_bytes())?;
    Ok(Index { page, checked, others })
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
