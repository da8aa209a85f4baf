//! What is said of whole texts with a kernel of a library: the worker has the model and generates, the parent sends ids
//! and takes the time.

use crate::load_model::Head;
use crate::measure::generation::Said;
use crate::measure::rounds::Spent;
use receipt::DecodeTimesNs;
use serde::{Deserialize, Serialize};

/// A model and a kernel of the library that is loaded, for whole texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobVoice {
    pub kernel: String,
    /// The model: `builtin`, or what else `--model` takes.
    pub model: String,
    /// Number format of the output head.
    pub head: Head,
    /// Tokens that a text may have.
    pub context: usize,
}

/// A text to generate greedily.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobComposition {
    pub prompt: Vec<u32>,
    pub max_tokens: usize,
    pub stop_ids: Vec<u32>,
    /// Whether the model's own end token ends it.
    pub stop_at_eos: bool,
    pub timeout_s: Option<f64>,
}

/// A stretch of a text, fed one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobTurn {
    /// Ids that go in.
    pub ids: Vec<u32>,
    /// Whether they are the prompt, which goes in as a batch, into an empty decoder.
    pub prompt: bool,
    /// How many of them are timed apart, before the others.
    pub settling: usize,
}

/// A text to score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobScore {
    pub tokens: Vec<u32>,
    pub window: usize,
    pub windows: usize,
}

/// Bytes that a decoder reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voiced {
    pub bytes_per_token: u64,
}

/// A text that was generated. Its times are the parent's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Composed {
    pub said: Said,
    pub prefill_tokens: usize,
    pub decode_tokens: usize,
    /// Where the time of decoding went, by the worker's own clock.
    pub times: DecodeTimesNs,
    pub cpu_ns: u64,
    pub involuntary_switches: u64,
}

/// What came out of a turn: an id for each that went in, of a prompt the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turned {
    pub ids: Vec<u32>,
    pub settling_ns: u64,
    pub spent: Spent,
}

/// The loss of a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Tokens that were scored.
    pub tokens: usize,
    /// Mean loss in nats; none where it is no number.
    pub nats_per_token: Option<f64>,
}
