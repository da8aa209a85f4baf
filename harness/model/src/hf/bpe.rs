//! tokenizer.json as data.

use super::json;
use crate::error::{Error, Result};
use crate::gguf::quoted;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the file.
pub const FILE: &str = "tokenizer.json";

/// The parts of tokenizer.json that are read before it is known to be one that runs.
#[derive(Deserialize)]
struct Outline {
    model: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    name: Option<String>,
    byte_fallback: Option<bool>,
}

/// tokenizer.json, as far as it matters here.
#[derive(Deserialize)]
pub struct Tokenizer {
    #[serde(default)]
    pub added_tokens: Vec<Added>,
    /// What changes a text before it is split.
    pub normalizer: Option<Value>,
    /// What splits a text into words.
    pub pre_tokenizer: Option<Value>,
    /// What puts tokens around a text.
    pub post_processor: Option<Value>,
    pub model: Bpe,
}

/// A token that was added to the model's vocabulary: it is matched whole in a prompt.
#[derive(Deserialize)]
pub struct Added {
    pub id: u32,
    pub content: String,
    /// Whether it is shown as nothing.
    #[serde(default)]
    pub special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

/// The vocabulary, and how words become tokens of it.
#[derive(Deserialize)]
pub struct Bpe {
    /// Ids by token, without those that were added.
    pub vocab: BTreeMap<String, u32>,
    merges: Vec<Merge>,
    /// Whether a word that is a token is not merged.
    #[serde(default)]
    pub ignore_merges: bool,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    dropout: Option<f64>,
}

/// A merge, in the older and the newer spelling.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

impl Added {
    /// Whether it asks for something about the spaces around it.
    pub fn strips(&self) -> bool {
        self.lstrip || self.rstrip || self.single_word
    }
}

impl Tokenizer {
    /// Parses the file `name`, which must hold a byte-level BPE vocabulary.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        check_kind(name, &json::parse::<Outline>(name, bytes)?.model)?;
        json::parse(name, bytes)
    }

    /// Ids by token, of the model and those that were added.
    pub fn ids(&self) -> BTreeMap<&str, u32> {
        let added = self.added_tokens.iter().map(|added| (added.content.as_str(), added.id));
        self.model.vocab.iter().map(|(token, &id)| (token.as_str(), id)).chain(added).collect()
    }

    /// Whether a token was added to the model's vocabulary.
    pub fn is_added(&self, token: &str) -> bool {
        self.added_tokens.iter().any(|added| added.content == token)
    }

    /// Merges as GGUF spells them, two tokens with a space between; the error names the first that cannot be.
    pub fn merges(&self) -> std::result::Result<Vec<String>, String> {
        let spelled = |(i, merge): (usize, &Merge)| match merge {
            Merge::Text(text) => Ok(text.clone()),
            Merge::Pair(left, right) if !left.contains(' ') && !right.contains(' ') => Ok(format!("{left} {right}")),
            Merge::Pair(left, right) => Err(format!(
                "merge {i} of {} and {} has a space, which byte-level BPE has not",
                quoted(left),
                quoted(right)
            )),
        };
        self.model.merges.iter().enumerate().map(spelled).collect()
    }

    /// Refuses settings of BPE and normalisers that would give other tokens: the field, and what is wrong.
    pub fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        let model = &self.model;
        for (field, value) in [
            ("model.continuing_subword_prefix", &model.continuing_subword_prefix),
            ("model.end_of_word_suffix", &model.end_of_word_suffix),
        ] {
            if let Some(text) = value.as_deref().filter(|text| !text.is_empty()) {
                return Err((field, format!("{} is part of each token, which does not run here", quoted(text))));
            }
        }
        if let Some(share) = model.dropout.filter(|&share| share != 0.0) {
            return Err(("model.dropout", format!("{share} leaves merges out by chance, which does not run here")));
        }
        if let Some(normalizer) = &self.normalizer
            && !is_nfc(normalizer)
        {
            let what = json::found(normalizer.get("type").unwrap_or(normalizer));
            return Err(("normalizer", format!("{what} changes a text before it is split, which is not done here")));
        }
        Ok(())
    }
}

/// Refuses a vocabulary that is no byte-level BPE.
fn check_kind(file: &str, model: &Kind) -> Result<()> {
    let only = "only byte-level BPE (gpt-2, Llama-3, Qwen2, Falcon3) runs here; use the model's GGUF file";
    let what = match (model.name.as_deref(), model.byte_fallback) {
        (Some("BPE") | None, None | Some(false)) => return Ok(()),
        (Some("BPE") | None, Some(true)) => "has byte_fallback, so it is a SentencePiece vocabulary".to_owned(),
        (Some("Unigram"), _) => "is Unigram, a SentencePiece vocabulary".to_owned(),
        (Some(other), _) => format!("is {}", quoted(other)),
    };
    Err(Error::input(format!("{file}: \"model\" {what}, and {only}")))
}

/// Whether a normaliser does nothing, or composes characters, which existing engines leave out, too.
fn is_nfc(normalizer: &Value) -> bool {
    match normalizer.get("type").and_then(Value::as_str) {
        Some("NFC") => true,
        Some("Sequence") => {
            let steps = normalizer.get("normalizers").and_then(Value::as_array);
            steps.is_some_and(|steps| steps.iter().all(|step| step.get("type").is_some_and(|kind| kind == "NFC")))
        }
        _ => false,
    }
}
