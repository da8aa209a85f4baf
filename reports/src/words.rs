//! Small words that several parts need.

use receipt::{Status, figures};

/// A number with its noun: `1 kernel`, `2 kernels`.
pub fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", figures::integer(n as u64), if n == 1 { "" } else { "s" })
}

/// Words joined as in a sentence: `a, b and c`.
pub fn join(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).into(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// How far a run got, in words: `interrupted`.
pub fn status(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Interrupted => "interrupted",
        Status::Failed => "failed",
        Status::Running => "never finished",
    }
}

/// `word` quoted so that a POSIX shell reads it back as it is.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    // A control character would end the line that the user copies.
    let word: String = word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people_and_shells() {
        assert_eq!([count(1, "kernel"), count(12_345, "kernel")], ["1 kernel", "12,345 kernels"]);
        assert_eq!([join(&["a"]), join(&["a", "b", "c"])], ["a", "a, b and c"]);
        assert_eq!([quoted("it's"), quoted(""), quoted("a/b=c")], ["'it'\\''s'", "''", "a/b=c"]);
    }
}
