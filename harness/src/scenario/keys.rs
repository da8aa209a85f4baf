//! Keys of a scenario whose values are names: read by the parsers of the command line, so that both take the same.

use super::{parse_residency, parse_rule};
use kernels::ActivationRule;
use receipt::Residency;
use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The key `activations` as a schema has it: one rule, or several to compare.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum RulesKey {
    One(String),
    Several(Vec<String>),
}

/// Reads one rule or a list of names.
struct Rules;

impl<'de> Visitor<'de> for Rules {
    type Value = (bool, Vec<String>);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string, or a list of several")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Self::Value, E> {
        Ok((false, vec![name.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> std::result::Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(name) = names.next_element()? {
            all.push(name);
        }
        Ok((true, all))
    }
}

pub fn rules<'de, D: Deserializer<'de>>(toml: D) -> std::result::Result<Vec<ActivationRule>, D::Error> {
    let parsed = |name: &String| parse_rule(name).map_err(serde::de::Error::custom);
    let (is_list, names) = toml.deserialize_any(Rules)?;
    let rules = names.iter().map(parsed).collect::<std::result::Result<Vec<_>, _>>()?;
    let twice = rules.iter().enumerate().find(|(i, rule)| rules[..*i].contains(rule));
    match twice {
        Some((_, rule)) => Err(serde::de::Error::custom(format!("names the rule {rule} twice"))),
        None if is_list && rules.len() < 2 => {
            Err(serde::de::Error::custom("a list names two rules or more; take one as a text"))
        }
        None => Ok(rules),
    }
}

pub fn residencies<'de, D: Deserializer<'de>>(toml: D) -> std::result::Result<Vec<Residency>, D::Error> {
    let names = Vec::<String>::deserialize(toml)?;
    names.iter().map(|name| parse_residency(name).map_err(serde::de::Error::custom)).collect()
}
