//! Ids that a file gives a meaning: what begins a text and what ends it.

use crate::error::Result;
use crate::gguf::{Gguf, Value};

/// Keys of further tokens at which existing engines end a text: of a turn, of a message, of a piece of code.
const STOPS: [&str; 7] = [
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.eos_token_ids",
    "tokenizer.ggml.eog_token_ids",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
];

/// Ids of the tokens to which one file gives a meaning.
pub struct SpecialIds {
    /// Id of the token that begins a text.
    pub bos: Option<u32>,
    /// Id of the token that ends a text.
    pub eos: Option<u32>,
    /// Ids of further tokens that end a text.
    pub stops: Vec<u32>,
}

impl SpecialIds {
    /// Reads the ids; each must be a token of a vocabulary of `vocab`. Where a text may end at several, a list will do.
    pub fn read(gguf: &Gguf, vocab: usize) -> Result<Self> {
        let key = "tokenizer.ggml.bos_token_id";
        let bos = ids(gguf, key, vocab)?;
        if bos.len() > 1 {
            return Err(gguf.key_error(key, format!("{} tokens; a text begins with one", bos.len())));
        }
        let mut ends = ids(gguf, "tokenizer.ggml.eos_token_id", vocab)?.into_iter();
        let eos = ends.next();
        let mut stops: Vec<u32> = ends.collect();
        for key in STOPS {
            stops.extend(ids(gguf, key, vocab)?);
        }
        Ok(Self { bos: bos.first().copied(), eos, stops })
    }
}

/// The id or the ids of a key; none where the key is absent.
fn ids(gguf: &Gguf, key: &str, vocab: usize) -> Result<Vec<u32>> {
    let Some(entry) = gguf.entry(key) else { return Ok(Vec::new()) };
    let found = match (&entry.value, gguf.numbers(entry)) {
        (Value::Bool(_) | Value::F32(_) | Value::F64(_), _) | (_, None) => {
            let found = entry.value.summary(entry.kind);
            return Err(gguf.key_error(key, format!("expected the id of a token, or a list of ids, found {found}")));
        }
        (_, Some(found)) => found,
    };
    let id = |n: f64| {
        let fits = n.fract() == 0.0 && n >= 0.0 && n < vocab as f64;
        let what = || format!("token {n} is outside the vocabulary of {vocab}");
        if fits { Ok(n as u32) } else { Err(gguf.key_error(key, what())) }
    };
    found.into_iter().map(id).collect()
}
