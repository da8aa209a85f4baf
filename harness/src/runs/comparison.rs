//! The page over several runs, and links from a page to files of other folders.

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
