//! Engines: foreign programs that take token ids and give token ids. First who is right, then who is fast.

use super::micro::Ratio;
use super::operation::Activations;
use super::round::Round;
use super::row::RowStatus;
use super::verdict::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Engines that were given one model: what each answered, whether that is right, and how long it took.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct EnginesRecord {
    /// Threads that each engine was given.
    pub threads: usize,
    /// CPUs that each engine was bound to; empty where none were chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<usize>,
    /// Where the scored text is from.
    pub text: String,
    /// SHA-256 of the bytes of the scored text.
    pub text_sha256: String,
    /// Inputs of a window of the scored text; each begins with an empty cache and every position predicts the next id.
    pub window: usize,
    /// Windows that were scored.
    pub windows: usize,
    /// What the right answers are, by the head that an engine has.
    pub oracles: Vec<OracleRecord>,
    /// The engines, our own first; those that are absent or wrong too.
    pub engines: Vec<EngineRecord>,
    /// The turns of the engines that are right; absent where fewer than two programs could take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<EngineTurns>,
}

/// What this program computes of a model with one head: an exact kernel, activations by the model's own rule.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct OracleRecord {
    /// Bits of a weight of the output head: 16, 8 or 4.
    pub head_bits: u32,
    /// Id of the kernel.
    pub kernel: String,
    /// Rule of activations.
    pub activations: Activations,
    #[doc = "Whether the model has random weights, or does no better than guessing the text: small differences grow \
             there until another id is first, so that ids\nare not held against an engine."]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub random_weights: bool,
    /// Mean loss in nats a position.
    pub nats_per_token: f64,
    /// Perplexity: exp of `nats_per_token`.
    pub perplexity: f64,
    #[doc = "Perplexities of the same text with the mistakes that engines are known to make; those that the model \
             does not allow are absent."]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<MistakeRecord>,
}

/// What a known mistake makes of the text.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct MistakeRecord {
    /// The mistake in words, as a reader is told it: `SiLU instead of relu squared`.
    pub mistake: String,
    /// Mean loss in nats a position.
    pub nats_per_token: f64,
}

/// One engine.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EngineRecord {
    /// Its name in the table of engines.
    pub name: String,
    /// Whether this is our own program.
    pub own: bool,
    /// What its version command printed, one line; empty where the engine is absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Command line that ran it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<String>,
    /// What it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<EngineFile>,
    /// What it said of itself when it had loaded the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<EngineLoaded>,
    /// Whether it is right; `ok` alone has speeds.
    pub status: RowStatus,
    #[doc = "Why it is not `ok`, in words: what it answered and what is right, the likeliest mistake, its last words. \
             Empty for `ok`."]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What the gate asked and got; absent where it never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<TruthRecord>,
    /// Bytes of weights that a decoded id reads, from the file that the engine read; 0 where unknown.
    #[serde(default)]
    pub bytes_per_token: u64,
    /// Peak of its resident memory in bytes, its children included, as the system counts it; 0 where unknown.
    #[serde(default)]
    pub peak_memory_bytes: u64,
    /// What the turns say of it; absent where it took none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<EngineSpeed>,
}

/// The file that an engine read.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EngineFile {
    /// Encoding of its ternary matrices, such as `i2_s` or `iq2_bn`; what the engine calls it where it converts itself.
    pub format: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Whether it was made from the model's file for this engine.
    pub converted: bool,
}

/// What an engine said when it had loaded the model.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EngineLoaded {
    /// From the request written to the answer read, in nanoseconds.
    pub ns: u64,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Threads that it says it computes with.
    pub threads: usize,
    /// Bits of a weight of the output head.
    pub head_bits: u32,
    /// Type of cached keys and values, in the engine's words.
    pub cache: String,
    /// Most ids that it takes at once.
    pub batch: usize,
    /// Which activations share a scale, in the engine's words: `token`, `256`, `128` or `32` are ours too.
    pub activations: String,
}

