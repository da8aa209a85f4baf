//! A regression gate as receipts keep it: two builds in lockstep, raw rounds by process pair, and a verdict a kernel
//! and cell.

use super::micro::Residency;
use super::operation::{Activations, Family, Operation, Scaling};
use super::provenance::Build;
use super::round::Round;
use super::verdict::{Outcome, Rule, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A regression gate: two builds compared, with raw rounds, verdicts and the outcome.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GateRecord {
    /// The build that is measured against.
    pub baseline: GateSide,
    /// The build that is judged.
    pub current: GateSide,
    /// The rule that the verdicts follow, fixed before the first measurement.
    pub rule: Rule,
    /// Largest number of rounds of one process pair.
    pub rounds_per_pair: usize,
    /// A slowdown planted in the current build, for calibration only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<Injection>,
    /// What was compared exactly (outputs, token ids, perplexity, instruction counts), before any timing.
    pub checks: Vec<ExactCheck>,
    /// What was timed: one entry for each kernel and cell.
    pub cells: Vec<GateCell>,
    /// What the gate did not compare, and why.
    pub unsupported: Vec<LeftOut>,
    /// What the whole gate came to.
    pub outcome: Outcome,
    /// Why the gate came to its outcome, in one sentence.
    pub reason: String,
    /// What the user can do next.
    pub next_step: String,
}

/// One of the two builds that a gate compares.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct GateSide {
    /// What the user called the build: a baseline's name, a path, a git revision, or `current`.
    pub label: String,
    /// SHA-256 of the executable that ran.
    pub binary_sha256: String,
    /// What the build says it was made from.
    pub build: Build,
}

/// A slowdown planted in the current build, to calibrate a gate.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Injection {
    /// Id of the kernel that was slowed down.
    pub kernel: String,
    /// How much slower the kernel was made, in percent.
    pub percent: f64,
}

/// One exact comparison of the two builds.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ExactCheck {
    /// `output`, `token_ids`, `perplexity` or `instructions`.
    pub what: String,
    /// Id of the kernel.
    pub kernel: String,
    /// The cell or model it was computed for.
    pub subject: String,
    /// What the baseline gives, as text.
    pub baseline: String,
    /// What the current build gives, as text.
    pub current: String,
    /// Whether the two are as they must be.
    pub passed: bool,
    /// Why a difference is, or is not, accepted; empty where both are the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// One kernel in one cell of a gate: its rounds in both builds and the verdict.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GateCell {
    /// Id of the kernel.
    pub kernel: String,
    /// `gemv`, `gemm` or `dequantize`; `decode` or `prefill` of a whole model.
    pub op: Operation,
    /// Rows of the matrix; 0 of a whole model.
    pub m: usize,
    /// Columns of the matrix; 0 of a whole model.
    pub k: usize,
    /// The model that is decoded, for example `builtin`; absent of a matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens of a call: those of a batch or a prompt, 1 of a decoded token.
    pub tokens: usize,
    /// Where the weights were when a call started.
    pub residency: Residency,
    /// `W2A32`, `W2A8` or `W2gA8`.
    pub family: Family,
    /// Weights of a group that has a scale, of a matrix of W2gA8; absent before 1.6, when it was 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_group: Option<usize>,
    /// Which activations share a scale, of a matrix of W2gA8; absent before 1.6, when all of a token did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
    /// Threads that each process computed with.
    pub threads: usize,
    /// Calls in one epoch, the same on both sides: of decoding, tokens of a block.
    pub calls_per_epoch: u32,
    /// Process pairs in the order they ran.
    pub pairs: Vec<GatePair>,
    /// Which build's process failed at this cell, which ends its measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
    /// Median time of one call of the baseline in nanoseconds, over all rounds: to read, not judged.
    pub baseline_ns_per_call: f64,
    /// Median time of one call of the current build in nanoseconds, over all rounds: to read, not judged.
    pub current_ns_per_call: f64,
    /// Whether the current build is slower than the baseline here.
    pub verdict: Verdict,
}

impl GateCell {
    /// What shares a scale in this cell; none of whole models, and where a tensor has one scale, and a token.
    pub fn scaling(&self) -> Option<Scaling> {
        Scaling::of(self.family, self.weight_group, self.activations).filter(|_| self.model.is_none())
    }
}

/// A process that died, hung or answered nonsense, with what it was asked for.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// A process of the baseline failed: there is nothing to compare with.
    Baseline(String),
    /// A process of the current build failed, which is worse than slow.
    Current(String),
}

#[doc = "The rounds of fresh processes: columns 0 (baseline), 1 (current) and 2 (the baseline a second time, as the \
         A/A pair)."]
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GatePair {
    /// Number of the process pair within the gate.
    pub pair: usize,
    /// The CPU that all of its processes stayed on, in turn; absent where they were left to the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
    /// Raw rounds that the processes of this pair ran.
    pub rounds: Vec<Round>,
}

/// Something that a gate did not compare.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct LeftOut {
    /// Kernel id, or a part of what is compared: `gemm of avx2-i8`, `instructions of scalar-i8`.
    pub kernel: String,
    /// Why it was not compared.
    pub reason: String,
    /// Which build lacks it; absent in older receipts, which did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

/// Why a part could not be compared: which build lacks it, or whether nothing can run it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// The baseline has it and the current build does not: the gate covers less than the baseline.
    Lost,
    /// It was asked for and could not be made: the gate covers less than was asked for.
    NotMade,
    /// The baseline does not have it, or fails at it: there is nothing to compare with.
    NoBaseline,
    /// Neither build can do it here.
    NotHere,
}

/// A kernel that was left out of a measurement, and why.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Unsupported {
    /// Id of the kernel, or the cells of all kernels.
    pub kernel: String,
    /// Why it was left out.
    pub reason: String,
}
