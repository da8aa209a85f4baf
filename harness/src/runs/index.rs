//! All runs below a folder on one page. Only what it shows of each receipt is kept, so that hundreds fit.

use super::links::{link, relative_link};
use super::scan;
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::receipt_file::read_receipt;
use receipt::RECEIPT_FILE;
use reports::document::Page;
use reports::{FIELD_FILE, Links, Listing, Unreadable};
use std::path::Path;

/// The index page over all runs below a folder, and what could not be read.
#[derive(Debug)]
pub struct Index {
    /// The page that lists the runs.
    pub page: Page,
    /// Folders that are no runs, and receipts that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// Reads every receipt below `folder` and writes the page to `out`, and beside it the page of published claims that it
/// leads to. `progress` hears how many of how many were read.
pub fn write_index(folder: &Path, out: &Path, mut progress: impl FnMut(usize, usize)) -> Result<Index> {
    let found = scan::scan(folder)?;
    if found.runs.is_empty() {
        let what = "no receipt.json in it or in a folder below: name a run folder, or one that holds run folders";
        return Err(Error::input(format!("{}: {what}", folder.display())));
    }
    let home = out.parent().unwrap_or(Path::new("."));
    let mut listing = Listing::default();
    let mut unreadable = found.others;
    for (i, run) in found.runs.iter().enumerate() {
        let name = run.strip_prefix(folder).unwrap_or(run).display().to_string();
        match read_receipt(run) {
            Ok(receipt) => {
                let links = Links { report: link(run, home), receipt: relative_link(home, &run.join(RECEIPT_FILE)) };
                listing.add(name, links, &receipt);
            }
            Err(error) => unreadable.push(Unreadable { path: name, reason: error.to_string() }),
        }
        progress(i + 1, found.runs.len());
    }
    unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    let page = listing.page(&unreadable);
    // First: the index leads to it.
    write_atomic(&home.join(FIELD_FILE), reports::page_html(&reports::field_page()).as_bytes())?;
    write_atomic(out, reports::page_html(&page).as_bytes())?;
    Ok(Index { page, unreadable })
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
