//! What others publish in figures, and whether the machine that they name can do it. No run is needed: a claim's model
//! says bytes and products, its machine's maker says how many of both go through it a second.

mod parse;
mod verdict;

pub use parse::{ScenarioCheck, parse};
pub use verdict::{Judged, TOLERANCE, judge_all, summary};

use super::claims::positive;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a file of published figures holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Machines that claims name.
    pub machines: Vec<Machine>,
    /// Models and matrices that claims name.
    pub models: Vec<Model>,
    /// The claims, in the order of the file.
    pub claims: Vec<Claim>,
}

impl Field {
    /// The machine of a claim; `None` where a claim is of another file.
    pub fn machine(&self, claim: &Claim) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name == claim.machine)
    }

    /// The model of a claim; `None` where a claim is of another file.
    pub fn model(&self, claim: &Claim) -> Option<&Model> {
        self.models.iter().find(|model| model.name == claim.model)
    }
}

/// A CPU or GPU, by what its maker states; where sources differ, by the larger number.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Name by which claims name it.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// Cores that multiply at once: physical cores of a CPU, multiprocessors of a GPU.
    pub cores: u32,
    /// The highest clock in GHz, as if all cores held it.
    #[serde(deserialize_with = "positive")]
    pub clock_ghz: f64,
    /// Memory bandwidth in 10^9 bytes a second: channels times rate.
    #[serde(deserialize_with = "positive")]
    pub memory_gb_s: f64,
    /// Size of the last-level cache in MiB. What it holds need not come from memory.
    #[serde(deserialize_with = "positive")]
    pub cache_mib: f64,
    /// Products a cycle and core, by multiply instruction.
    pub multiply: BTreeMap<String, u32>,
    /// Where these numbers are from, in a line.
    pub source: String,
}

/// A model in one format, or one matrix of a kernel's claim.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name by which claims name it.
    pub name: String,
    /// What it is called, with its format.
    pub title: String,
    /// Name of the synthetic shape that has the same matrices, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
    /// Ternary weights of the blocks. A token multiplies each once.
    pub ternary: u64,
    /// Bits of a ternary weight, scales included.
    #[serde(deserialize_with = "positive")]
    pub bits: f64,
    /// Weights of the output head: rows times width. A decoded token multiplies each once, a prompt does so only at its
    /// end.
    #[serde(default)]
    pub head: u64,
    /// Bits of a weight of the head that a token reads.
    #[serde(default)]
    pub head_bits: f64,
    /// How these numbers came to be.
    pub source: String,
}

/// What a claim's figure times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measures {
    /// Tokens one after the other: each reads all weights.
    Decode,
    /// Tokens of a prompt: weights are read once for all of them.
    Prefill,
    /// One product alone.
    Kernel,
}

impl Measures {
    /// As tables write it.
    pub fn words(self) -> &'static str {
        ["decode", "prefill", "kernel"][self as usize]
    }
}

/// Unit of a claim's figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Unit {
    #[serde(rename = "tokens/s")]
    TokensPerSecond,
    /// Milliseconds for all `tokens` of the claim.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds for all `tokens` of the claim.
    #[serde(rename = "us")]
    Microseconds,
    /// 10^9 bytes of packed weights a second.
    #[serde(rename = "GB/s")]
    GigabytesPerSecond,
}

impl Unit {
    /// As tables write it.
    pub fn words(self) -> &'static str {
        ["tokens/s", "ms", "µs", "GB/s"][self as usize]
    }
}

/// One published figure.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short id of the claim, unique in its file.
    pub id: String,
    /// What is claimed, in words.
    pub title: String,
    /// Where it stands.
    pub source: String,
    /// Public address of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it was published, or `read` and when it was read where the source has no date: `2024-12-06`, `2024-12`.
    pub date: String,
    /// Name of the machine.
    pub machine: String,
    /// Threads; absent for a GPU, and where the source says none: all cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Name of the model.
    pub model: String,
    /// What the figure times.
    pub measures: Measures,
    /// The figure as it is stated, in `unit`.
    #[serde(deserialize_with = "positive")]
    pub figure: f64,
    /// Unit of the figure.
    pub unit: Unit,
    /// Tokens of the prompt or call that the figure is of.
    #[serde(default = "one")]
    pub tokens: u32,
    /// Multiply instruction that the source names, or `lookup`; absent: the widest that the machine has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Scenario that would decide it on that machine.
    pub scenario: String,
    /// What else the scenario needs: flags, or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// What a reader should know about this claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

fn one() -> u32 {
    1
}

/// The instruction of a claim about a kernel that looks products up.
pub const LOOKUP: &str = "lookup";

/// The published figures of this repository.
#[cfg(test)]
pub fn builtin() -> Field {
    parse("field-claims.toml", include_str!("../../../../../scenarios/field-claims.toml"), &|_| Ok(())).expect("valid")
}