/// What the gate asked of an engine, what it got, and what is right.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct TruthRecord {
    /// Mean loss in nats a position over the text; NaN where the engine answered so; absent where it cannot score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<EngineScore>,
    /// Texts that were continued greedily, one a prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<EngineText>,
    /// Mean Kullback-Leibler divergence of the engine's distribution from the oracle's in nats, NaN where its logits
    /// are not finite; absent without logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "super::number::some_finite_or_nan")]
    pub mean_kl_nats: Option<f64>,
    /// Positions that `mean_kl_nats` is the mean of.
    #[serde(default)]
    pub kl_positions: usize,
    /// Whether a second process gave the same answer to the same request; absent where it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_again: Option<bool>,
    /// Whether two prompts with the same last id gave two answers; absent where it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_prompt: Option<bool>,
}

/// An engine's loss on the text.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EngineScore {
    /// Mean loss in nats a position.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub nats_per_token: f64,
    /// ln(perplexity of the engine / perplexity of the oracle with its head).
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub ln_ratio: f64,
    /// The largest |ln_ratio| that passes: 0.001 where activations are rounded by our rule, else 0.005.
    pub bound: f64,
    /// How it fed the text, in the engine's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub feeding: String,
}

/// A text that an engine continued.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EngineText {
    /// Ids of the prompt.
    pub prompt: usize,
    /// What it generated.
    pub ids: Vec<u32>,
    /// What the oracle generates.
    pub right: Vec<u32>,
    /// Difference of the oracle's two best logits at each generated id.
    pub margins: Vec<f32>,
    #[doc = "Index of the first id that is not the oracle's though its margin is above 0.1 and all before it are \
             equal; absent where there is none."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_at: Option<usize>,
}

#[doc = "Engines in turns, all loaded, in balanced random order. Three requests a turn differ in one length each: what \
         they differ by in time is the prompt's and the text's."]
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct EngineTurns {
    /// Ids of the short prompt.
    pub short: usize,
    /// Ids of the long prompt.
    pub long: usize,
    /// Ids that the long text has; the short one has 1.
    pub tokens: usize,
    #[doc = "The columns of a round, by name. The first is our own program and what the others are compared with; the \
             last is our own program in a second process (A/A)."]
    pub entries: Vec<TurnEntry>,
    /// The rule that the verdicts follow, fixed before the first round.
    pub rule: Rule,
    /// Short prompt, one id.
    pub first: Vec<Round>,
    /// Short prompt, all ids.
    pub text: Vec<Round>,
    /// Long prompt, one id.
    pub prompt: Vec<Round>,
    /// Times that the engines themselves gave for the requests of `text` and `prompt`, by entry, then round.
    pub own_times: Vec<Vec<OwnTimes>>,
    /// How far single rounds of our own program are apart in decoding: 95th percentile of |ratio - 1| of the A/A pair.
    pub noise_floor: f64,
}

/// A column of a round.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct TurnEntry {
    /// Name of the engine.
    pub engine: String,
    /// Whether it is the first once more.
    pub self_pair: bool,
}

/// What an engine says of the time it took, in nanoseconds; 0 where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct OwnTimes {
    /// Decoding in the request of `text`.
    pub text_decode_ns: u64,
    /// The prompt in the request of `prompt`.
    pub prompt_ns: u64,
}

/// What the turns say of one engine; computed from the rounds.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EngineSpeed {
    /// Decoding by our clock, ids a second: median over rounds.
    pub decode_tokens_per_s: f64,
    /// The prompt by our clock, ids a second: median over rounds.
    pub prompt_tokens_per_s: f64,
    /// From the request of the short prompt to its first id, in milliseconds: median over rounds.
    pub first_token_ms: f64,
    /// Decoding as the engine itself times it, ids a second; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_decode_tokens_per_s: Option<f64>,
    /// The prompt as the engine itself times it, ids a second; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_prompt_tokens_per_s: Option<f64>,
    /// CPU time over wall time of all requests of `text`, or of `prompt` where that is more: threads that really ran.
    pub threads_used: f64,
    /// Share of what the machine's read bandwidth allows for these bytes; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_bound: Option<f64>,
    /// Decode speed against our own program, paired by round; of the A/A entry against its twin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<Ratio>,
    /// Prompt speed against our own program, paired by round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Ratio>,
}
