//! Vocabularies of synthetic models: the built-in model's tokens, filler up to the size, special tokens at the end.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::gguf::writer::HeaderWriter;

/// Llama-3 puts 256 special tokens after 128,000 ordinary ones.
const SPECIALS: usize = 256;
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Adds the tokenizer keys to a header, copying tokens and merges from `base`. With `llama_specials`, the last 256
/// tokens are special, with bos, eos and end-of-turn where Llama-3 has them, and the file names no pre-tokenizer, as
/// the published one does not.
pub fn write_tokenizer(header: HeaderWriter, base: &Gguf, vocab: usize, llama_specials: bool) -> Result<HeaderWriter> {
    let mut tokens: Vec<String> = base.required_strings("tokenizer.ggml.tokens")?.1.map(str::to_string).collect();
    let merges: Vec<&str> = base.required_strings("tokenizer.ggml.merges")?.1.collect();
    let specials = if llama_specials { SPECIALS } else { 0 };
    let fixed = tokens.len() + specials;
    if fixed > vocab {
        return Err(Error::input(format!("a vocabulary of {vocab} has no room for {fixed} tokens")));
    }
    let mut types: Vec<i32> = tokens.iter().map(|t| if t.starts_with("<|") { CONTROL } else { NORMAL }).collect();
    if llama_specials {
        // The base's own special tokens move to the end; their old places must not be spelled the same.
        for (id, token) in tokens.iter_mut().enumerate().filter(|(_, t)| t.starts_with("<|")) {
            *token = format!("<fill_{id}>");
            types[id] = UNUSED;
        }
    }
    tokens.extend((tokens.len()..vocab - specials).map(|id| format!("<fill_{id}>")));
    types.resize(tokens.len(), UNUSED);
    tokens.extend((0..specials).map(special_name));
    types.resize(tokens.len(), CONTROL);
    let mut out = header.string("tokenizer.ggml.model", "gpt2");
    if !llama_specials && let Some(pre) = base.optional_string("tokenizer.ggml.pre")? {
        out = out.string("tokenizer.ggml.pre", pre);
    }
    out = out.strings("tokenizer.ggml.tokens", &tokens);
    if llama_specials {
        let scores = vec![0; vocab * size_of::<f32>()];
        out = out.array("tokenizer.ggml.scores", 6, vocab, &scores);
    }
    let (bos_key, eos_key) = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id");
    let own = |key| base.optional_u32(key)?.ok_or_else(|| base.key_error(key, ""));
    let first_special = (vocab - specials) as u32;
    let (bos, eos) = if llama_specials { (first_special, first_special + 1) } else { (own(bos_key)?, own(eos_key)?) };
    out = out.i32s("tokenizer.ggml.token_type", &types).strings("tokenizer.ggml.merges", &merges);
    out = out.u32(bos_key, bos).u32(eos_key, eos);
    if llama_specials {
        out = out.u32("tokenizer.ggml.padding_token_id", eos);
    }
    Ok(out.bool("tokenizer.ggml.add_bos_token", llama_specials))
}

fn special_name(n: usize) -> String {
    match n {
        0 => "<|begin_of_text|>".into(),
        1 => "<|end_of_text|>".into(),
        6 => "<|start_header_id|>".into(),
        7 => "<|end_header_id|>".into(),
        9 => "<|eot_id|>".into(),
        n => format!("<|reserved_special_token_{n}|>"),
    }
}
