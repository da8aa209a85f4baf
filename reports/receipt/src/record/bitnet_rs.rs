//! The run as BitNet.rs writes its receipts (schema 1.0.0), for programs that read those. Every field is computed from
//! the rest of the receipt each time it is written, and `receipt verify` computes it again.
//!
//! It is an object of its own because the two layouts use the same name for different things: `kernels` is a list of
//! ids there and the list of registered kernels here. `receipt export --format bitnet` writes it as a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A receipt of BitNet.rs, schema 1.0.0.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct BitnetRs {
    /// Version of that layout.
    pub schema_version: String,
    /// Start of the run.
    pub timestamp: String,
    #[doc = "`real` if every kernel in `kernels` matched the oracle in this run and was then run with its times kept; \
             else `unverified`, which\nits readers refuse. A run in which no kernel has executed yet is `none`."]
    pub compute_path: String,
    /// `cpu`.
    pub backend: String,
    /// Ids of the kernels that were really executed and timed in this run.
    pub kernels: Vec<String>,
    /// Whether the same run gives the same ids.
    pub deterministic: bool,
    /// Facts about build and machine, as text.
    pub environment: BTreeMap<String, String>,
    /// The model.
    pub model_info: ModelInfo,
    /// The conformance suite, a kernel being a test.
    pub test_results: TestResults,
    /// Speed of the fastest kernel end to end.
    pub performance_baseline: PerformanceBaseline,
    /// Weights or norms corrected at load: this program corrects nothing.
    pub corrections: Vec<String>,
}

/// The model, absent fields where none was run.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_path: Option<String>,
    /// SHA-256 of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<usize>,
    /// Vocabulary size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<usize>,
}

/// The conformance suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct TestResults {
    /// Kernels.
    pub total_tests: usize,
    /// Those without a mismatch.
    pub passed: usize,
    /// Those with one.
    pub failed: usize,
    /// Those that do not run here.
    pub skipped: usize,
}

/// Speed end to end; all absent where nothing was generated. Never 0.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PerformanceBaseline {
    /// The kernel that the figures are of: the fastest in decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Tokens of its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_generated: Option<usize>,
    /// Its decode speed, median over rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Its time to the first token, median over rounds, in whole milliseconds, as BitNet.rs has it, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_latency_ms: Option<u64>,
}
