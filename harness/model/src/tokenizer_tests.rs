//! Tests of the tokenizer: goldens, the reference implementation, pre-tokenizers, broken vocabularies.

use super::*;
use crate::builtin;
use crate::fixtures::known;
use crate::gguf::testing::Builder;
use proptest::prelude::*;

const REFERENCE: &str = include_str!("../../../scenarios/model/tokenizer.json");

const PRE: &str = "tokenizer.ggml.pre";
const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";

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

fn assert_refused(builder: Builder, parts: &[&str]) {
    let text = build(builder, None).err().unwrap().to_string();
    assert!(!text.contains('\n'));
    parts.iter().for_each(|p| assert!(text.contains(p), "{p:?} not in {text:?}"));
}

#[test]
fn golden_prompts() {
    let (tokenizer, goldens) = (builtin_tokenizer(), known().goldens);
    assert!(!goldens.is_empty());
    for golden in goldens {
        assert_eq!(tokenizer.encode(&golden.prompt, None).unwrap(), golden.prompt_ids);
        assert_eq!(tokenizer.decode(&[golden.prompt_ids, golden.token_ids].concat()), golden.text.unwrap());
    }
    let facts = &tokenizer.facts;
    assert_eq!((facts.pre, facts.pre_from_file), ("gpt-2", true));
    assert_eq!((facts.bos, facts.eos, facts.add_bos), (Some(0), Some(1), false));
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
    assert_eq!(pieces(&with(Some(Pre::Qwen2)), "1 + 1 ="), ["1", " +", " ", "1", " ="]);
    assert_eq!(pieces(&with(Some(Pre::Qwen2)), "1234!!"), ["1", "2", "3", "4", "!!"]);
}

/// The cuts that Qwen2's regex makes: one piece a cut where every character is a token of its own is no test, so the
/// pairs on both sides of each cut would merge.
#[test]
fn qwen2_cuts_words_as_its_regex_says() {
    let words = ["' t", "d o", "n 't", "do n", "do n't"];
    let signs = [". Ċ", ".Ċ Ċ", "Ċ Ċ", "Ġ Ġ", "ĠĠ o", "Ġ o", "! x", "_ x"];
    let merges = [&words[..], &signs].concat();
    let made: Vec<String> = merges.iter().map(|merge| merge.replace(' ', "")).collect();
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    let qwen = build(file(&byte_tokens(&made), &merges).string(PRE, "qwen2"), None).unwrap();
    assert_eq!((qwen.facts.pre, qwen.facts.pre_in_file, qwen.facts.pre_from_file), ("qwen2", "qwen2", true));
    // A contraction is cut off; a sign before letters stays with them; line ends stay with the signs before them; the
    // last of several spaces goes with the word behind them.
    assert_eq!(pieces(&qwen, "don't"), ["don", "'t"]);
    assert_eq!(pieces(&qwen, "_x!x"), ["_x", "!x"]);
    assert_eq!(pieces(&qwen, "x.\n\nx"), ["x", ".\n\n", "x"]);
    assert_eq!(pieces(&qwen, "x   o"), ["x", "  ", " o"]);
}

