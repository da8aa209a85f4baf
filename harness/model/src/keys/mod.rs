//! What each metadata key of a file means for this program: it is used, it changes nothing here, or it is refused.
//!
//! A key that changes the model and is ignored gives wrong numbers without a word, so a key of the architecture or of
//! the tokenizer that is not in the tables is refused by name.

mod table;

use crate::error::{Error, Result};
use crate::gguf::{Entry, Gguf, Value, ValueType, quoted};
use table::{GENERAL, GRAPH, Known, Rule, SPLIT, TOKENIZER};

/// What the values of some keys have to agree with.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Width of the residual stream.
    pub dim: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Base of the rotary angles.
    pub rope_theta: f32,
}

/// What a key is here.
#[derive(Clone, Debug, PartialEq)]
pub enum Use {
    /// This program reads it.
    Used,
    /// Its value changes nothing here, for this reason.
    Harmless(&'static str),
    /// It stands for a model that does not run here: what is wrong with it, without the place.
    Refused(String),
}

/// Refuses the first key of the architecture, or about the file as a whole, that stands for another model.
pub fn check_graph(gguf: &Gguf, facts: &Facts) -> Result<()> {
    check(gguf, |key| !key.starts_with("tokenizer."), Some(facts))
}

/// Refuses the first key of the tokenizer that would give other tokens.
pub fn check_tokenizer(gguf: &Gguf) -> Result<()> {
    check(gguf, |key| key.starts_with("tokenizer."), None)
}

fn check(gguf: &Gguf, within: impl Fn(&str) -> bool, facts: Option<&Facts>) -> Result<()> {
    let judged = gguf.metadata().iter().filter(|entry| within(&entry.key));
    let mut faults = judged.filter_map(|entry| match judge(gguf, entry, facts) {
        Some(Use::Refused(what)) => Some(gguf.key_error(entry, what)),
        _ => None,
    });
    let Some(first) = faults.next() else { return Ok(()) };
    match faults.count() {
        0 => Err(first),
        more => Err(Error::input(format!("{first} ({more} more keys like this; `model inspect` lists them)"))),
    }
}

/// What `entry` is here; `None` where its value has to agree with `facts` that are not known.
pub fn judge(gguf: &Gguf, entry: &Entry, facts: Option<&Facts>) -> Option<Use> {
    let key = entry.key.as_str();
    let (rows, name) = if let Some(name) = key.strip_prefix("tokenizer.") {
        (TOKENIZER, name)
    } else if let Some(name) = key.strip_prefix("general.") {
        (GENERAL, name)
    } else if let Some(name) = key.strip_prefix("split.") {
        (SPLIT, name)
    } else if let Some(name) = of_architecture(gguf, key) {
        (GRAPH, name)
    } else {
        return Some(Use::Harmless("of another program; no engine computes with it"));
    };
    match rows.iter().find(|row| row.is_for(name)) {
        Some(row) => meet(gguf, entry, row, facts),
        None => Some(Use::Refused(unknown(key))),
    }
}

/// The name of a key behind the architecture's.
fn of_architecture<'k>(gguf: &Gguf, key: &'k str) -> Option<&'k str> {
    let architecture = gguf.optional_string("general.architecture").ok().flatten()?;
    key.strip_prefix(architecture)?.strip_prefix('.')
}

fn unknown(key: &str) -> String {
    let part = if key.starts_with("tokenizer.") { "tokens" } else { "model" };
    format!(
        "this program does not know the key, and ignoring it might run another {part}; if it changes nothing, remove \
         it (gguf_new_metadata.py --remove-metadata)"
    )
}

fn meet(gguf: &Gguf, entry: &Entry, row: &Known, facts: Option<&Facts>) -> Option<Use> {
    let one_of = |values: &[f64]| Wanted { values: values.to_vec(), at_least: None, words: None };
    let wanted = match row.rule {
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
        Rule::OneOf(values) => one_of(values),
        Rule::HeadWidth => Wanted::shape(facts?.head_dim as f64, "the head's width"),
        Rule::Width => Wanted::shape(facts?.dim as f64, "the width"),
        Rule::RopeBase => Wanted::shape(f64::from(facts?.rope_theta), "rope.freq_base,"),
        Rule::HeadScale => one_of(&[(facts?.head_dim as f64).sqrt().recip(), 0.0]),
        Rule::Window => Wanted { at_least: Some(facts?.context as f64), ..one_of(&[0.0]) },
    };
    let met = gguf.numbers(entry).is_some_and(|found| found.iter().all(|&x| wanted.takes(x)));
    Some(outcome(entry, row, met, &wanted.in_words(entry.kind)))
}

fn outcome(entry: &Entry, row: &Known, met: bool, wanted: &str) -> Use {
    if met {
        return Use::Harmless(row.why);
    }
    let found = entry.value.summary(entry.kind);
    Use::Refused(format!("expected {wanted}, found {found}: {}, and no other model runs here", row.why))
}

/// Values that change nothing.
struct Wanted {
    values: Vec<f64>,
    at_least: Option<f64>,
    words: Option<&'static str>,
}

impl Wanted {
    fn shape(value: f64, words: &'static str) -> Self {
        Self { values: vec![value], at_least: None, words: Some(words) }
    }

    /// Files keep f32, so a value is met to f32's precision.
    fn takes(&self, x: f64) -> bool {
        let near = |value: f64| (x - value).abs() <= value.abs() * 1e-6;
        self.values.iter().copied().any(near) || self.at_least.is_some_and(|least| x >= least)
    }

    fn in_words(&self, kind: ValueType) -> String {
        let value = |x: &f64| match kind {
            ValueType::Bool => (*x != 0.0).to_string(),
            _ => (*x as f32).to_string(),
        };
        let mut words: Vec<String> = self.values.iter().map(value).collect();
        words.extend(self.at_least.map(|least| format!("at least {least}, the context")));
        let words = words.join(" or ");
        self.words.map_or(words.clone(), |what| format!("{what} {words}"))
    }
}

/// Rotary scaling: a factor without a type means linear, as existing engines read it, and 0 means none. Converters
/// write linear scaling by 1 for "none"; any other would change the angles.
fn scaling(gguf: &Gguf, entry: &Entry) -> Use {
    let of = |name: &str| gguf.metadata().iter().find(|e| of_architecture(gguf, &e.key) == Some(name));
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
