//! What is said to an engine and what it answers: one line of JSON each, on its stdin and stdout.
//!
//! The harness asks, the engine answers, one line for one line, in this order: `describe`, `load`, then any number of
//! `generate`, `score` and `logits`, then `quit`, to which nothing is answered. An answer `{"error": "TEXT"}` says that
//! the engine cannot, and why. Keys that an engine does not know it ignores, and so does the harness. Numbers that are
//! none may be written `null`, `NaN`, `Infinity` or `-Infinity`: they are answers, and wrong. Nothing else may stand on
//! stdout; stderr is kept for last words. Ids are those of the model's vocabulary: no engine's tokenizer takes part.
//!
//! Modelled on rebar's engines, which are also programs that anyone can write in any language.

use serde::{Deserialize, Serialize};

/// Version of the protocol, in every request: `"tritbench": 1`.
pub const VERSION: u32 = 1;

/// What the harness asks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "request", rename_all = "lowercase")]
pub enum Request<'a> {
    /// What the engine is; answered by [`Described`].
    Describe,
    /// Loads a model; answered by [`Loaded`]. Everything that an engine must know before it reads a file is here.
    Load {
        /// The file or folder.
        model: &'a str,
        threads: usize,
        /// Bits of a weight of the output head that the harness would like: 16, 8 or 4. The answer names those it has.
        head_bits: u32,
        /// Most ids that it will be given at once.
        batch: usize,
        /// Longest sequence, in ids.
        context: usize,
    },
    /// Continues a prompt greedily from an empty cache; answered by [`Generated`]. No id is put before the prompt, and
    /// none ends the text: `count` ids come back.
    Generate { ids: &'a [u32], count: usize },
    /// The loss of a text; answered by [`Scored`]. Windows of `window` inputs, each from an empty cache; every position
    /// predicts the next id, so that the last id of a window's targets is the first input of the next. Ids after the
    /// last whole window are left out.
    Score { ids: &'a [u32], window: usize },
    /// Logits after the last of these ids, from an empty cache; answered by [`Logits`].
    Logits { ids: &'a [u32] },
    /// Ends the engine.
    Quit,
}

impl Request<'_> {
    /// What it asks, as what follows "to": `continue 64 ids by 24`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Describe => "describe itself".into(),
            Self::Load { model, .. } => format!("load {model}"),
            Self::Generate { ids, count } => format!("continue {} ids by {count}", ids.len()),
            Self::Score { ids, window } => format!("score {} ids in windows of {window}", ids.len()),
            Self::Logits { ids } => format!("give the logits after {} ids", ids.len()),
            Self::Quit => "quit".into(),
        }
    }
}

/// Answers [`Request::Describe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Described {
    pub name: String,
    #[serde(default)]
    pub version: String,
    /// Requests that it answers besides `describe`, `load` and `quit`: of `generate`, `score` and `logits`.
    pub requests: Vec<String>,
}

/// Answers [`Request::Load`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    pub vocabulary: usize,
    /// Threads that it computes with.
    pub threads: usize,
    /// Bits of a weight of the output head: 16, 8, 4 or another number.
    pub head_bits: u32,
    /// Type of cached keys and values, such as `f16`.
    pub cache: String,
    /// Most ids that it takes at once.
    pub batch: usize,
    /// Which activations share a scale: `token`, `256`, `128`, `32`, or other words.
    #[serde(default)]
    pub activations: String,
    /// Bytes of weights that a decoded id reads, where the engine packs them more tightly than its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_token: Option<u64>,
}

/// Answers [`Request::Generate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    pub ids: Vec<u32>,
    /// Until the first id was known, by the engine's clock; 0 where it does not say.
    #[serde(default)]
    pub prompt_ns: u64,
    /// From there on.
    #[serde(default)]
    pub decode_ns: u64,
}

/// Answers [`Request::Score`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Mean loss in nats a position.
    pub nats: Option<f64>,
    pub positions: usize,
    /// The window rule: `every` position from an empty cache, as asked. Another rule is another figure.
    pub rule: String,
    /// How many ids were fed at once, in words.
    #[serde(default)]
    pub feeding: String,
}

/// Answers [`Request::Logits`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logits {
    /// One f32 for each entry of the vocabulary, little endian, in base64.
    pub logits: String,
}
