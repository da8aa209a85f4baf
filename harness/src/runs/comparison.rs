//! The page over several runs, and its links to theirs.

use super::links::relative_link;
use crate::error::Result;
use crate::files::write_atomic;
use reports::Comparison;
use std::path::{Path, PathBuf};

/// Writes the page to `out` and returns its path.
pub fn write_comparison(comparison: &Comparison, out: &Path) -> Result<PathBuf> {
    let home = out.parent().unwrap_or(Path::new("."));
    let links: Vec<Option<String>> = comparison.runs.iter().map(|run| link(Path::new(&run.name), home)).collect();
    write_atomic(out, reports::comparison_page(comparison, &links)?.as_bytes())?;
    Ok(out.to_path_buf())
}

/// The page of a run that the user named by folder or receipt, if it has one.
fn link(named: &Path, home: &Path) -> Option<String> {
    let folder = if named.is_dir() { named } else { named.parent().unwrap_or(Path::new(".")) };
    let page = folder.join("report.html");
    page.is_file().then(|| relative_link(home, &page))
}
