//! Renders what lies beside a run's receipt: `report.html`, `measurements.csv` and charts.

use crate::error::Result;
use crate::files::write_atomic;
use crate::receipt_file::read_receipt;
use receipt::Receipt;
use std::path::{Path, PathBuf};

/// Where the parts of a report were written.
#[derive(Clone, Debug)]
pub struct ReportPaths {
    pub html: PathBuf,
    pub csv: PathBuf,
    /// Paths of the charts that the receipt had data for.
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
    remove_stale(&folder.join("charts"), &paths.charts);
    Ok(paths)
}

/// Removes charts that an earlier rendering drew and this one did not: they are of kernels or parts that the receipt
/// does not have. Only what begins as our charts do is ours.
fn remove_stale(folder: &Path, drawn: &[PathBuf]) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let svg = path.extension().is_some_and(|e| e == "svg") && !drawn.contains(&path);
        if svg && std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(reports::CHART_START.as_bytes())) {
            // Best effort: the page does not link to it.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// [`write_run_folder`] of the receipt in `folder`: a run's own page is what any later rendering makes.
pub fn render_run(folder: &Path) -> Result<ReportPaths> {
    write_run_folder(&read_receipt(folder)?, folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn charts_of_an_earlier_rendering_go_and_a_users_own_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = write_run_folder(&fixture::complete(), dir.path()).expect("written");
        let own = dir.path().join("charts/mine.svg");
        std::fs::write(&own, "<svg/>").expect("written");
        let second = write_run_folder(&fixture::empty(), dir.path()).expect("written");
        assert!(first.charts.len() > second.charts.len());
        let mut left: Vec<PathBuf> =
            std::fs::read_dir(dir.path().join("charts")).expect("there").flatten().map(|e| e.path()).collect();
        let mut wanted = [second.charts, vec![own]].concat();
        left.sort();
        wanted.sort();
        assert_eq!(left, wanted);
    }
}
