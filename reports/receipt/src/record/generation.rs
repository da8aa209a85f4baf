//! Whole texts, each kernel in turn.

use super::blocks::TokenBlocks;
use super::micro::Ratio;
use super::operation::{Activations, Family};
use super::row::WithoutTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds of each phase of generation, as the seed analysis divides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PhasesMs {
    /// Milliseconds to look up embedding rows.
    pub embed: f64,
    /// Milliseconds in all transformer blocks.
    pub forward: f64,
    /// Milliseconds of the final norm and the output head.
    pub logits: f64,
    /// Milliseconds to choose the next token.
    pub sample: f64,
    /// Milliseconds of stop checks and of turning tokens into text.
    pub stop_check: f64,
}

/// Milliseconds of each operation inside `forward`.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ForwardMs {
    /// Milliseconds of the query, key and value projections.
    pub qkv: f64,
    /// Milliseconds of rope, scores, softmax and weighted values.
    pub attention: f64,
    /// Milliseconds of the attention's output projection.
    pub attn_out: f64,
    /// Milliseconds of the feed-forward network's gate and up projections.
    pub gate_up: f64,
    /// Milliseconds of the feed-forward network's down projection.
    pub down: f64,
    /// Milliseconds of RMS norms, activation function and residual additions.
    pub norms: f64,
    /// Milliseconds to quantise activations to int8 (and back to f32 for the W2A32 stages).
    pub activation_quant: f64,
}

/// Nanoseconds of one generation's decoding: the phases, then the operations inside `forward`.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `PhasesMs` and `ForwardMs`
pub struct DecodeTimesNs {
    /// Nanoseconds to look up embedding rows.
    pub embed: u64,
    /// Nanoseconds in all transformer blocks.
    pub forward: u64,
    /// Nanoseconds of the final norm and the output head.
    pub logits: u64,
    /// Nanoseconds to choose the next tokens.
    pub sample: u64,
    /// Nanoseconds of stop checks and of turning tokens into text.
    pub stop_check: u64,
    /// Nanoseconds of the query, key and value projections.
    pub qkv: u64,
    /// Nanoseconds of rope, scores, softmax and weighted values.
    pub attention: u64,
    /// Nanoseconds of the attention's output projection.
    pub attn_out: u64,
    /// Nanoseconds of the feed-forward network's gate and up projections.
    pub gate_up: u64,
    /// Nanoseconds of the feed-forward network's down projection.
    pub down: u64,
    /// Nanoseconds of RMS norms, activation function and residual additions.
    pub norms: u64,
    /// Nanoseconds to quantise activations to int8 (and back to f32 for the W2A32 stages).
    pub activation_quant: u64,
}

/// Whole texts: each kernel generates the same text from the same prompt, with its times.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// The prompt as typed.
    pub prompt: String,
    /// Token ids of the prompt.
    pub prompt_ids: Vec<u32>,
    /// Largest number of tokens to generate.
    pub max_tokens: usize,
    /// How the next token was chosen, in words: `greedy`.
    pub sampling: String,
    /// Time limit of one generation in seconds, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// Threads that each kernel computed with.
    pub threads: usize,
    /// Implementation of the output head that every kernel shared.
    pub head: String,
    /// Which activations share a scale; absent before 1.6, when all of a token did.
    #[serde(default)]
    pub activations: Activations,
    /// Format of cached keys and values; absent in older receipts, which had f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_cache: Option<KvCacheRecord>,
    /// The generations of each kernel, in registry order.
    pub kernels: Vec<GenerationKernel>,
    #[doc = "The same text once more, kernels taking turns by blocks of tokens: one entry a family. Absent in older \
             receipts, after a\nsingle round, and where the text is shorter than a block."]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<TokenBlocks>,
    /// Kernels that have no time here, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_time: Vec<WithoutTime>,
}

/// The cache of keys and values, the same with every kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct KvCacheRecord {
    /// `f16`.
    pub format: String,
    /// Bytes that a decoded token reads for each position before it, beside its `bytes_per_token`.
    pub bytes_per_position: u64,
}

impl KvCacheRecord {
    /// Keys and values in f16.
    pub fn f16(bytes_per_position: u64) -> Self {
        Self { format: "f16".into(), bytes_per_position }
    }
}

/// What one kernel generated, and its times.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GenerationKernel {
    /// Id of the kernel, as executed.
    pub kernel: String,
    /// `W2A32`, `W2A8` or `W2gA8`.
    pub family: Family,
    /// Generated token ids (the same in every round, which is checked).
    pub token_ids: Vec<u32>,
    /// The generated text.
    pub text: String,
    /// Why generation stopped: `max_tokens`, `eos`, `stop_id`, `stop_string`, `timeout` or `interrupted`.
    pub stop_reason: String,
    /// Whether the ids equal those of the family's first kernel as far as both go.
    pub ids_equal_baseline: bool,
    /// Whether every round gave the same tokens; absent in older receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids_equal_in_rounds: Option<bool>,
    /// Bytes of packed weights, scales and head that one decoded token reads.
    pub bytes_per_token: u64,
    /// Times of each round, one generation each.
    pub rounds: Vec<GenerationRound>,
    /// Prefill speed (prompt tokens a second), median over rounds.
    pub prefill_tokens_per_s: f64,
    /// Decode speed, median over rounds; 0 when fewer than two tokens came out.
    pub decode_tokens_per_s: f64,
    /// Time from the start to the first generated token, median over rounds.
    pub time_to_first_token_ms: f64,
    #[doc = "Decode speed against the family's first kernel, paired by token block where the record has `blocks`, else \
             by round; absent for\nthat one."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_vs_baseline: Option<Ratio>,
    /// Decode phases in milliseconds a token, median over rounds.
    pub phases_ms_per_token: PhasesMs,
    /// Operations inside `forward`, milliseconds a token, median over rounds.
    pub forward_ms_per_token: ForwardMs,
    /// Exact FFN sparsity, if this entry decoded with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse_ffn: Option<SparseFfnRecord>,
    /// Which kernel took the prompt, where the run was asked to choose one; else the decoding kernel did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill: Option<PrefillRecord>,
    /// Checks of this model's known answers, if it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goldens: Vec<GoldenCheck>,
}

