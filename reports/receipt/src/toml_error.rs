//! Where in a TOML file an error is.

/// The line of a TOML file around the bytes `at`, for errors that do not name the key themselves.
pub fn near(text: &str, at: usize) -> String {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("").trim();
    if line.is_empty() { String::new() } else { format!(" (in: {})", line.chars().take(80).collect::<String>()) }
}
