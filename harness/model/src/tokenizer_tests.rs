//! Tests of the tokenizer: goldens, the reference implementation, pre-tokenizers, broken vocabularies.

use super::*;
use crate::builtin;
use crate::gguf::testing::Builder;

const REFERENCE: &str = include_str!("../../../scenarios/model/tokenizer.json");

fn builtin_tokenizer() -> Tokenizer {
    Tokenizer::from_gguf(&builtin::open().unwrap(), None).unwrap()
}

/// The 256 byte tokens in byte order, then `more`.
fn byte_tokens(more: &[&str]) -> Vec<String> {
    let table = byte_alphabet();
    let mut tokens = vec![String::new(); 256];
    for (c, byte) in table.iter().enumerate().filter_map(|(c, b)| b.map(|b| (c, b))) {
        tokens[byte as usize] = char::from_u32(c as u32).unwrap().to_string();
    }
    tokens.extend(more.iter().map(|s| s.to_string()));
    tokens
}

fn file(tokens: &[String], merges: &[&str]) -> Builder {
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let types: Vec<i32> = tokens.iter().map(|t| if t.starts_with("<|") { 3 } else { 1 }).collect();
    Builder::new()
        .string("tokenizer.ggml.model", "gpt2")
        .strings(TOKENS, &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .strings(MERGES, merges)
}

fn build(builder: Builder, pre: Option<Pre>) -> Result<Tokenizer> {
    Tokenizer::from_gguf(&Gguf::from_bytes("m", builder.build())?, pre)
}

fn pieces(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode(text, None).unwrap();
    ids.iter().map(|&id| String::from_utf8_lossy(tokenizer.piece(id)).into_owned()).collect()
}

#[test]
fn golden_prompts() {
    let tokenizer = builtin_tokenizer();
    let golden: serde_json::Value = serde_json::from_str(builtin::GOLDEN_JSON).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let want: Vec<u32> =
            case["prompt_ids"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode(case["prompt"].as_str().unwrap(), None).unwrap(), want);
        let greedy = case["greedy_ids"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32);
        let all: Vec<u32> = want.into_iter().chain(greedy).collect();
        assert_eq!(tokenizer.decode(&all), case["text"].as_str().unwrap());
    }
    assert_eq!((tokenizer.facts.pre, tokenizer.facts.pre_from_file), ("gpt-2", true));
    assert_eq!((tokenizer.facts.bos, tokenizer.facts.eos, tokenizer.facts.add_bos), (Some(0), Some(1), false));
    assert_eq!(tokenizer.encode("a", Some(true)).unwrap()[0], 0);
}

#[test]
fn same_ids_as_the_reference_on_a_long_text() {
    let tokenizer = builtin_tokenizer();
    let reference: tokenizers::Tokenizer = REFERENCE.parse().unwrap();
    let text = &builtin::TEXT[..300_000];
    let ids = tokenizer.encode(text, None).unwrap();
    assert_eq!(ids, reference.encode(text, false).unwrap().get_ids());
    assert_eq!(tokenizer.decode(&ids), text);
    let odd = "naïve — 東京 🙂\r\n\t x<|end_of_text|>y";
    let ids = tokenizer.encode(odd, None).unwrap();
    assert_eq!(ids, reference.encode(odd, false).unwrap().get_ids());
    assert!(ids.contains(&1));
    assert_eq!(tokenizer.decode(&ids), odd.replace("<|end_of_text|>", ""));
}

#[test]
fn pre_tokenizers_cut_differently() {
    // Every pair a pre-tokenizer leaves together merges, so the pieces show the cuts.
    let merges = ["Ġ 1", "Ġ +", "Ġ =", "1 2", "12 3", "3 4", "123 4", "! !"];
    let tokens = byte_tokens(&["Ġ1", "Ġ+", "Ġ=", "12", "123", "34", "1234", "!!"]);
    let with = |pre| build(file(&tokens, &merges), pre).unwrap();
    let default = with(None);
    assert_eq!((default.facts.pre, default.facts.pre_from_file), ("default", false));
    assert_eq!(pieces(&default, "1 + 1 ="), ["1", " ", "+", " ", "1", " ", "="]);
    assert_eq!(pieces(&default, "1234!!"), ["123", "4", "!!"]);
    assert_eq!(pieces(&with(Some(Pre::Gpt2)), "1 + 1 ="), ["1", " +", " 1", " ="]);
    assert_eq!(pieces(&with(Some(Pre::Gpt2)), "1234!!"), ["1234", "!!"]);
    assert_eq!(pieces(&with(Some(Pre::LlamaBpe)), "1 + 1 ="), ["1", " +", " ", "1", " ="]);
    assert_eq!(pieces(&with(Some(Pre::LlamaBpe)), "1234!!"), ["123", "4", "!!"]);
}

