//! Rechecks every receipt below a folder, on as many threads as there are CPUs: what is kept of each is small.

use super::scan::{self, Found};
use crate::error::{Error, Result};
use crate::receipt_file;
use receipt::recheck::{Checked, Read, Standing, settle};
use receipt::{RECEIPT_FILE, Receipt};
use reports::Unreadable;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// All receipts below a folder, held against each other.
#[derive(Debug)]
pub struct CheckedFolder<T> {
    /// A row for each receipt and for each place that cannot be looked into, in the order of their paths.
    pub rows: Vec<Checked>,
    /// What was made of each receipt that counts, in the order of rows.
    pub counted: Vec<T>,
    /// Folders without a receipt in themselves or below.
    pub others: Vec<Unreadable>,
}

/// Rechecks all receipts below `folder`; `make` is called with the run's folder, its path below `folder`, and the
/// receipt, if that holds by itself. `progress` hears how many of how many were read.
pub fn check_all<T: Send>(
    folder: &Path,
    make: impl Fn(&Path, &str, &Receipt) -> T + Sync,
    mut progress: impl FnMut(usize, usize),
) -> Result<CheckedFolder<T>> {
    let Found { runs, others, unseen } = scan::scan(folder)?;
    let next = AtomicUsize::new(0);
    let one = |run: &PathBuf| {
        let name = run.strip_prefix(folder).unwrap_or(run).display().to_string();
        let (row, read) = check(run, format!("{name}/{RECEIPT_FILE}"));
        let made = read.filter(|_| row.standing == Standing::Holds).map(|read| make(run, &name, &read.receipt));
        (row, made)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(runs.len());
    let mut all: Vec<(Checked, Option<T>)> = unseen.into_iter().map(|row| (row, None)).collect();
    std::thread::scope(|scope| {
        let (sender, done) = mpsc::channel();
        for _ in 0..threads {
            let (sender, one, runs, next) = (sender.clone(), &one, &runs, &next);
            scope.spawn(move || {
                while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(one(run)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (i, checked) in done.into_iter().enumerate() {
            all.push(checked);
            progress(i + 1, runs.len());
        }
    });
    all.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    let (mut rows, made): (Vec<Checked>, Vec<Option<T>>) = all.into_iter().unzip();
    settle(&mut rows);
    let pairs = rows.iter().zip(made).filter(|(row, _)| row.standing == Standing::Holds);
    let counted = pairs.filter_map(|(_, made)| made).collect();
    Ok(CheckedFolder { rows, counted, others })
}

/// The error (exit 1) where some receipt below `folder` does not hold, or cannot be looked at.
pub fn unsound(folder: &Path, rows: &[Checked]) -> Result<()> {
    let unsound: Vec<&Checked> = rows.iter().filter(|row| !row.standing.is_sound()).collect();
    let Some(first) = unsound.first() else { return Ok(()) };
    let more = if unsound.len() > 1 { format!("; {} more", unsound.len() - 1) } else { String::new() };
    Err(Error::failed(format!("{}: {}{more}", folder.display(), first.line())))
}

/// One receipt by itself. `shown` is what its row calls the file.
fn check(run: &Path, shown: String) -> (Checked, Option<Read>) {
    let file = run.join(RECEIPT_FILE);
    match receipt_file::bytes_of_file(&file) {
        Err(error) => {
            let what = error.to_string().replace(&file.display().to_string(), "it");
            (Checked::without_receipt(shown, Standing::Unreadable, what), None)
        }
        Ok(bytes) => {
            let rechecked = receipt_file::check_and_read(PathBuf::from(&shown), &bytes);
            let row = Checked::of(shown, &rechecked);
            (row, rechecked.ok().and_then(|(_, read)| read))
        }
    }
}
