//! What each metadata key of a file means for this program: it is used, it changes nothing here, or it is refused.
//!
//! A key that changes the model and is ignored gives wrong numbers without a word, so a key of the architecture or of
//! the tokenizer that is not in the tables is refused by name.

mod table;

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{Entry, Gguf, Value, ValueType, quoted};
use serde::Serialize;
use table::{GENERAL, GRAPH, Known, Rule, SPLIT, TOKENIZER};

/// What a metadata key means for this program.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "use", content = "why", rename_all = "lowercase")]
pub enum Use {
    /// This program reads the key.
    Used,
    /// The key's value changes nothing here, for this reason.
    Harmless(&'static str),
    /// The key stands for a model that does not run here: what is wrong with it, without the place.
    Refused(String),
}

/// Refuses the first key of the architecture, or about the file as a whole, that stands for another model.
pub fn check_graph(gguf: &Gguf, config: &ModelConfig) -> Result<()> {
    check(gguf, |key| !key.starts_with("tokenizer."), Some(config))
}

/// Refuses the first key of the tokenizer that would give other tokens.
pub fn check_tokenizer(gguf: &Gguf) -> Result<()> {
    check(gguf, |key| key.starts_with("tokenizer."), None)
}

fn check(gguf: &Gguf, within: impl Fn(&str) -> bool, config: Option<&ModelConfig>) -> Result<()> {
    let judged = gguf.metadata.iter().filter(|entry| within(&entry.key));
    let faults = judged.filter_map(|entry| match judge(gguf, entry, config) {
        Some(Use::Refused(what)) => Some(gguf.key_error(&entry.key, what)),
        _ => None,
    });
    Error::first_of(faults, "more keys like this; `model inspect` lists them")
}

/// What a metadata entry means for this program; `None` where its value has to agree with a shape that is not known.
pub fn judge(gguf: &Gguf, entry: &Entry, config: Option<&ModelConfig>) -> Option<Use> {
    let key = entry.key.as_str();
    // Whoever wrote it: such a key turns what the matrices hold.
    if of_hadamard(key) {
        return Some(Use::Refused(HADAMARD.into()));
    }
    let groups = [("tokenizer.", TOKENIZER), ("general.", GENERAL), ("split.", SPLIT)];
    let of_group = groups.into_iter().find_map(|(prefix, rows)| Some((rows, key.strip_prefix(prefix)?)));
    let Some((rows, name)) = of_group.or_else(|| Some((GRAPH, of_architecture(gguf, key)?))) else {
        return Some(Use::Harmless("of another program; no engine computes with it"));
    };
    if let Some(row) = rows.iter().find(|row| row.is_for(name)) {
        return meet(gguf, entry, row, config);
    }
    let part = if key.starts_with("tokenizer.") { "tokens" } else { "model" };
    let what = format!("this program does not know the key, and ignoring it might run another {part}");
    let next = "if it changes nothing, remove it (gguf_new_metadata.py --remove-metadata)";
    Some(Use::Refused(format!("{what}; {next}")))
}

/// What keys about Hadamard matrices mean.
pub(crate) const HADAMARD: &str = "activations are rotated by a Hadamard matrix before a product, which is not done \
                                   here, and without it the model gives garbage";

/// Whether a key is about rotating activations by a Hadamard matrix.
pub(crate) fn of_hadamard(key: &str) -> bool {
    key.to_ascii_lowercase().contains("hadamard")
}

/// The name of a key behind the architecture's.
fn of_architecture<'k>(gguf: &Gguf, key: &'k str) -> Option<&'k str> {
    let architecture = gguf.optional_string("general.architecture").ok().flatten()?;
    key.strip_prefix(architecture)?.strip_prefix('.')
}

