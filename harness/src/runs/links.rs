//! Links from a page to files of other folders.

use std::path::Path;

/// The relative link to `to` from a page in folder `from`, both made absolute first; what a URL reserves is escaped.
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

/// The relative link from a page in `home` to the report of the run folder `run`, if it has a report.
pub fn link(run: &Path, home: &Path) -> Option<String> {
    let page = run.join("report.html");
    page.is_file().then(|| relative_link(home, &page))
}

/// Percent-encoded, all but RFC 3986's unreserved characters: a folder called `javascript:` is a folder.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
