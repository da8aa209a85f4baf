//! What is found in a file.

use crate::config::ModelConfig;
use crate::gguf::TensorInfo;
use crate::keys::Use;
use crate::tokenizer::TokenizerFacts;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything `model inspect` says about a file.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Path, or the name of the built-in model.
    pub(crate) path: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, lower-case hex.
    pub(crate) sha256: String,
    pub(crate) gguf_version: u32,
    pub(crate) alignment: u64,
    /// Byte offset of the data section.
    pub(crate) data_start: u64,
    /// Whether the file says it was made by `model synth`.
    pub(crate) synthetic: bool,
    /// Metadata; long arrays are counts.
    pub(crate) metadata: Vec<KeyRow>,
    /// Keys that the file leaves out, each with the value that is assumed and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) assumed: Vec<String>,
    /// What decides how the file is read, each with its evidence.
    pub facts: Vec<Fact>,
    /// Mistakes that files like it invite, as far as they apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traps: Vec<Trap>,
    /// Tensors in file order.
    pub(crate) tensors: Vec<TensorRow>,
    pub(crate) totals: Totals,
    /// The shape, if this program can run the model.
    pub(crate) config: Option<ModelConfig>,
    /// The checks of the file, each with its outcome.
    pub checks: Vec<Check>,
    /// The tokenizer, if it could be built.
    pub(crate) tokenizer: Option<TokenizerFacts>,
    /// Name and notes of the known model that has this file's hash, if there is one.
    pub known: Option<KnownRow>,
    pub(crate) warnings: Vec<String>,
}

/// One of the things that decide how a file is read.
#[derive(Debug, Serialize)]
pub struct Fact {
    /// What was decided: `encoding`, `scales`, `architecture`, ...
    pub what: &'static str,
    /// What it is.
    pub value: String,
    /// What says so; empty where the value has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// A mistake that engines make with files like the inspected one.
#[derive(Debug, Serialize)]
pub struct Trap {
    /// Name of the trap.
    pub trap: &'static str,
    /// What of it applies to this file.
    pub evidence: String,
}

/// One metadata key of an inspected file: type, value, and what it means for this program.
#[derive(Debug, Serialize)]
pub struct KeyRow {
    pub(crate) key: String,
    /// Type as stored, with the element type of arrays.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Value, cut where long.
    pub(crate) value: String,
    /// Absent where the shape that decides it is not known.
    #[serde(flatten)]
    pub(crate) judged: Option<Use>,
}

/// One tensor of an inspected file: its description and, of a ternary one, its weights.
#[derive(Debug, Serialize)]
pub struct TensorRow {
    #[serde(flatten)]
    pub(crate) info: TensorInfo,
    /// Of ternary tensors that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ternary: Option<TernaryRow>,
}

/// Scales of a ternary tensor, and how often each weight occurs.
#[derive(Debug, Serialize)]
pub struct TernaryRow {
    /// Scale of the whole tensor; absent where it is not a finite number (JSON has no other).
    pub(crate) scale: Option<f32>,
    /// Smallest and largest scale of its rows or groups, where they have scales.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scales: Option<[f32; 2]>,
    /// Share of weights -1.
    pub(crate) minus: f64,
    /// Share of weights 0.
    pub(crate) zero: f64,
    /// Share of weights +1.
    pub(crate) plus: f64,
    /// Codes 3 where they must not occur.
    pub(crate) invalid_codes: u64,
    /// Codes 3 where they stand for +2.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) plus_two_codes: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Sums over all tensors of a file.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    pub(crate) tensors: usize,
    /// Elements of all tensors.
    pub(crate) parameters: u64,
    /// Elements of ternary tensors.
    pub(crate) ternary_weights: u64,
    /// Bytes by type name, where known.
    pub(crate) bytes_by_type: BTreeMap<&'static str, u64>,
}

/// The outcome of one check of a file.
#[derive(Debug, Serialize)]
pub struct Check {
    /// Name of what was checked.
    pub name: &'static str,
    /// Whether the check passed.
    pub ok: bool,
    /// What the check found, in words.
    pub detail: String,
}

/// Name and notes of a known model.
#[derive(Debug, Serialize)]
pub struct KnownRow {
    pub(crate) name: String,
    pub(crate) source: String,
    /// What a user should know.
    pub(crate) notes: Vec<String>,
    /// Number of goldens to check it with.
    pub(crate) goldens: usize,
}
