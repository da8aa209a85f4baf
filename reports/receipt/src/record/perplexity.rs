//! Perplexity: with every kernel, with the analysis's code table, with a quantised head.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Perplexity on the same text with every kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct PerplexityRecord {
    /// Where the text is from.
    pub text: String,
    /// SHA-256 of the text's bytes that were scored.
    pub text_sha256: String,
    /// Tokens scored.
    pub tokens: usize,
    /// Window length.
    pub window: usize,
    /// Implementation of the output head; absent in older receipts, which had f16 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// One entry a kernel.
    pub kernels: Vec<PerplexityKernel>,
    /// What reading the codes with the seed's table does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lut: Option<LutFinding>,
}

/// One kernel's perplexity.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct PerplexityKernel {
    /// Kernel id.
    pub kernel: String,
    /// Natural log of the perplexity.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub nats_per_token: f64,
    /// exp(nats).
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity: f64,
}

/// The seed's code table against the file's, on the same text with the same kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct LutFinding {
    /// Kernel that ran both.
    pub kernel: String,
    /// The file's table.
    pub file_lut: [i8; 4],
    /// Perplexity with it.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub file_perplexity: f64,
    /// The seed's table.
    pub seed_lut: [i8; 4],
    /// Perplexity with it (absent when the logits were not finite).
    pub seed_perplexity: Option<f64>,
    /// Perplexity of guessing every token with equal probability: the vocabulary size.
    pub uniform_perplexity: f64,
}

/// What a quantised output head does to perplexity: the same hidden states through it and through the f16 head.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct HeadEffect {
    /// Implementation of the quantised head.
    pub head: String,
    /// Implementation of the f16 head.
    pub f16_head: String,
    /// With the quantised head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub nats_per_token: f64,
    /// With the f16 head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub f16_nats_per_token: f64,
    /// exp(nats) with the quantised head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity: f64,
    /// exp(nats) with the f16 head.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub f16_perplexity: f64,
    /// Above 0: the quantised head is worse.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity_change_percent: f64,
    /// Tokens scored.
    pub tokens: usize,
    /// Window length.
    pub window: usize,
    /// Where the text is from.
    pub text: String,
}

impl HeadEffect {
    /// One sentence without its subject.
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
