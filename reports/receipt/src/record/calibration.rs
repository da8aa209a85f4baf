//! What the gate makes of a machine: gates of a build against itself, with and without a planted slowdown.

use super::gate::Injection;
use super::micro::Residency;
use super::verdict::{Outcome, Rule, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One calibration.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// The rule of every gate.
    pub rule: Rule,
    /// Planted slowdowns in percent; 0 is the build against itself.
    pub effects: Vec<f64>,
    /// Gates, in the order they ran.
    pub trials: Vec<CalibrationTrial>,
}

/// One gate of the build against itself.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct CalibrationTrial {
    /// What was planted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<Injection>,
    /// What the gate came to.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// One-minute load average when it began, if the system says.
    pub load_1m: Option<f64>,
    /// Its comparisons.
    pub cells: Vec<CalibrationCell>,
}

/// One comparison of a trial: its samples, from which its verdict can be computed again.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct CalibrationCell {
    /// Kernel id.
    pub kernel: String,
    /// `gemv`, `gemm` or `dequantize`.
    pub op: String,
    /// Rows.
    pub m: usize,
    /// Columns.
    pub k: usize,
    /// Tokens of a batch.
    pub tokens: usize,
    /// Where the weights were.
    pub residency: Residency,
    /// log(current / baseline) of each process pair.
    pub effect: Vec<f64>,
    /// log(baseline again / baseline) of each process pair.
    pub same: Vec<f64>,
    /// What it came to.
    pub verdict: Verdict,
}
