//! Vocabularies of synthetic models: the built-in model's tokens, filler up to the size, special tokens at the end.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::gguf::writer::HeaderWriter;

/// Llama-3 puts 256 special tokens after 128,000 ordinary ones.
const SPECIALS: usize = 256;
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Adds the tokenizer keys, copying tokens and merges from `base`. With `llama_specials`, the last 256 tokens are
/// special, with bos, eos and end-of-turn where Llama-3 has them, and the file names no pre-tokenizer, as the published
/// one does not.
pub fn write_tokenizer(out: &mut HeaderWriter, base: &Gguf, vocab: usize, llama_specials: bool) -> Result<()> {
    let mut tokens: Vec<String> = base.required_strings("tokenizer.ggml.tokens")?.1.map(str::to_string).collect();
    let merges: Vec<&str> = base.required_strings("tokenizer.ggml.merges")?.1.collect();
    let specials = if llama_specials { SPECIALS } else { 0 };
    if tokens.len() + specials > vocab {
        return Err(Error::input(format!(
            "a vocabulary of {vocab} has no room for {} tokens",
            tokens.len() + specials
        )));
    }
    let mut types: Vec<i32> = tokens.iter().map(|t| if t.starts_with("<|") { CONTROL } else { NORMAL }).collect();
    if llama_specials {
        // The base's own special tokens move to the end; their old places must not be spelled the same.
        for (id, token) in tokens.iter_mut().enumerate().filter(|(_, t)| t.starts_with("<|")) {
            *token = format!("<fill_{id}>");
            types[id] = UNUSED;
        }
    }
    for id in tokens.len()..vocab - specials {
        tokens.push(format!("<fill_{id}>"));
        types.push(UNUSED);
    }
    for n in 0..specials {
        tokens.push(special_name(n));
        types.push(CONTROL);
    }
    let first_special = (vocab - specials) as u32;
    out.string("tokenizer.ggml.model", "gpt2");
    if !llama_specials && let Some(pre) = base.optional_string("tokenizer.ggml.pre")? {
        out.string("tokenizer.ggml.pre", pre);
    }
    out.strings("tokenizer.ggml.tokens", &tokens);
    if llama_specials {
        out.f32s("tokenizer.ggml.scores", &vec![0.0; vocab]);
    }
    out.i32s("tokenizer.ggml.token_type", &types);
    out.strings("tokenizer.ggml.merges", &merges);
    let (bos, eos) = if llama_specials { (first_special, first_special + 1) } else { own_ids(base)? };
    out.u32("tokenizer.ggml.bos_token_id", bos);
    out.u32("tokenizer.ggml.eos_token_id", eos);
    if llama_specials {
        out.u32("tokenizer.ggml.padding_token_id", eos);
    }
    out.bool("tokenizer.ggml.add_bos_token", llama_specials);
    Ok(())
}

fn own_ids(base: &Gguf) -> Result<(u32, u32)> {
    Ok((base.required_u32("tokenizer.ggml.bos_token_id")?, base.required_u32("tokenizer.ggml.eos_token_id")?))
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
