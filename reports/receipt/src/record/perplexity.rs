//! Perplexity: with every kernel, with the analysis's code table, with a quantised head.

use super::operation::Activations;
use super::row::WithoutTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Perplexity on the same text with every kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct PerplexityRecord {
    /// Where the text is from.
    pub text: String,
    /// SHA-256 of the text's bytes that were scored.
    pub text_sha256: String,
    /// Number of tokens scored.
    pub tokens: usize,
    /// Length of a window in tokens.
    pub window: usize,
    /// Implementation of the output head; absent in older receipts, which had f16 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Which activations share a scale; absent before 1.6, when all of a token did.
    #[serde(default)]
    pub activations: Activations,
    /// The perplexity with each kernel.
    pub kernels: Vec<PerplexityKernel>,
    /// What reading the codes with the seed analysis's table does to perplexity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lut: Option<LutFinding>,
    /// Kernels with which nothing was scored, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_score: Vec<WithoutTime>,
}

/// One kernel's perplexity.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct PerplexityKernel {
    /// Id of the kernel.
    pub kernel: String,
    /// Mean loss a token in nats: the natural log of the perplexity.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub nats_per_token: f64,
    /// Perplexity: exp of `nats_per_token`.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity: f64,
}

/// The seed analysis's code table against the model file's, on the same text with the same kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct LutFinding {
    /// Id of the kernel that ran both.
    pub kernel: String,
    /// The code table of the model file: the value of each 2-bit code.
    pub file_lut: [i8; 4],
    /// Perplexity with the file's table.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub file_perplexity: f64,
    /// The code table of the seed analysis: the value of each 2-bit code.
    pub seed_lut: [i8; 4],
    /// Perplexity with the seed analysis's table (absent when the logits were not finite).
    pub seed_perplexity: Option<f64>,
    /// Perplexity of guessing every token with equal probability: the vocabulary size.
    pub uniform_perplexity: f64,
}

/// What a quantised output head does to perplexity: the same hidden states through it and through the f16 head.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct HeadEffect {
    /// Name of the implementation of the quantised head.
    pub head: String,
    /// Name of the implementation of the f16 head.
    pub f16_head: String,
    /// Mean loss a token in nats, with the quantised head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub nats_per_token: f64,
    /// Mean loss a token in nats, with the f16 head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub f16_nats_per_token: f64,
    /// Perplexity with the quantised head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity: f64,
    /// Perplexity with the f16 head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub f16_perplexity: f64,
    /// Change of perplexity in percent: above 0, the quantised head is worse.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity_change_percent: f64,
    /// Number of tokens scored.
    pub tokens: usize,
    /// Length of a window in tokens.
    pub window: usize,
    /// Where the text is from.
    pub text: String,
}

impl HeadEffect {
    /// The effect in one sentence without its subject.
    pub fn says(&self) -> String {
        format!(
            "perplexity {:.4} with {}, {:.4} with {} ({:+.3}%, {:+.6} nats/token, over {} tokens of the {})",
            self.perplexity,
            self.head,
            self.f16_perplexity,
            self.f16_head,
            self.perplexity_change_percent,
            self.nats_per_token - self.f16_nats_per_token,
            self.tokens,
            self.text
        )
    }
}
