//! Whole texts, each kernel in turn.

use super::blocks::TokenBlocks;
use super::micro::Ratio;
use super::operation::Family;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds by phase of generation, as the seed analysis divides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PhasesMs {
    /// Embedding rows.
    pub embed: f64,
    /// All blocks.
    pub forward: f64,
    /// Final norm and output head.
    pub logits: f64,
    /// Choosing a token.
    pub sample: f64,
    /// Stop checks and text.
    pub stop_check: f64,
}

/// Milliseconds by operation inside `forward`.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ForwardMs {
    /// Query, key and value projections.
    pub qkv: f64,
    /// Rope, scores, softmax and weighted values.
    pub attention: f64,
    /// Attention output projection.
    pub attn_out: f64,
    /// Gate and up projections.
    pub gate_up: f64,
    /// Down projection.
    pub down: f64,
    /// RMS norms, activation function and residual additions.
    pub norms: f64,
    /// Quantising activations to int8 (and back to f32 for the W2A32 stages).
    pub activation_quant: f64,
}

/// Nanoseconds of one generation's decoding: the phases, then the operations inside `forward`.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `PhasesMs` and `ForwardMs`
pub struct DecodeTimesNs {
    pub embed: u64,
    pub forward: u64,
    pub logits: u64,
    pub sample: u64,
    pub stop_check: u64,
    pub qkv: u64,
    pub attention: u64,
    pub attn_out: u64,
    pub gate_up: u64,
    pub down: u64,
    pub norms: u64,
    pub activation_quant: u64,
}

/// Each kernel generating the same text from the same prompt.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// Prompt as typed.
    pub prompt: String,
    /// Its token ids.
    pub prompt_ids: Vec<u32>,
    /// Limit on generated tokens.
    pub max_tokens: usize,
    /// Sampling in words, e.g. `greedy`.
    pub sampling: String,
    /// Time limit of one generation, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// Threads.
    pub threads: usize,
    /// Implementation of the output head that every kernel shared.
    pub head: String,
    /// Format of cached keys and values; absent in older receipts, which had f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_cache: Option<KvCacheRecord>,
    /// One entry a kernel, in registry order.
    pub kernels: Vec<GenerationKernel>,
    #[doc = "The same text once more, kernels taking turns by blocks of tokens: one entry a family. Absent in older \
             receipts, after a\nsingle round, and where the text is shorter than a block."]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<TokenBlocks>,
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

/// One kernel's generations.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GenerationKernel {
    /// Kernel id, as executed.
    pub kernel: String,
    /// `W2A32` or `W2A8`.
    pub family: Family,
    /// Generated ids (the same in every round, which is checked).
    pub token_ids: Vec<u32>,
    /// Generated text.
    pub text: String,
    /// `max_tokens`, `eos`, `stop_id`, `stop_string`, `timeout` or `interrupted`.
    pub stop_reason: String,
    /// Whether the ids equal those of the family's first kernel as far as both go.
    pub ids_equal_baseline: bool,
    /// Whether every round gave the same tokens; absent in older receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids_equal_in_rounds: Option<bool>,
    /// Bytes of packed weights, scales and head that one decoded token reads.
    pub bytes_per_token: u64,
    /// Timings, one a round.
    pub rounds: Vec<GenerationRound>,
    /// Median over rounds.
    pub prefill_tokens_per_s: f64,
    /// Median over rounds; 0 when fewer than two tokens came out.
    pub decode_tokens_per_s: f64,
    /// Median over rounds.
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
    /// Which kernel took the prompt, where that was asked to be decided; else it was this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill: Option<PrefillRecord>,
    /// Known answers of this model, if it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goldens: Vec<GoldenCheck>,
}

#[doc = "Exact FFN sparsity of one run: rows of `up` whose gate is not positive and columns of `down` that meet a 0 \
         were skipped."]
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct SparseFfnRecord {
    /// `measured` (where the live share is below the crossover) or `always`.
    pub mode: String,
    /// Implementation of the sparse products.
    pub operations: String,
    /// Live share below which a block is computed sparsely.
    pub crossover: f64,
    /// The measurement that the crossover is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<SparseProbe>,
    /// Memory of `up` by rows and `down` by columns, beside the dense packing.
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
    /// There: decode speed against it, paired by round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vs_dense: Option<Ratio>,
    /// There: its timings in these rounds; absent before 1.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dense_rounds: Vec<GenerationRound>,
}

/// Times of `up` and `down` together, median over the model's layers.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct SparseProbe {
    /// The dense kernel, microseconds.
    pub dense_us: f64,
    /// Live shares that were measured.
    pub shares: [f64; 2],
    /// Sparse, at these shares, microseconds.
    pub sparse_us: [f64; 2],
    /// Where a line through these meets the dense time.
    pub crossover: f64,
}

/// The decision which kernel computes batches of prompt tokens.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PrefillRecord {
    /// `auto` or a kernel id.
    pub requested: String,
    /// Kernel that batches of at least `from_tokens` go to; the decoding kernel when no other was taken.
    pub executed: String,
    /// Smallest batch that goes to it.
    pub from_tokens: usize,
    /// Memory of the second copy of the weights, 0 when both kernels read one packing.
    pub extra_bytes: u64,
    /// Why.
    pub reason: String,
    /// Microseconds of one product by batch size, for each kernel that was tried: the measurement behind `auto`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<PrefillProbe>,
}

/// One kernel's times in the probe of `--prefill-kernel auto`.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PrefillProbe {
    /// Kernel id.
    pub kernel: String,
    /// (Tokens, median microseconds of a product with the model's largest matrix).
    pub tokens_us: Vec<(usize, f64)>,
}

/// One known answer checked.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GoldenCheck {
    /// Prompt as text.
    pub prompt: String,
    /// Expected ids (as far as they are safe to compare).
    pub expected: Vec<u32>,
    /// Ids that came out.
    pub got: Vec<u32>,
    /// Steps compared: up to the first one whose margin is too small to be decided by honest rounding.
    pub compared: usize,
    /// Whether they agree that far.
    pub passed: bool,
}

/// One generation's times.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct GenerationRound {
    /// Round number; kernels with the same number ran next to each other.
    pub round: usize,
    /// Position within the round.
    pub position: usize,
    /// Time over all prompt tokens, including the first token's logits.
    pub prefill_ns: u64,
    /// From the start to the first generated token.
    pub time_to_first_token_ns: u64,
    /// Time over all further tokens.
    pub decode_ns: u64,
    /// Tokens generated in `decode_ns` (one less than the total).
    pub decode_tokens: usize,
    /// Prompt tokens that went through the model in `prefill_ns`; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_tokens: Option<usize>,
    /// Where the time of decoding went; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_times_ns: Option<DecodeTimesNs>,
    /// Thread CPU time over the whole generation, of the measuring thread.
    pub cpu_ns: u64,
    /// Involuntary context switches of the measuring thread.
    pub involuntary_switches: u32,
}