#[test]
fn qwen_and_falcon_files_have_their_defaults() {
    let tokens = byte_tokens(&["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
    let file = |pre: &str| file(&tokens, &[]).string(PRE, pre).u32(BOS, 256).u32(EOS, 258);
    let qwen = build(file("qwen2"), None).unwrap();
    assert!(!qwen.facts.add_bos, "{:?}", qwen.assumed);
    assert_eq!((qwen.facts.eos, &qwen.facts.extra_stop_ids[..]), (Some(258), &[256][..]));
    assert_eq!(qwen.encode("a<|im_end|>", None).unwrap(), [u32::from(b'a'), 258]);
    let falcon = build(file("falcon3"), None).unwrap();
    assert_eq!((falcon.facts.pre, falcon.facts.add_bos), ("llama-bpe", true));
    for name in ["default", "gpt-2", "llama-bpe", "llama3", "llama-v3", "falcon3", "qwen2", "deepseek-r1-qwen"] {
        assert_eq!(Pre::parse(name).and_then(|pre| Pre::parse(pre.name())), Pre::parse(name));
    }
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
    let builder = file(&tokens, &[]).u32(EOS, 256).u32(BOS, 256).bool(ADD_BOS, true);
    let tokenizer = build(builder, None).unwrap();
    for byte in 0..=255u8 {
        assert_eq!(tokenizer.piece(byte.into()), [byte]);
    }
    assert_eq!(tokenizer.piece(256), b"");
    assert_eq!(tokenizer.piece(258), "東".as_bytes());
    assert_eq!(tokenizer.piece(u32::MAX), b"");
    assert_eq!((&tokenizer.facts.extra_stop_ids[..], tokenizer.facts.eos), (&[257][..], Some(256)));
    assert_eq!(tokenizer.longest_piece, 3);
    assert_eq!(tokenizer.encode("é<|eot_id|>", None).unwrap(), [256, 0xc3, 0xa9, 257]);
    assert_eq!(tokenizer.encode("é", Some(false)).unwrap(), [0xc3, 0xa9]);
    assert_eq!(tokenizer.decode(&[0xc3]), "\u{fffd}");
}

#[test]
fn broken_vocabularies_are_named() {
    let tokens = byte_tokens(&["ab"]);
    let model = |name: &str| Builder::new().string("tokenizer.ggml.model", name);
    assert_refused(Builder::new().u32("x", 1), &["no tokenizer"]);
    assert_refused(model("bert"), &["\"bert\" is not supported", "gpt2", "llama"]);
    assert_refused(model("gpt2"), &[TOKENS, "is missing"]);
    assert_refused(file(&tokens, &["ab"]), &[MERGES, "at byte", "merge 0, \"ab\"", "a space between"]);
    assert_refused(file(&tokens, &["a b", "a c"]), &["merge 1, \"a c\"", "lacks"]);
    assert_refused(file(&byte_tokens(&["a"]), &[]), &[TOKENS, "tokens 97 and 256 are both \"a\""]);
    let file = || file(&tokens, &[]);
    assert_refused(file().u32(EOS, 257), &["eos_token_id", "outside the vocabulary of 257"]);
    assert_refused(file().string(PRE, "tekken"), &[PRE, "\"tekken\"", "llama-bpe"]);
    assert_refused(file().bool(ADD_BOS, true), &["add_bos_token", "bos_token_id"]);
    assert_refused(file().zeros("token_embd.weight", &[4, 256], 1), &["257 tokens", "256 rows"]);
}

#[test]
fn what_a_file_leaves_out_is_assumed_and_said() {
    let bytes = byte_tokens(&["<|bos|>", "<|end|>"]);
    let full = || file(&bytes, &[]).string(PRE, "gpt-2").bool(ADD_BOS, false).u32(EOS, 257).u32(BOS, 256);
    assert_eq!(build(full(), None).unwrap().assumed, [""; 0]);
    for (key, assumed) in [
        (TYPES, "all tokens are taken for text, none for special"),
        (MERGES, "no tokens are merged"),
        (PRE, "default is assumed, as in existing engines"),
        (EOS, "no token ends a text"),
        (ADD_BOS, "false is assumed, as with pre-tokenizer gpt-2 in existing engines"),
    ] {
        let found = build(full().without_key(key), None).unwrap().assumed;
        assert_eq!(found, [format!("\"{key}\" is not in the file: {assumed}")]);
    }
    let llama = build(full().without_key(ADD_BOS), Some(Pre::LlamaBpe)).unwrap();
    assert!(llama.facts.add_bos && llama.assumed[0].contains("true is assumed, as with pre-tokenizer llama-bpe"));
    // Tokens that only merges can make would never be made.
    let merged = file(&byte_tokens(&["ab"]), &["a b"]).without_key(MERGES);
    assert_refused(merged, &[MERGES, "1 tokens are made by merging"]);
}

#[test]
fn every_token_that_ends_a_text_is_used() {
    let tokens = byte_tokens(&["<|0|>", "<|1|>", "<|2|>", "<|3|>"]);
    let file = || file(&tokens, &[]);
    for (builder, eos, others) in [
        (file().u32("tokenizer.ggml.eot_token_id", 257).u32("tokenizer.ggml.eom_token_id", 256), None, &[256, 257][..]),
        (file().i32s(EOS, &[258, 256]), Some(258), &[256]),
        (file().u32(EOS, 259).i32s("tokenizer.ggml.eog_token_ids", &[259, 257, 257]), Some(259), &[257]),
    ] {
        let facts = build(builder, None).unwrap().facts;
        assert_eq!((facts.eos, &facts.extra_stop_ids[..]), (eos, others));
    }
    let outside = file().u32("tokenizer.ggml.eot_token_id", 260);
    assert_refused(outside, &["at byte", "outside the vocabulary of 260"]);
    assert_refused(file().i32s(EOS, &[-1]), &["at byte", "token -1 is outside"]);
    assert_refused(file().i32s(BOS, &[1, 2]), &["at byte", "a text begins with one"]);
    assert_refused(file().bool(EOS, true), &["at byte", "expected the id of a token"]);
}

#[test]
fn keys_that_would_give_other_tokens_are_refused_by_name() {
    let tokens = byte_tokens(&[]);
    let key = |name: &str| format!("tokenizer.{name}");
    let file = || file(&tokens, &[]);
    let load = |builder: Builder| assert!(build(builder, None).is_ok());
    for name in ["add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces"] {
        let with = |value| file().bool(&key(&format!("ggml.{name}")), value);
        load(with(false));
        assert_refused(with(true), &[name, "expected false, found bool true"]);
    }
    let charsmap = |bytes: &[u8]| file().array(&key("ggml.precompiled_charsmap"), 0, bytes.len(), bytes);
    load(charsmap(&[]));
    assert_refused(charsmap(&[1, 2]), &["precompiled_charsmap"]);
    assert_refused(file().u32(&key("rwkv.world"), 1), &["tokenizer.rwkv.world"]);
    let harmless = file().u32(&key("ggml.padding_token_id"), u32::MAX).u32(&key("ggml.unknown_token_id"), 0);
    let harmless = harmless.u32(&key("ggml.fim_pre_token_id"), 1).string(&key("chat_template"), "{{ x }}");
    let harmless = harmless.string(&key("chat_template.tool_use"), "{{ x }}").string(&key("huggingface.json"), "{}");
    load(harmless.strings(&key("chat_templates"), &["tool_use"]));
}

/// A small SentencePiece vocabulary: `<unk>`, `<s>`, `</s>`, 256 bytes, then `pieces`, whose scores fall by one each.
fn by_score(pieces: &[&str]) -> Builder {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_string).to_vec();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(pieces.iter().map(|piece| piece.to_string()));
    let types = [vec![2, 3, 3], vec![6; 256], vec![1; pieces.len()]].concat();
    let score = |i: usize| if i < 259 { 0f32 } else { 259.0 - i as f32 };
    let scores: Vec<u8> = (0..tokens.len()).flat_map(|i| score(i).to_le_bytes()).collect();
    let builder = Builder::new().string("tokenizer.ggml.model", "llama").strings(TOKENS, &tokens);
    let builder = builder.i32s(TYPES, &types).array(SCORES, 6, tokens.len(), &scores);
    builder.u32(BOS, 1).u32(EOS, 2)
}

#[test]
fn sentence_pieces_merge_by_score_and_fall_back_to_bytes() {
    let space = "\u{2581}";
    let word = |word: &str| format!("{space}{word}");
    let made = [word("ab"), "bc".into(), "ab".into(), word("a"), space.into(), "a".into(), "b".into(), "c".into()];
    let tokens: Vec<&str> = made.iter().map(String::as_str).collect();
    let tokenizer = build(by_score(&tokens), None).unwrap();
    let of = |text: &str| pieces(&tokenizer, text)[1..].to_vec();
    // The space before a text, and "bc" before "ab": the higher score first, wherever it is.
    assert_eq!(of("abc"), [" a", "bc"]);
    assert_eq!(of("abab"), [" ab", "ab"]);
    assert_eq!(of("c ab"), [" ", "c", " ab"]);
    assert_eq!(tokenizer.encode("ab", Some(false)).unwrap(), [259]);
    // Neither the letter nor its bytes are merged.
    let ids = tokenizer.encode("é\n", None).unwrap();
    assert_eq!(ids, [1, 263, 3 + 0xc3, 3 + 0xa9, 3 + 0x0a]);
    assert_eq!(tokenizer.decode(&ids), " é\n");
    // Behind a special token, a text begins anew.
    assert_eq!(tokenizer.encode("ab</s>ab", None).unwrap(), [1, 259, 2, 259]);
    assert_eq!(tokenizer.encode("", None).unwrap(), [1]);
    let facts = &tokenizer.facts;
    assert_eq!((facts.pre, facts.pre_from_file, facts.add_bos), ("SentencePiece", true, true));
    assert_eq!(tokenizer.longest_piece, 3, "special tokens are empty, and a byte is one");
}

#[test]
fn sentence_pieces_without_a_space_before_a_text() {
    let without = by_score(&["ab", "\u{2581}", "a", "b"]).bool(SPACE_PREFIX, false).bool(ADD_BOS, false);
    let tokenizer = build(without, None).unwrap();
    assert_eq!(tokenizer.assumed, [""; 0]);
    assert_eq!(tokenizer.encode("ab ab", None).unwrap(), [259, 260, 259]);
    let assumed = build(by_score(&["\u{2581}"]), None).unwrap().assumed;
    assert_eq!(assumed.len(), 2, "{assumed:?}");
    assert!(assumed[0].contains("true is assumed, as with SentencePiece"), "{assumed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever bytes of a vocabulary are wrong, the answer is a tokenizer that takes a text, or one line.
    #[test]
    fn damaged_sentence_pieces_never_panic(damage in prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..6)) {
        let mut bytes = by_score(&["\u{2581}ab", "ab", "\u{2581}", "a", "b"]).build();
        let len = bytes.len() as f64;
        damage.iter().for_each(|(at, value)| bytes[(at * len) as usize] = *value);
        match Gguf::from_bytes("m", bytes).and_then(|gguf| Tokenizer::from_gguf(&gguf, None)) {
            Ok(tokenizer) => {
                let ids = tokenizer.encode("ab a\u{e9}b", None).unwrap();
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.facts.vocab));
                tokenizer.decode(&ids);
            }
            Err(e) => prop_assert!(!e.to_string().contains('\n'), "{e}"),
        }
    }
}

#[test]
fn broken_sentence_pieces_are_named() {
    let file = || by_score(&["ab", "a", "b"]);
    assert_refused(file().without_key(SCORES), &[SCORES, "is missing; convert the model again"]);
    let short = file().without_key(SCORES).array(SCORES, 6, 2, &[0; 8]);
    assert_refused(short, &[SCORES, "at byte", "2 scores for 262 tokens"]);
    assert_refused(file().without_key(SCORES).i32s(SCORES, &[0; 262]), &[SCORES, "expected an array of f32"]);
    assert_refused(file().without_key(TYPES), &[SCORES, "no token stands for the byte <0x00>"]);
    let overridden = build(file(), Some(Pre::Qwen2)).err().unwrap().to_string();
    assert!(overridden.contains("leave --pre out"), "{overridden}");
    assert_refused(file().bool("tokenizer.ggml.remove_extra_whitespaces", true), &["remove_extra_whitespaces"]);
}
