//! `[[engine]]`: what an engine is called, how it is run, what it reads. After rebar's engines.toml.

use super::places::Places;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The name of our own program among the engines.
pub const OWN: &str = "tritbench";
/// Seconds that an answer may take where a definition says nothing.
const TIMEOUT_S: f64 = 120.0;

/// How an engine is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Lines of JSON ([`super::protocol`]).
    #[default]
    Lines,
    /// A program that takes a file of the oracle's distributions and prints how far its own are: truth, no speed.
    KlDivergence,
}

/// One `[[engine]]`.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What `--engine` calls it.
    pub name: String,
    /// What it is, in one sentence.
    pub summary: String,
    /// Prints its version, one line; what it prints is the proof that the engine is there.
    pub version: Vec<String>,
    /// Runs it.
    pub run: Vec<String>,
    /// How it is spoken to.
    #[serde(default)]
    pub protocol: Protocol,
    /// Encodings of ternary matrices that it reads, as `model inspect` calls them, best first; what a converter makes
    /// where there is one. None for an engine that has its model already: it is given the model's own file.
    pub formats: Vec<String>,
    /// Whether it computes with as many threads as it is told. One that does not takes no turns with others.
    #[serde(default)]
    pub threads: bool,
    /// Makes of a model's file (`{model}`) what the engine reads (`{out}`).
    #[serde(default)]
    pub convert: Option<Vec<String>>,
    /// How a user gets it, in words.
    #[serde(default)]
    pub build: String,
    /// How a user gets rid of it, in words.
    #[serde(default)]
    pub clean: String,
    /// Seconds that an answer may take; loading may take five times as long.
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
}

/// The JSON Schema of an `[[engine]]`, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Definition).to_value();
    schema["title"] = "tritbench engine".into();
    schema
}

fn timeout_s() -> f64 {
    TIMEOUT_S
}

impl Definition {
    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_s)
    }

    /// Names of the environment variables that its commands want.
    pub fn variables(&self) -> Vec<&str> {
        let commands = [&self.version, &self.run].into_iter().chain(&self.convert);
        let mut names: Vec<&str> = commands.flatten().flat_map(|word| variables(word)).map(|(_, name)| name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A command with its variables and places filled in; else why it cannot be, in words.
    pub fn filled(&self, command: &[String], places: &Places) -> std::result::Result<Vec<String>, String> {
        command.iter().map(|word| self.fill(word, places)).collect()
    }

    fn fill(&self, word: &str, places: &Places) -> std::result::Result<String, String> {
        let mut filled = word.to_owned();
        // Those behind first, so that places before them stay.
        for (at, name) in variables(word).into_iter().rev() {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                let how = if self.build.is_empty() { String::new() } else { format!(": {}", self.build) };
                format!("the environment variable {name} is not set{how}")
            })?;
            filled.replace_range(at..at + 1 + name.len(), &value);
        }
        Ok(places.fill(&filled))
    }

    /// Checks what TOML does not; the error is in words.
    fn check(&self) -> std::result::Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(format!("name {:?} is not made of letters, digits, \"-\", \".\" and \"_\"", self.name));
        }
        for (key, command) in [("version", &self.version), ("run", &self.run)] {
            if command.first().is_none_or(String::is_empty) {
                return Err(format!("engine {}: {key} names no program", self.name));
            }
        }
        if self.formats.is_empty() && self.convert.is_some() {
            return Err(format!("engine {}: formats is empty; name what convert makes", self.name));
        }
        if !(self.timeout_s.is_finite() && self.timeout_s > 0.0 && self.timeout_s < 1e6) {
            return Err(format!("engine {}: timeout_s is not a number of seconds above 0", self.name));
        }
        Ok(())
    }
}

/// Environment variables in a word, `$NAME`, and where each begins.
fn variables(word: &str) -> Vec<(usize, &str)> {
    let inside = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let name = |(at, _): (usize, &str)| {
        let rest = &word[at + 1..];
        let name = &rest[..rest.find(|c| !inside(c)).unwrap_or(rest.len())];
        (!name.is_empty()).then_some((at, name))
    };
    word.match_indices('$').filter_map(name).collect()
}

/// Checks definitions that stand together; the error is the index of the wrong one and what is wrong, in words.
pub fn check(engines: &[Definition]) -> std::result::Result<(), (usize, String)> {
    for (i, engine) in engines.iter().enumerate() {
        engine.check().map_err(|what| (i, what))?;
        if engines[..i].iter().any(|other| other.name == engine.name) {
            return Err((i, format!("two engines are called {}", engine.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(run: &str) -> Definition {
        let text = format!("name='a'\nsummary='s'\nversion=['v']\nrun=[{run}]\nformats=['i2_s']");
        toml::from_str(&text).expect("valid")
    }

    #[test]
    fn variables_and_places_are_filled_in_and_what_is_missing_is_named() {
        let places = Places { adapters: "/a".into(), own: "/p".into() };
        let home = std::env::var("HOME").expect("set");
        let engine = engine("'{adapters}/x.sh', '{self}', '$HOME/b:$HOME', '$', '$x'");
        let filled = engine.filled(&engine.run, &places).expect("all there");
        assert_eq!(filled, ["/a/x.sh", "/p", &format!("{home}/b:{home}"), "$", "$x"]);
        assert_eq!(engine.variables(), ["HOME"]);
        let absent = Definition { build: "build it".into(), ..super::tests::engine("'$TRITBENCH_NEVER_SET'") };
        let why = absent.filled(&absent.run, &places).expect_err("not set");
        assert_eq!(why, "the environment variable TRITBENCH_NEVER_SET is not set: build it");
    }

    #[test]
    fn what_makes_no_engine_is_told() {
        let good = engine("'r'");
        let told = |wrong: Definition| check(&[wrong]).expect_err("refused").1;
        assert!(told(Definition { name: "a b".into(), ..good.clone() }).contains("\"a b\""));
        assert!(told(Definition { run: Vec::new(), ..good.clone() }).contains("run names no program"));
        let convert = Some(vec!["c".into()]);
        assert!(told(Definition { formats: Vec::new(), convert, ..good.clone() }).contains("formats is empty"));
        assert!(told(Definition { timeout_s: 0.0, ..good.clone() }).contains("timeout_s"));
        let (at, what) = check(&[good.clone(), good]).expect_err("twice");
        assert_eq!((at, what.as_str()), (1, "two engines are called a"));
    }
}
