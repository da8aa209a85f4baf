//! Vocabularies that are read, and what is said of others.

use super::pre;
use super::testing::{Maker, said};
use crate::error::Result;
use crate::gguf::Gguf;
use crate::tokenizer::Tokenizer;
use serde_json::{Value, json};

/// As those models' own files have them.
const LLAMA: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|",
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
);
const QWEN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|",
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
);

fn split(regex: &str) -> Value {
    let split = json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    json!({"type": "Sequence", "pretokenizers": [split, bytes(false)]})
}

fn bytes(by_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": by_regex})
}

fn open(change: impl FnOnce(&mut Maker)) -> Result<Gguf> {
    let mut maker = Maker::tiny();
    change(&mut maker);
    maker.write();
    maker.open()
}

fn refused(change: impl FnOnce(&mut Maker), parts: &[&str]) {
    let mut maker = Maker::tiny();
    change(&mut maker);
    maker.write_refused(parts);
}

#[test]
fn pre_tokenizers_are_recognised_by_their_regex() {
    for (value, name) in [(bytes(true), "gpt-2"), (split(LLAMA), "llama-bpe"), (split(QWEN), "qwen2")] {
        assert_eq!(pre::name(Some(&value)), Ok(name));
        let gguf = open(|maker| maker.tokenizer["pre_tokenizer"] = value).unwrap();
        assert_eq!(gguf.optional_string("tokenizer.ggml.pre").unwrap(), Some(name));
        let is_said = said(&gguf).contains("ignore_merges is not set");
        assert_eq!(is_said, name == "llama-bpe");
    }
    let mut spaced = bytes(true);
    spaced["add_prefix_space"] = json!(true);
    let mut merged = split(LLAMA);
    merged["pretokenizers"][0]["behavior"] = json!("MergedWithNext");
    for (value, part) in [
        (Value::Null, "is missing; known are those of gpt-2, llama-bpe"),
        (split(r"\s+"), "the regex \"\\\\s+\" does not run here"),
        (spaced, "puts a space before each text"),
        (merged, "Split with behavior \"MergedWithNext\""),
        (bytes(false), "use_regex of ByteLevel must be true alone"),
        (json!({"type": "Metaspace"}), "the steps \"Metaspace\" do not run here, without ByteLevel"),
        (json!({"type": "Sequence", "pretokenizers": [{"type": "Digits"}, bytes(true)]}), "\"Digits, ByteLevel\""),
    ] {
        refused(|maker| maker.tokenizer["pre_tokenizer"] = value, &["tokenizer.json: \"pre_tokenizer\": ", part]);
    }
}

#[test]
fn rows_without_a_token_are_filled_and_ids_outside_are_refused() {
    let gguf = open(|maker| {
        maker.set("vocab_size", json!(1030));
        let mut extra = maker.tensors["model.embed_tokens.weight"].clone();
        extra.shape[0] = 1030;
        extra.data.resize(1030 * 16, 0);
        maker.tensors.insert("model.embed_tokens.weight".into(), extra);
        let added = maker.tokenizer["added_tokens"].as_array_mut().unwrap();
        added.push(json!({"id": 1028, "content": "<think>", "special": false, "lstrip": true}));
    })
    .unwrap();
    let tokens: Vec<&str> = gguf.required_strings("tokenizer.ggml.tokens").unwrap().1.collect();
    let types: Vec<i64> = gguf.optional_integers("tokenizer.ggml.token_type").unwrap().unwrap().collect();
    assert_eq!(tokens[1024..], ["[PAD1024]", "[PAD1025]", "[PAD1026]", "[PAD1027]", "<think>", "[PAD1029]"]);
    assert_eq!((&types[..3], &types[1023..]), (&[3, 3, 1][..], &[1, 5, 5, 5, 5, 4, 5][..]));
    let decided = said(&gguf);
    assert!(decided.contains("5 rows of the embedding have no token") && decided.contains("\"<think>\""), "{decided}");
    Tokenizer::from_gguf(&gguf, None).unwrap();
    refused(|maker| maker.set("vocab_size", json!(1000)), &["tokenizer.json: \"model.vocab\"", "has vocab_size 1000"]);
    let twice = |maker: &mut Maker| maker.tokenizer["added_tokens"][1]["content"] = json!("<other>");
    refused(twice, &["\"added_tokens\"", "both have id 1"]);
}

