//! Kernels that take turns within one text, by blocks of tokens.

use super::micro::Ratio;
use super::operation::Family;
use super::round::Round;
use super::verdict::{Rule, Verdict};
use crate::judge::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[doc = "Kernels of one family that take turns within one text, block of tokens by block of tokens, each with its own \
         cached keys and values."]
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct TokenBlocks {
    /// `W2A32`, `W2A8` or `W2gA8`; where rules of activations take turns, that of the first rule's kernel.
    pub family: Family,
    /// Tokens of one block: `rounds` holds the time that each kernel took for so many.
    pub tokens: usize,
    #[doc = "Tokens that a kernel decodes at the start of its turn, before the block, until the caches hold its \
             weights as far as they can."]
    pub settling_tokens: usize,
    #[doc = "The columns of a round. The first is the baseline; the one with `self_pair` is a kernel that is there \
             already (A/A), in an\nengine of its own."]
    pub entries: Vec<BlockEntry>,
    /// The rule that the verdicts follow, fixed before the first block.
    pub rule: Rule,
    /// Raw rounds of decoding: times of each block with each kernel.
    pub rounds: Vec<BlockRound>,
    /// Raw rounds of prefill: times of the whole prompt with each kernel, once a text.
    pub prompts: Vec<Round>,
    /// What the rounds say about each entry, in the order of `entries`.
    pub summaries: Vec<BlockSummary>,
    #[doc = "How far single blocks of one kernel are apart: 95th percentile of |ratio - 1| over the self-pair's \
             blocks. No verdict is made of\nit."]
    pub noise_floor: f64,
    /// By which rule figures follow from the rounds.
    #[serde(skip)]
    pub method: Method,
}

/// A kernel that takes turns in the rounds of token blocks.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct BlockEntry {
    /// Id of the kernel, or the name of the rule where rules of activations take turns.
    pub kernel: String,
    /// Whether this column is a kernel of the same family a second time: the most advanced one.
    pub self_pair: bool,
}

/// One round: every entry decodes the same stretch of its text.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct BlockRound {
    /// Number of the text, from 0.
    pub generation: usize,
    /// Generated tokens before this turn.
    pub from: usize,
    /// Wall time in nanoseconds of all settling tokens, by entry index: no part of `ns`.
    pub settling_ns: Vec<u64>,
    /// Wall and CPU times of the block, by entry index.
    #[serde(flatten)]
    pub round: Round,
}

/// What the rounds of token blocks say about one entry.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct BlockSummary {
    /// Id of the kernel, or the name of the rule where rules of activations take turns.
    pub kernel: String,
    /// Decode speed, median over blocks; not to be set beside `decode_tokens_per_s`, which is of uninterrupted texts.
    pub tokens_per_s: f64,
    /// Decode speed over the settling tokens, by wall time, median over blocks.
    pub settling_tokens_per_s: f64,
    /// Decode speed against the family's first kernel, paired by block; of the self-pair against its twin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vs_baseline: Option<Ratio>,
    /// Decode speed against the stage that the kernel builds on, where that ran too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vs_previous: Option<Ratio>,
    /// Prefill speed against the family's first kernel, paired by prompt; of the self-pair against its twin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_vs_baseline: Option<Ratio>,
    #[doc = "Whether it decodes slower than the stage it builds on (than the first kernel, where that stage did not \
             run). Absent for the\nfirst kernel and the self-pair."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}
