//! Reads what an engine answers. Engines write numbers that are none in ways that JSON does not have: Python's `NaN`.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Characters of an answer that is not understood that are quoted.
const QUOTED: usize = 80;

/// What an engine answered: what was asked for, or that it cannot, in its words.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    Given(T),
    Error(String),
}

/// Reads one line; else what is wrong with it, in words, with its first 80 characters.
pub fn parse<T: DeserializeOwned>(line: &str) -> Result<Answer<T>, String> {
    let quoted = || quote(line);
    let value: Value = serde_json::from_str(&plain(line)).map_err(|_| format!("answered no JSON: {}", quoted()))?;
    if let Some(error) = value.get("error") {
        let words = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        return Ok(Answer::Error(words.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    serde_json::from_value(value).map(Answer::Given).map_err(|e| format!("answered something else ({e}): {}", quoted()))
}

/// The first characters of a text, as one line.
pub fn quote(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect();
    let more = if text.chars().nth(QUOTED).is_some() { " ..." } else { "" };
    format!("{shown:?}{more}")
}

/// The line with `null` for numbers that are none.
fn plain(line: &str) -> String {
    let (mut out, mut rest, mut inside) = (String::with_capacity(line.len()), line, false);
    while let Some(c) = rest.chars().next() {
        let none = ["NaN", "nan", "-NaN", "-nan", "Infinity", "-Infinity"].iter().find(|word| rest.starts_with(**word));
        match (inside, c, none) {
            (true, '\\', _) => {
                let escaped: String = rest.chars().take(2).collect();
                out.push_str(&escaped);
                rest = &rest[escaped.len()..];
                continue;
            }
            (_, '"', _) => inside = !inside,
            (false, _, Some(word)) => {
                out.push_str("null");
                rest = &rest[word.len()..];
                continue;
            }
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::protocol::{Generated, Scored};

    #[test]
    fn numbers_that_are_none_are_answers() {
        for none in ["NaN", "null", "-Infinity", "nan"] {
            let line = format!(r#"{{"nats": {none}, "positions": 3, "rule": "every", "feeding": "NaN \" NaN"}}"#);
            let Ok(Answer::Given(Scored { nats, feeding, .. })) = parse(&line) else { panic!("{line}") };
            assert_eq!((nats, feeding.as_str()), (None, "NaN \" NaN"));
        }
        let whole: Answer<Scored> = parse(r#"{"nats":2.5,"positions":3,"rule":"every"}"#).expect("read");
        assert!(matches!(whole, Answer::Given(Scored { nats: Some(nats), .. }) if nats == 2.5));
    }

    #[test]
    fn garbage_is_quoted_and_an_error_is_the_engines_own() {
        let long = format!("loading the model {}", "x".repeat(200));
        let told = parse::<Generated>(&long).expect_err("no JSON");
        assert!(told.starts_with("answered no JSON: \"loading the model xxx") && told.ends_with("\" ..."), "{told}");
        assert!(told.len() < 120, "{told}");
        let other = parse::<Generated>(r#"{"tokens": [1]}"#).expect_err("other keys");
        assert!(other.contains("missing field `ids`"), "{other}");
        assert_eq!(parse::<Generated>(r#"{"error": "no\nroom"}"#), Ok(Answer::Error("no room".into())));
        for line in ["", "[1]", "{\"ids\": [-1]}", "{\"ids\": [1.5]}", "{\"ids\": 4}", "\u{1}"] {
            assert!(parse::<Generated>(line).is_err(), "{line}");
        }
    }
}
