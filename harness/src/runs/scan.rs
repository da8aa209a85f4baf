//! Finds run folders below a folder, and folders that are none.

use crate::error::{Error, Result};
use receipt::RECEIPT_FILE;
use reports::Unreadable;
use std::path::{Path, PathBuf};

/// Deeper than anyone keeps runs; ends a walk through something else.
const DEPTH: usize = 12;

/// Run folders and other folders below a folder, in the order of names.
#[derive(Debug, Default)]
pub struct Found {
    /// Folders with a receipt: runs.
    pub runs: Vec<PathBuf>,
    /// The topmost folders without a receipt in themselves or below.
    pub others: Vec<Unreadable>,
}

/// Looks into every folder but hidden ones and links. Only that `folder` itself cannot be read is an error.
pub fn scan(folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    let names = children(folder).map_err(|e| Error::io("read the folder", folder, &e))?;
    for child in names {
        walk(folder, &child, 1, &mut found);
    }
    Ok(found)
}

/// Folders in a folder, by name; a link to one is not followed, so that no walk goes in circles.
fn children(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.file_type()?.is_dir() {
            out.push(entry.path());
        }
    }
    out.sort();
    Ok(out)
}

/// Returns whether there is a run in `folder` or below.
fn walk(root: &Path, folder: &Path, depth: usize, found: &mut Found) -> bool {
    let below_root = |reason: String| {
        let path = folder.strip_prefix(root).unwrap_or(folder).display().to_string();
        Unreadable { path, reason }
    };
    if depth > DEPTH {
        found.others.push(below_root(format!("more than {DEPTH} folders deep: not looked into")));
        return false;
    }
    let names = match children(folder) {
        Ok(names) => names,
        Err(e) => {
            found.others.push(below_root(format!("cannot read the folder: {e}")));
            return false;
        }
    };
    let own = folder.join(RECEIPT_FILE).exists();
    if own {
        found.runs.push(folder.to_path_buf());
    }
    let before = found.others.len();
    // No short circuit: all of them are looked into.
    let below = names.iter().filter(|child| walk(root, child, depth + 1, found)).count() > 0;
    if own {
        // What lies in a run folder without a receipt is the run's own, such as its charts.
        found.others.truncate(before);
    } else if !below {
        // One line for the whole tree, with the graver reason if there is one.
        let unread = found.others.drain(before..).find(|u| !u.reason.starts_with("no "));
        let reason = unread.map_or_else(|| format!("no {RECEIPT_FILE} in it or below"), |u| u.reason);
        found.others.push(below_root(reason));
    }
    own || below
}
