//! What each rule by which activations share scales does to a model's next token, and to its speed.

use super::blocks::TokenBlocks;
use super::operation::{Activations, Family};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[doc = "Rules of activations on one model and one text: how far each moves the distribution of the next token from \
         that of the same\nmodel with activations that are not rounded (f32), and how fast the fastest exact kernel \
         decodes by it."]
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct RulesRecord {
    /// Where the text is from.
    pub text: String,
    /// SHA-256 of the text's bytes that were scored.
    pub text_sha256: String,
    /// Positions at which distributions were compared: windows times their length.
    pub tokens: usize,
    /// Length of a window in tokens; each begins with an empty cache.
    pub window: usize,
    /// Implementation of the output head.
    pub head: String,
    /// Threads of each decoder.
    pub threads: usize,
    /// Mean loss a token in nats with activations that are not rounded.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub nats_per_token: f64,
    /// Perplexity with activations that are not rounded: exp of `nats_per_token`.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity: f64,
    /// The rules in the order asked for; the first is what the others are compared with.
    pub rules: Vec<RuleEntry>,
    /// Raw sums of each window.
    pub windows: Vec<RuleWindow>,
    /// Raw rounds of decoding, rules in turn, each with its kernel; absent where the model's context is too short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<TokenBlocks>,
    /// Rules that were asked for and not measured, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<RuleWithout>,
}

/// One rule: its kernel, and what the windows say of it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RuleEntry {
    /// The rule.
    pub activations: Activations,
    /// Id of the fastest exact kernel that takes the rule and the model's weights, which scored and decoded.
    pub kernel: String,
    /// The kernel's family.
    pub family: Family,
    #[doc = "Mean Kullback-Leibler divergence a position in nats: sum of p (ln p - ln q), p the distribution with \
             activations that are\nnot rounded, q with this rule."]
    pub kl_nats: f64,
    /// Positions at which the most probable token is that of activations that are not rounded.
    pub same_top: usize,
    /// The same as a share of all positions.
    pub same_top_share: f64,
    /// Windows in which the divergence is below the first rule's; 0 for the first rule.
    pub windows_below_first: usize,
    /// Mean loss a token in nats.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub nats_per_token: f64,
    /// Perplexity: exp of `nats_per_token`.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub perplexity: f64,
}

/// Sums over the positions of one window.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RuleWindow {
    /// Loss in nats with activations that are not rounded.
    pub nats: f64,
    /// What each rule gave, in the order of `rules`.
    pub by_rule: Vec<RuleSums>,
}

/// Sums of one rule over the positions of one window.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RuleSums {
    /// Loss in nats.
    pub nats: f64,
    /// Kullback-Leibler divergence in nats.
    pub kl: f64,
    /// Positions with the same most probable token.
    pub same_top: usize,
}

/// A rule that was not measured.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RuleWithout {
    /// The rule.
    pub activations: Activations,
    /// Why, in one line.
    pub why: String,
}

impl RulesRecord {
    /// The decode speed of rule `index` and its ratio to the first rule's, where decoding was measured.
    pub fn speed(&self, index: usize) -> Option<&super::blocks::BlockSummary> {
        self.blocks.as_ref()?.summaries.get(index)
    }
}