fn meet(gguf: &Gguf, entry: &Entry, row: &Known, config: Option<&ModelConfig>) -> Option<Use> {
    let by_score = gguf.optional_string("tokenizer.ggml.model").ok().flatten() == Some("llama");
    // Values that change nothing, and what they are.
    let (values, name) = match row.rule {
        Rule::Scores | Rule::Spaces if by_score => return Some(Use::Used),
        Rule::Scores => return Some(Use::Harmless(row.why)),
        Rule::Spaces => (vec![0.0], ""),
        Rule::Used => return Some(Use::Used),
        Rule::Harmless => return Some(Use::Harmless(row.why)),
        Rule::Scaling => return Some(scaling(gguf, entry)),
        Rule::Text(text) => {
            let met = matches!(&entry.value, Value::String(found) if found == text);
            return Some(outcome(entry, row, met, &quoted(text)));
        }
        Rule::Empty => {
            let met = match &entry.value {
                Value::String(text) => text.is_empty(),
                Value::Array(array) => array.len == 0,
                _ => false,
            };
            return Some(outcome(entry, row, met, "nothing in it"));
        }
        Rule::Activation => {
            let names = config?.activation.names();
            let met = matches!(&entry.value, Value::String(found) if names.contains(&found.as_str()));
            return Some(outcome(entry, row, met, &quoted(names[0])));
        }
        Rule::OneOf(values) => (values.to_vec(), ""),
        Rule::HeadWidth => (vec![config?.head_dim as f64], "the head's width "),
        Rule::Width => (vec![config?.dim as f64], "the width "),
        Rule::RopeBase => (vec![f64::from(config?.rope_theta)], "rope.freq_base, "),
        Rule::HeadScale => (vec![(config?.head_dim as f64).sqrt().recip(), 0.0], ""),
        Rule::Window => (vec![0.0], ""),
    };
    let least = if matches!(row.rule, Rule::Window) { Some(config?.context as f64) } else { None };
    // Files keep f32, so a value is met to f32's precision.
    let takes = |x: f64| values.iter().any(|value| (x - value).abs() <= value.abs() * 1e-6);
    let takes = |&x: &f64| takes(x) || least.is_some_and(|least| x >= least);
    let met = gguf.numbers(entry).is_some_and(|found| found.iter().all(takes));
    let word = |x: &f64| if entry.kind == ValueType::Bool { (*x != 0.0).to_string() } else { (*x as f32).to_string() };
    let words = values.iter().map(word).chain(least.map(|least| format!("at least {least}, the context")));
    Some(outcome(entry, row, met, &format!("{name}{}", words.collect::<Vec<_>>().join(" or "))))
}

fn outcome(entry: &Entry, row: &Known, met: bool, wanted: &str) -> Use {
    if met {
        return Use::Harmless(row.why);
    }
    let found = entry.value.summary(entry.kind);
    Use::Refused(format!("expected {wanted}, found {found}: {}, and no other model runs here", row.why))
}

/// Rotary scaling: a factor without a type means linear, as existing engines read it, and 0 means none. Converters
/// write linear scaling by 1 for "none"; any other would change the angles.
fn scaling(gguf: &Gguf, entry: &Entry) -> Use {
    let of = |name: &str| gguf.metadata.iter().find(|e| of_architecture(gguf, &e.key) == Some(name));
    let of_type = of("rope.scaling.type");
    let kind = match of_type.map(|e| &e.value) {
        None => "linear",
        Some(Value::String(kind)) => kind,
        Some(other) => return Use::Refused(format!("expected a string, found {}", other.summary(entry.kind))),
    };
    let factor = |entry: &Entry| match gguf.numbers(entry).as_deref() {
        Some(&[factor]) => Some(factor),
        _ => None,
    };
    let refused = |factor: f64| {
        let meaning = if of_type.is_none() { " (a factor without rope.scaling.type means linear)" } else { "" };
        let what = format!("{} by {factor} is not supported{meaning}", quoted(kind));
        Use::Refused(format!("{what}: it changes the rotary angles, which are not scaled here"))
    };
    // YaRN's factor was checked when the shape was read.
    if kind == "yarn" {
        return Use::Used;
    }
    if of_type.is_some_and(|e| e.key == entry.key) {
        let by = of("rope.scaling.factor").and_then(factor).unwrap_or(1.0);
        return if ["none", "linear"].contains(&kind) { Use::Used } else { refused(by) };
    }
    match factor(entry) {
        _ if kind == "none" => Use::Used,
        Some(1.0 | 0.0) => Use::Used,
        Some(by) => refused(by),
        None => Use::Refused(format!("expected a number, found {}", entry.value.summary(entry.kind))),
    }
}

#[cfg(test)]
mod tests;