#[doc = "Exact FFN sparsity of one run: rows of `up` whose gate is not positive and columns of `down` that meet a 0 \
         were skipped."]
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct SparseFfnRecord {
    /// When blocks are computed sparsely: `measured` (where the live share is below the crossover) or `always`.
    pub mode: String,
    /// Name of the implementation of the sparse products.
    pub operations: String,
    /// Live share below which a block is computed sparsely.
    pub crossover: f64,
    /// The measurement that gave the crossover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<SparseProbe>,
    /// Bytes that `up` by rows and `down` by columns take, beside the dense packing.
    pub extra_bytes: u64,
    /// Share of elements whose gate is positive in each block, mean over decoded tokens.
    pub live_share: Vec<f64>,
    /// Share of columns of `down` whose int8 activation is not 0 in each block, mean over the sparse steps.
    pub live_columns_share: Vec<f64>,
    /// Share of all (block, token) steps that were computed sparsely.
    pub sparse_steps_share: f64,
    #[doc = "In receipts in which this entry took turns with its dense kernel only: that kernel. Since then it takes \
             turns with all of\nthem."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense_kernel: Option<String>,
    /// Decode speed against `dense_kernel`, paired by round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vs_dense: Option<Ratio>,
    /// Times of `dense_kernel` in the rounds shared with it; absent before 1.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dense_rounds: Vec<GenerationRound>,
}

/// Times of `up` and `down` together, dense and sparse, median over the model's layers.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct SparseProbe {
    /// Time with the dense kernel, in microseconds.
    pub dense_us: f64,
    /// The two live shares at which the sparse products were timed.
    pub shares: [f64; 2],
    /// Time of the sparse products at these shares, in microseconds.
    pub sparse_us: [f64; 2],
    /// Live share at which the sparse products would take the dense time: a line through the two times meets it there.
    pub crossover: f64,
}

/// Which kernel computes batches of prompt tokens, and how it was chosen.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PrefillRecord {
    /// What was asked for: `auto` or a kernel id.
    pub requested: String,
    /// Id of the kernel that batches of at least `from_tokens` go to; the decoding kernel when no other was taken.
    pub executed: String,
    /// Number of tokens of the smallest batch that goes to that kernel.
    pub from_tokens: usize,
    /// Bytes of the second copy of the weights, 0 when both kernels read one packing.
    pub extra_bytes: u64,
    /// Why that kernel was taken, in words.
    pub reason: String,
    /// Microseconds of one product by batch size, for each kernel that was tried: the measurement behind `auto`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<PrefillProbe>,
}

/// One kernel's times in the probe of `--prefill-kernel auto`.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PrefillProbe {
    /// Id of the kernel.
    pub kernel: String,
    /// (Tokens, median microseconds of a product with the model's largest matrix).
    pub tokens_us: Vec<(usize, f64)>,
}

/// A known answer of a model, and whether a kernel gave it.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GoldenCheck {
    /// The prompt as text.
    pub prompt: String,
    /// Expected token ids (as far as they are safe to compare).
    pub expected: Vec<u32>,
    /// Token ids that came out.
    pub got: Vec<u32>,
    /// Number of tokens compared: up to the first whose margin is too small to be decided by honest rounding.
    pub compared: usize,
    /// Whether the compared ids are the same.
    pub passed: bool,
}

/// Times of one generation with one kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GenerationRound {
    /// Round number; kernels with the same number ran next to each other.
    pub round: usize,
    /// Position of the kernel within the round: when it ran.
    pub position: usize,
    /// Nanoseconds over all prompt tokens, including the first token's logits.
    pub prefill_ns: u64,
    /// Nanoseconds from the start to the first generated token.
    pub time_to_first_token_ns: u64,
    /// Nanoseconds over all tokens after the first.
    pub decode_ns: u64,
    /// Tokens generated in `decode_ns` (one less than the total).
    pub decode_tokens: usize,
    /// Prompt tokens that went through the model in `prefill_ns`; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_tokens: Option<usize>,
    /// Where the time of decoding went, by phase and operation; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_times_ns: Option<DecodeTimesNs>,
    /// CPU time of the measuring thread over the whole generation, in nanoseconds.
    pub cpu_ns: u64,
    /// Number of involuntary context switches of the measuring thread.
    pub involuntary_switches: u32,
}
