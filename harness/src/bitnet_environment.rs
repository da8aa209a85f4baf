//! Environment variables of BitNet.rs that mean the same here. A flag on the command line wins over its variable; a
//! value that means nothing is an input error, never ignored.
//!
//! | variable | values | same as |
//! |---|---|---|
//! | `BITNET_STRICT_MODE` | 1, true, yes, on; 0, false, no, off | `--strict` where a command has it |
//! | `BITNET_DETERMINISTIC` | as above | `--deterministic` |
//! | `BITNET_SEED` | a number from 0 to 2^64 - 1 | `--seed` |

use crate::error::{Error, Result};

/// `BITNET_STRICT_MODE`: whether checks that are notes elsewhere end the run. False when unset.
pub fn strict_mode() -> Result<bool> {
    Ok(switch("BITNET_STRICT_MODE")?.unwrap_or(false))
}

/// `BITNET_DETERMINISTIC`: whether a run must give the same again. False when unset.
pub fn deterministic() -> Result<bool> {
    Ok(switch("BITNET_DETERMINISTIC")?.unwrap_or(false))
}

/// The seed that `BITNET_SEED` gives, a number from 0 to 2^64 - 1; `None` when it is unset.
pub fn seed() -> Result<Option<u64>> {
    let Some(text) = value("BITNET_SEED")? else { return Ok(None) };
    parse_seed(&text).map(Some)
}

/// Checks the three variables `BITNET_*`, so that every command names a wrong value, even one that it does not use.
pub fn check() -> Result<()> {
    strict_mode().and(deterministic()).and(seed()).map(|_| ())
}

fn value(name: &str) -> Result<Option<String>> {
    let no_text = |_| Error::input(format!("environment variable {name} is not text; unset it"));
    let text = std::env::var_os(name).map(|value| value.into_string().map_err(no_text)).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn switch(name: &str) -> Result<Option<bool>> {
    value(name)?.map(|text| parse_switch(name, &text)).transpose()
}

fn parse_switch(name: &str, text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Error::input(format!("environment variable {name} is {text:?}; use 1 or 0, or unset it"))),
    }
}

fn parse_seed(text: &str) -> Result<u64> {
    let next = format!("use a number from 0 to {}, or unset it", u64::MAX);
    text.parse().map_err(|_| Error::input(format!("environment variable BITNET_SEED is {text:?}; {next}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_and_seeds_parse_or_are_refused() {
        let parsed = ["1", "TRUE", "on", "0", "No", "off"].map(|text| parse_switch("X", text).expect("known"));
        assert_eq!(parsed, [true, true, true, false, false, false]);
        let error = parse_switch("BITNET_STRICT_MODE", "maybe").expect_err("unknown").to_string();
        assert_eq!(error, "environment variable BITNET_STRICT_MODE is \"maybe\"; use 1 or 0, or unset it");
        assert_eq!(parse_seed("18446744073709551615").expect("fits"), u64::MAX);
        for text in ["-1", "1.5", "18446744073709551616", "x"] {
            assert!(parse_seed(text).expect_err("no seed").to_string().contains("BITNET_SEED"));
        }
    }
}
