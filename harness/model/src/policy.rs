//! Warnings about a model file: what `scenarios/models.toml` says about its hash and its metadata.

use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};
use serde::Deserialize;

pub(crate) const MODELS_TOML: &str = include_str!("../../../scenarios/models.toml");

/// One `[[rule]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Metadata key.
    key: String,
    /// Applies where the value's text is this.
    equals: Option<String>,
    /// Applies where the value's text does not contain this.
    lacks: Option<String>,
    /// Only for files whose hash is not known.
    #[serde(default)]
    unknown: bool,
    /// What to say.
    warning: String,
}

/// Warnings about a file whose hash is `known` or not, the gravest first. `bad` is why this very file should not be
/// used.
pub fn warnings(gguf: &Gguf, known: bool, bad: Option<&str>) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Rules {
        rule: Vec<Rule>,
    }
    let rules: Rules = toml::from_str(MODELS_TOML)
        .map_err(|e| Error::input(format!("scenarios/models.toml: {}", e.to_string().trim().replace('\n', " "))))?;
    Ok(apply(&rules.rule, gguf, known, bad))
}

fn apply(rules: &[Rule], gguf: &Gguf, known: bool, bad: Option<&str>) -> Vec<String> {
    let bad = bad.map(|why| format!("this file is known to be bad: {why}"));
    let synthetic = matches!(gguf.entry("tritbench.synthetic").map(|e| &e.value), Some(Value::Bool(true)));
    let applies = |rule: &&Rule| {
        let Some(entry) = gguf.entry(&rule.key) else { return false };
        let text = match &entry.value {
            Value::String(text) => text.clone(),
            Value::Unsigned(n) => n.to_string(),
            Value::Signed(n) => n.to_string(),
            _ => return false,
        };
        let said = rule.equals.as_ref().is_some_and(|wanted| text == *wanted)
            || rule.lacks.as_ref().is_some_and(|wanted| !text.contains(wanted.as_str()));
        said && !(rule.unknown && known)
    };
    let by_rule = rules.iter().filter(applies).map(|rule| rule.warning.clone());
    bad.into_iter().chain(by_rule.filter(|_| !synthetic)).collect()
}