#[test]
fn llama_bpe_prefers_whole_words() {
    // "abc" is a token that no merge reaches.
    let tokens = byte_tokens(&["ab", "abc"]);
    let with = |pre| build(file(&tokens, &["a b"]), Some(pre)).unwrap();
    assert_eq!(pieces(&with(Pre::LlamaBpe), "abc"), ["abc"]);
    assert_eq!(pieces(&with(Pre::Default), "abc"), ["ab", "c"]);
}

#[test]
fn pieces_are_raw_bytes_and_specials_are_empty() {
    let tokens = byte_tokens(&["<|eos|>", "<|eot_id|>", "東"]);
    let base = || file(&tokens, &[]).u32("tokenizer.ggml.eos_token_id", 256).u32("tokenizer.ggml.bos_token_id", 256);
    let tokenizer = build(base().bool("tokenizer.ggml.add_bos_token", true), None).unwrap();
    for byte in 0..=255u8 {
        assert_eq!(tokenizer.piece(byte.into()), [byte]);
    }
    assert_eq!(tokenizer.piece(256), b"");
    assert_eq!(tokenizer.piece(258), "東".as_bytes());
    assert_eq!(tokenizer.piece(u32::MAX), b"");
    assert_eq!(
        (&tokenizer.facts.extra_stop_ids[..], tokenizer.facts.eos, tokenizer.longest_piece),
        (&[257u32][..], Some(256), 3)
    );
    assert_eq!(tokenizer.encode("é<|eot_id|>", None).unwrap(), [256, 0xc3, 0xa9, 257]);
    assert_eq!(tokenizer.encode("é", Some(false)).unwrap(), [0xc3, 0xa9]);
    assert_eq!(tokenizer.decode(&[0xc3]), "\u{fffd}");
}

#[test]
fn broken_vocabularies_are_named() {
    let refused = |builder: Builder, parts: &[&str]| {
        let text = build(builder, None).err().unwrap().to_string();
        assert!(!text.contains('\n'));
        parts.iter().for_each(|p| assert!(text.contains(p), "{p:?} not in {text:?}"));
    };
    let tokens = byte_tokens(&["ab"]);
    refused(Builder::new().u32("x", 1), &["no tokenizer"]);
    refused(Builder::new().string("tokenizer.ggml.model", "llama"), &["\"llama\" is not supported"]);
    refused(Builder::new().string("tokenizer.ggml.model", "gpt2"), &[TOKENS, "is missing"]);
    refused(file(&tokens, &["ab"]), &[MERGES, "at byte", "merge 0, \"ab\"", "a space between"]);
    refused(file(&tokens, &["a b", "a c"]), &["merge 1, \"a c\"", "lacks"]);
    refused(file(&byte_tokens(&["a"]), &[]), &[TOKENS, "tokens 97 and 256 are both \"a\""]);
    refused(
        file(&tokens, &[]).u32("tokenizer.ggml.eos_token_id", 257),
        &["eos_token_id", "outside the vocabulary of 257"],
    );
    refused(
        file(&tokens, &[]).string("tokenizer.ggml.pre", "tekken"),
        &["tokenizer.ggml.pre", "\"tekken\"", "llama-bpe"],
    );
    refused(file(&tokens, &[]).bool("tokenizer.ggml.add_bos_token", true), &["add_bos_token", "bos_token_id"]);
    refused(file(&tokens, &[]).zeros("token_embd.weight", &[4, 256], 1), &["257 tokens", "256 rows"]);
}