#[test]
fn what_begins_and_ends_a_text_is_found_in_all_files() {
    let template = json!({"type": "TemplateProcessing", "single":
        [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
    let gguf = open(|maker| {
        maker.tokenizer["post_processor"] = template.clone();
        let settings =
            json!({"bos_token": "!", "eos_token": {"content": "\""}, "add_bos_token": false, "chat_template": "{{x}}"});
        maker.file("tokenizer_config.json", settings.to_string());
        maker.file("generation_config.json", "{\"eos_token_id\": [1, 9], \"bos_token_id\": 5}");
    })
    .unwrap();
    let facts = Tokenizer::from_gguf(&gguf, None).unwrap().facts;
    // The template's token wins: it is what stands before a text.
    assert_eq!((facts.bos, facts.eos, facts.add_bos), (Some(0), Some(3), true));
    assert_eq!(facts.extra_stop_ids, [1, 9]);
    assert_eq!(gguf.optional_string("tokenizer.chat_template").unwrap(), Some("{{x}}"));
    let decided = said(&gguf);
    assert!(decided.contains("a prompt begins with bos: true, by tokenizer.json"), "{decided}");
    assert_eq!(gguf.files().count(), 5);
    let by_settings = open(|maker| maker.file("tokenizer_config.json", "{\"add_bos_token\": true}")).unwrap();
    assert_eq!(by_settings.optional_bool("tokenizer.ggml.add_bos_token").unwrap(), Some(true));
    for (file, text, parts) in [
        ("generation_config.json", "{\"eos_token_id\": 1024}", &["\"eos_token_id\": token 1024 is outside"][..]),
        ("generation_config.json", "{\"eos_token_id\": \"x\"}", &["expected a count, or a list of counts"]),
        ("tokenizer_config.json", "{\"bos_token\": \"nowhere\"}", &["\"bos_token\": \"nowhere\" is no token"]),
        ("tokenizer_config.json", "{\"eos_token\": 7}", &["\"eos_token\": 7 is no token"]),
    ] {
        refused(|maker| maker.file(file, text), &[&[file], parts].concat());
    }
    let unknown = |maker: &mut Maker| {
        maker.tokenizer["post_processor"] = template.clone();
        maker.tokenizer["post_processor"]["single"][0]["SpecialToken"]["id"] = json!("<x>");
    };
    refused(unknown, &["tokenizer.json: \"post_processor\"", "\"<x>\" around a text, which is no token"]);
    let bert = |maker: &mut Maker| maker.tokenizer["post_processor"] = json!({"type": "BertProcessing"});
    refused(bert, &["tokenizer.json: \"post_processor\": BertProcessing does not run here"]);
}

#[test]
fn vocabularies_that_are_no_byte_level_bpe_are_refused() {
    let model = |key: &'static str, value: Value| move |maker: &mut Maker| maker.tokenizer["model"][key] = value;
    refused(model("type", json!("Unigram")), &["tokenizer.json: \"model\" is Unigram, a SentencePiece vocabulary"]);
    refused(model("byte_fallback", json!(true)), &["has byte_fallback", "only byte-level BPE"]);
    refused(model("type", json!("WordPiece")), &["\"WordPiece\""]);
    refused(model("end_of_word_suffix", json!("</w>")), &["\"model.end_of_word_suffix\": \"</w>\""]);
    refused(model("dropout", json!(0.1)), &["\"model.dropout\": 0.1"]);
    refused(model("merges", json!([["a b", "c"]])), &["\"model.merges\": merge 0 of \"a b\" and \"c\" has a space"]);
    refused(model("merges", json!([3])), &["tokenizer.json: is not the JSON that it should be"]);
    refused(model("vocab", json!([])), &["tokenizer.json: is not the JSON that it should be"]);
    let lower = |maker: &mut Maker| maker.tokenizer["normalizer"] = json!({"type": "Lowercase"});
    refused(lower, &["\"normalizer\": \"Lowercase\" changes a text"]);
    let gguf = open(|maker| maker.tokenizer["normalizer"] = json!({"type": "NFC"})).unwrap();
    assert!(said(&gguf).lines().any(|line| line.contains("not normalised")));
    // The older spelling of merges.
    let old = open(|maker| {
        let merges = maker.tokenizer["model"]["merges"].as_array_mut().unwrap();
        merges.iter_mut().for_each(|m| *m = json!(format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap())));
    });
    let list = |gguf: &Gguf| -> Vec<String> {
        gguf.required_strings("tokenizer.ggml.merges").unwrap().1.map(str::to_owned).collect()
    };
    assert_eq!(list(&old.unwrap()), list(&open(|_| {}).unwrap()));
}

#[test]
fn a_second_vocabulary_must_be_the_same() {
    let maker = Maker::tiny();
    maker.write();
    let vocab = maker.tokenizer["model"]["vocab"].clone();
    let merges: Vec<String> = maker.tokenizer["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap()))
        .collect();
    let ranks = |n: usize| (0..n).map(|i| format!("IQ== {i}\n")).collect::<String>();
    maker.file("vocab.json", vocab.to_string());
    maker.file("merges.txt", format!("#version: 0.2\n{}\n", merges.join("\n")));
    maker.file("added_tokens.json", "{\"<|end_of_text|>\": 1}");
    maker.file("tokenizer.model", ranks(1022));
    maker.open().unwrap();
    let differs = |file: &str, text: &str, parts: &[&str]| {
        let before = std::fs::read(maker.path().join(file)).unwrap();
        maker.file(file, text);
        maker.refused(&[&[&format!("{file}: differs from tokenizer.json"), "two tokenizers; remove"], parts].concat());
        maker.file(file, before);
    };
    let mut other = vocab.clone();
    other["!"] = json!(3);
    differs("vocab.json", &other.to_string(), &["token \"!\" has id 3, and there it is id 2"]);
    other["!"] = json!(2);
    other.as_object_mut().unwrap().remove("e");
    differs("vocab.json", &other.to_string(), &["it lacks token \"e\""]);
    differs("added_tokens.json", "{\"<x>\": 7}", &["token \"<x>\" has id 7, and there it is not there"]);
    differs("merges.txt", &merges[1..].join("\n"), &["line 1 is", "and merge 0 there is"]);
    differs("merges.txt", &merges[..9].join("\n"), &["it has 9 merges, and there are 766"]);
    differs("merges.txt", &format!("{}\na b", merges.join("\n")), &["line 767, \"a b\", is one more"]);
    differs("tokenizer.model", "\n\u{e}\n\u{5}<unk>\u{15}", &["it is a SentencePiece model"]);
    differs("tokenizer.model", &ranks(5), &["it has 5 tokens, and there are 1022"]);
    std::fs::remove_file(maker.path().join("tokenizer.json")).unwrap();
    maker.refused(&["tokenizer.json: is missing", "tokenizer.model alone"]);
    std::fs::remove_file(maker.path().join("tokenizer.model")).unwrap();
    maker.refused(&["tokenizer.json: is missing", "use_fast=True"]);
}
