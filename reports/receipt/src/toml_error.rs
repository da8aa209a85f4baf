//! TOML files of people: every error is one line with the file and the line.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;

/// Reads a file; `origin` is what errors call it.
///
/// # Errors
/// Text that is not such a file, in one line: `f.toml: line 3: ...`.
pub fn parse<T: DeserializeOwned>(origin: &str, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        let message = e.message().split_whitespace().collect::<Vec<_>>().join(" ");
        error(origin, text, at, &format!("{message}{}", near(text, at)))
    })
}

/// The error of what is wrong at byte `at` of a file.
pub fn error(origin: &str, text: &str, at: usize, what: &str) -> Error {
    let line = text.get(..at).map_or(0, |before| before.matches('\n').count()) + 1;
    Error::input(format!("{origin}: line {line}: {what}"))
}

/// The line of a TOML file around the bytes `at`, for errors that do not name the key themselves.
pub fn near(text: &str, at: usize) -> String {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("").trim();
    if line.is_empty() { String::new() } else { format!(" (in: {})", line.chars().take(80).collect::<String>()) }
}
