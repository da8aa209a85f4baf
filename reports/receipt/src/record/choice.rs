//! Choices that a run made at its start.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A choice among ways that compute the same bits: candidates took turns on the model's own weights with the threads of
/// the run, and their medians decided.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Choice {
    /// What was chosen, for example `decoding kernel` or `q8 output head`.
    pub what: String,
    /// Name of the candidate that was taken.
    pub chosen: String,
    /// How it was decided, in words; begins with `static` where no probe could run.
    pub reason: String,
    /// What was measured, in the order in which candidates are wanted where they tie. Empty where no probe ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
}

/// One candidate of a choice.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Candidate {
    /// Name of the candidate.
    pub name: String,
    /// Median microseconds of a call.
    pub us: f64,
}
