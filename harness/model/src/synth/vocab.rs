//! Vocabularies of synthetic models: the built-in model's tokens, filler up to the size, special tokens at the end.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::gguf::writer::HeaderWriter;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Whose special tokens and tokenizer keys a synthetic vocabulary has. The words are the built-in model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// The built-in model's own.
    BuiltIn,
    /// Llama-3's: 256 special tokens after 128,000 ordinary ones. The published 2B-4T file names no pre-tokenizer.
    Llama3 {
        /// The pre-tokenizer that the file names, if any.
        pre: Option<&'static str>,
    },
    /// Qwen3's: 26 special tokens after 151,643 ordinary ones, then rows that no token has.
    Qwen3,
    /// Falcon3's: one special token (its real place is among the first).
    Falcon3,
}

/// What a vocabulary adds to the built-in model's words.
struct Specials {
    /// Tokens from the first special one to the end.
    count: usize,
    /// Spelling and type of one of them, from 0.
    token: fn(usize) -> (String, i32),
    /// Which of them begins a text, and whether one is put before a prompt.
    bos: (usize, bool),
    eos: usize,
    padding: usize,
    pre: Option<&'static str>,
}

impl Vocabulary {
    /// `None` for the built-in model's vocabulary as it is.
    fn specials(self) -> Option<Specials> {
        match self {
            Vocabulary::BuiltIn => None,
            Vocabulary::Llama3 { pre } => {
                Some(Specials { count: 256, token: llama3, bos: (0, true), eos: 1, padding: 1, pre })
            }
            Vocabulary::Qwen3 => {
                let (bos, pre) = ((0, false), Some("qwen2"));
                Some(Specials { count: 151_936 - 151_643, token: qwen3, bos, eos: 2, padding: 0, pre })
            }
            Vocabulary::Falcon3 => {
                let token = |_| ("<|endoftext|>".to_string(), CONTROL);
                Some(Specials { count: 1, token, bos: (0, false), eos: 0, padding: 0, pre: Some("falcon3") })
            }
        }
    }
}

/// Adds the tokenizer keys to a header, copying tokens and merges from `base`. Special tokens of another vocabulary are
/// the last of `vocab`, with bos, eos and end of turn where that vocabulary has them.
pub(super) fn write_tokenizer(
    header: HeaderWriter,
    base: &Gguf,
    vocab: usize,
    vocabulary: Vocabulary,
) -> Result<HeaderWriter> {
    let mut tokens: Vec<String> = base.required_strings("tokenizer.ggml.tokens")?.1.map(str::to_string).collect();
    let merges: Vec<&str> = base.required_strings("tokenizer.ggml.merges")?.1.collect();
    let specials = vocabulary.specials();
    let count = specials.as_ref().map_or(0, |s| s.count);
    let fixed = tokens.len() + count;
    if fixed > vocab {
        return Err(Error::input(format!("a vocabulary of {vocab} has no room for {fixed} tokens")));
    }
    let mut types: Vec<i32> = tokens.iter().map(|t| if t.starts_with("<|") { CONTROL } else { NORMAL }).collect();
    if specials.is_some() {
        // The base's own special tokens move to the end; their old places must not be spelled the same.
        for (id, token) in tokens.iter_mut().enumerate().filter(|(_, t)| t.starts_with("<|")) {
            *token = format!("<fill_{id}>");
            types[id] = UNUSED;
        }
    }
    tokens.extend((tokens.len()..vocab - count).map(|id| format!("<fill_{id}>")));
    types.resize(tokens.len(), UNUSED);
    let mut out = header.string("tokenizer.ggml.model", "gpt2");
    let pre = match &specials {
        Some(specials) => specials.pre,
        None => base.optional_string("tokenizer.ggml.pre")?,
    };
    if let Some(pre) = pre {
        out = out.string("tokenizer.ggml.pre", pre);
    }
    let (bos_key, eos_key) = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id");
    let Some(specials) = specials else {
        let own = |key| base.optional_u32(key)?.ok_or_else(|| base.key_error(key, ""));
        out = out.strings("tokenizer.ggml.tokens", &tokens);
        out = out.i32s("tokenizer.ggml.token_type", &types).strings("tokenizer.ggml.merges", &merges);
        out = out.u32(bos_key, own(bos_key)?).u32(eos_key, own(eos_key)?);
        return Ok(out.bool("tokenizer.ggml.add_bos_token", false));
    };
    for (token, kind) in (0..count).map(specials.token) {
        tokens.push(token);
        types.push(kind);
    }
    out = out.strings("tokenizer.ggml.tokens", &tokens);
    let scores = vec![0; vocab * size_of::<f32>()];
    out = out.array("tokenizer.ggml.scores", 6, vocab, &scores);
    let id = |special: usize| (vocab - count + special) as u32;
    out = out.i32s("tokenizer.ggml.token_type", &types).strings("tokenizer.ggml.merges", &merges);
    out = out.u32(bos_key, id(specials.bos.0)).u32(eos_key, id(specials.eos));
    out = out.u32("tokenizer.ggml.padding_token_id", id(specials.padding));
    Ok(out.bool("tokenizer.ggml.add_bos_token", specials.bos.1))
}

fn llama3(n: usize) -> (String, i32) {
    let name = match n {
        0 => "<|begin_of_text|>".into(),
        1 => "<|end_of_text|>".into(),
        6 => "<|start_header_id|>".into(),
        7 => "<|end_header_id|>".into(),
        9 => "<|eot_id|>".into(),
        n => format!("<|reserved_special_token_{n}|>"),
    };
    (name, CONTROL)
}

/// Rows without a token are spelled as converters spell them.
fn qwen3(n: usize) -> (String, i32) {
    match n {
        0 => ("<|endoftext|>".into(), CONTROL),
        1 => ("<|im_start|>".into(), CONTROL),
        2 => ("<|im_end|>".into(), CONTROL),
        3..26 => (format!("<|special_{n}|>"), CONTROL),
        n => (format!("[PAD{}]", 151_643 + n), UNUSED),
    }
}
