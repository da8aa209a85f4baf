//! What is rendered beside a run's receipt.

use crate::error::Result;
use crate::files::write_atomic;
use crate::receipt_file::read_receipt;
use receipt::Receipt;
use std::path::{Path, PathBuf};

/// Where the parts of a report were written.
#[derive(Clone, Debug)]
pub struct ReportPaths {
    /// The page.
    pub html: PathBuf,
    /// The figures.
    pub csv: PathBuf,
    /// The charts that the receipt had data for.
    pub charts: Vec<PathBuf>,
}

/// Writes `measurements.csv`, `charts/*.svg` and `report.html` beside the run's `receipt.json`, in that order.
pub fn write_run_folder(receipt: &Receipt, folder: &Path) -> Result<ReportPaths> {
    let mut paths = ReportPaths { html: PathBuf::new(), csv: PathBuf::new(), charts: Vec::new() };
    for document in reports::run_documents(receipt)? {
        let path = folder.join(&document.name);
        write_atomic(&path, &document.bytes)?;
        match path.extension().and_then(|e| e.to_str()) {
            Some("html") => paths.html = path,
            Some("csv") => paths.csv = path,
            _ => paths.charts.push(path),
        }
    }
    Ok(paths)
}

/// [`write_run_folder`] of the receipt that `folder` holds: a run's own page is what any later rendering makes, digests
/// included.
pub fn render_run(folder: &Path) -> Result<ReportPaths> {
    write_run_folder(&read_receipt(folder)?, folder)
}