#[test]
fn what_a_file_leaves_out_is_assumed_and_said() {
    let bytes = byte_tokens(&["<|bos|>", "<|end|>"]);
    let full = || file(&bytes, &[]).string("tokenizer.ggml.pre", "gpt-2").bool(ADD_BOS, false);
    let full = || full().u32("tokenizer.ggml.eos_token_id", 257).u32("tokenizer.ggml.bos_token_id", 256);
    let assumed = |builder: Builder| build(builder, None).unwrap().assumed.join("; ");
    assert_eq!(assumed(full()), "");
    assert_eq!(
        assumed(full().without_key(TYPES)),
        "\"tokenizer.ggml.token_type\" is not in the file: all tokens are \
        taken for text, none for special"
    );
    assert!(assumed(full().without_key(MERGES)).contains("no tokens are merged"));
    assert!(assumed(full().without_key("tokenizer.ggml.pre")).contains("default is assumed"));
    assert!(assumed(full().without_key("tokenizer.ggml.eos_token_id")).contains("no token ends a text"));
    let no_switch = || full().without_key(ADD_BOS);
    assert!(assumed(no_switch()).contains("add_bos_token\" is not in the file: false is assumed"));
    let llama = build(no_switch(), Some(Pre::LlamaBpe)).unwrap();
    assert!(llama.facts.add_bos && llama.assumed[0].contains("true is assumed, as with pre-tokenizer llama-bpe"));
    // Tokens that only merges can make would never be made.
    let merged = file(&byte_tokens(&["ab"]), &["a b"]).without_key(MERGES);
    let line = build(merged, None).err().unwrap().to_string();
    assert!(line.contains(MERGES) && line.contains("1 tokens are made by merging"), "{line}");
}

#[test]
fn every_token_that_ends_a_text_is_used() {
    let tokens = byte_tokens(&["<|0|>", "<|1|>", "<|2|>", "<|3|>"]);
    let with = |builder: Builder| build(builder, None).unwrap();
    let t = with(file(&tokens, &[]).u32("tokenizer.ggml.eot_token_id", 257).u32("tokenizer.ggml.eom_token_id", 256));
    assert_eq!((t.facts.eos, &t.facts.extra_stop_ids[..]), (None, &[256, 257][..]));
    let t = with(file(&tokens, &[]).i32s("tokenizer.ggml.eos_token_id", &[258, 256]));
    assert_eq!((t.facts.eos, &t.facts.extra_stop_ids[..]), (Some(258), &[256][..]));
    let both = file(&tokens, &[]).u32("tokenizer.ggml.eos_token_id", 259);
    let t = with(both.i32s("tokenizer.ggml.eog_token_ids", &[259, 257, 257]));
    assert_eq!((t.facts.eos, &t.facts.extra_stop_ids[..]), (Some(259), &[257][..]));
    let refused = |builder: Builder, part: &str| {
        let line = build(builder, None).err().unwrap().to_string();
        assert!(line.contains(part) && line.contains("at byte"), "{line}");
    };
    refused(file(&tokens, &[]).u32("tokenizer.ggml.eot_token_id", 260), "outside the vocabulary of 260");
    refused(file(&tokens, &[]).i32s("tokenizer.ggml.eos_token_id", &[-1]), "token -1 is outside");
    refused(file(&tokens, &[]).i32s("tokenizer.ggml.bos_token_id", &[1, 2]), "a text begins with one");
    refused(file(&tokens, &[]).bool("tokenizer.ggml.eos_token_id", true), "expected the id of a token");
}

#[test]
fn keys_that_would_give_other_tokens_are_refused_by_name() {
    let tokens = byte_tokens(&[]);
    let key = |name: &str| format!("tokenizer.{name}");
    let load = |builder: Builder| build(builder, None).map(|_| ()).map_err(|e| e.to_string());
    for name in ["add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces"] {
        let with = |value| file(&tokens, &[]).bool(&key(&format!("ggml.{name}")), value);
        assert_eq!(load(with(false)), Ok(()));
        let line = load(with(true)).unwrap_err();
        assert!(line.contains(name) && line.contains("expected false, found bool true"), "{line}");
    }
    let charsmap = |bytes: &[u8]| {
        let value = [&0u32.to_le_bytes()[..], &(bytes.len() as u64).to_le_bytes(), bytes].concat();
        file(&tokens, &[]).raw(&key("ggml.precompiled_charsmap"), 9, &value)
    };
    assert_eq!(load(charsmap(&[])), Ok(()));
    assert!(load(charsmap(&[1, 2])).unwrap_err().contains("precompiled_charsmap"));
    assert!(load(file(&tokens, &[]).u32(&key("rwkv.world"), 1)).unwrap_err().contains("tokenizer.rwkv.world"));
    let harmless = file(&tokens, &[])
        .u32(&key("ggml.padding_token_id"), u32::MAX)
        .u32(&key("ggml.unknown_token_id"), 0)
        .u32(&key("ggml.fim_pre_token_id"), 1)
        .string(&key("chat_template"), "{{ x }}")
        .string(&key("chat_template.tool_use"), "{{ x }}")
        .strings(&key("chat_templates"), &["tool_use"])
        .string(&key("huggingface.json"), "{}");
    assert_eq!(load(harmless), Ok(()));
}
