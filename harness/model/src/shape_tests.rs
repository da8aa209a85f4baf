//! Shapes that are read, and those that are refused by key and place.

use super::*;
use crate::arch::{Activation, Pairing};
use crate::gguf::testing::Builder;
use crate::small_model::{assert_refused, check, metadata, whole};

const ARCH: &str = "bitnet-25";

fn key(key: &str) -> String {
    format!("{ARCH}.{key}")
}

fn config(builder: &Builder) -> Result<ModelConfig> {
    ModelConfig::from_gguf(&Gguf::from_bytes("m", builder.build())?)
}

#[test]
fn the_builtin_model_and_small_ones_have_their_shape() {
    let gguf = crate::builtin::open().unwrap();
    let c = ModelConfig::from_gguf(&gguf).unwrap();
    assert_eq!((c.vocab, c.context, c.dim, c.layers, c.ffn), (1024, 512, 512, 3, 1024));
    assert_eq!((c.heads, c.kv_heads, c.head_dim, c.rope_dims), (8, 2, 64, 64));
    assert!(c.assumed.is_empty());
    arch::names().for_each(|arch| check(whole(arch)).unwrap());
}

/// A head's width is the file's, so queries may be wider or narrower than the residual stream.
#[test]
fn heads_may_have_a_width_of_their_own() {
    let wide = |arch: &str| {
        let key = |k: &str| format!("{arch}.{k}");
        let builder = metadata(arch).without_key(&key("rope.dimension_count"));
        builder.u32(&key("attention.key_length"), 64).u32(&key("attention.value_length"), 64)
    };
    for arch in ["qwen3", "llama", "bitnet"] {
        let c = config(&wide(arch)).unwrap();
        assert_eq!((c.head_dim, c.q_dim(), c.kv_dim(), c.rope_dims), (64, 256, 128, 64));
        let dims = |name: &str| graph::required_tensors(&c).find(|t| t.0 == format!("blk.0.{name}.weight")).unwrap().2;
        assert_eq!(
            (dims("attn_q"), dims("attn_k"), dims("attn_output")),
            (vec![128, 256], vec![128, 128], vec![256, 128])
        );
    }
    let key = "qwen3.attention.value_length";
    assert_refused(
        wide("qwen3").without_key(key).u32(key, 32),
        &[key, "the head's width 64", "all heads have one width"],
    );
    assert_refused(wide("qwen3").u32("qwen3.rope.dimension_count", 32), &["rotated dimensions", "head's width 64"]);
}

#[test]
fn architectures_differ_as_their_table_says() {
    let c = |arch: &str, output: bool| {
        let builder = whole(arch);
        let builder = if output { builder.zeros("output.weight", &[128, 8], 1) } else { builder };
        config(&builder).unwrap()
    };
    for (arch, norms, activation, pairing) in [
        ("bitnet-b1.58", (true, false), Activation::ReluSquared, Pairing::Halves),
        ("bitnet", (true, false), Activation::Silu, Pairing::Halves),
        ("llama", (false, false), Activation::Silu, Pairing::Neighbours),
        ("qwen3", (false, true), Activation::Silu, Pairing::Halves),
    ] {
        let found = c(arch, false);
        assert_eq!(((found.sub_norms, found.qk_norms), found.activation, found.pairing), (norms, activation, pairing));
        assert!(found.tied);
    }
    let own_head = |arch| check(whole(arch).zeros("output.weight", &[128, 8], 1));
    assert!(!c("qwen3", true).tied && !c("llama", true).tied && c("bitnet", true).tied);
    own_head("qwen3").unwrap();
    own_head("llama").unwrap();
    let builder = whole("bitnet").zeros("output.weight", &[128, 8], 1);
    assert_refused(builder, &["output.weight", "not part of this graph"]);
}

#[test]
fn architectures_that_do_not_run_are_refused_with_what_is_missing() {
    for (arch, missing) in [
        ("maple", "it is a mixture of experts"),
        ("qwen3moe", "it is a mixture of experts"),
        ("qwen35", "a gated delta net in place of attention"),
        ("qwen2", "biases to queries, keys and values"),
        ("gemma3", "GELU"),
        ("t5", "is not supported; supported: bitnet-b1.58, bitnet-25, bitnet, llama, qwen3"),
    ] {
        let named = format!("architecture \"{arch}\" is not supported");
        assert_refused(metadata(arch), &["general.architecture", "at byte", &named, missing]);
    }
    // A key that a plain load would ignore, in an architecture that would run and in one that would not.
    for arch in ["qwen3", "qwen35"] {
        let builder = metadata(arch).strings("prism.hadamard.tensors", &["blk.0.ffn_down"]);
        assert_refused(builder, &["prism.hadamard.tensors", "at byte", "Hadamard matrix", "garbage"]);
    }
}

#[test]
fn yarn_is_read_whole_or_refused() {
    let key = |k: &str| format!("qwen3.rope.scaling.{k}");
    let yarn = || metadata("qwen3").string(&key("type"), "yarn").f32(&key("factor"), 4.0);
    let original = |n| yarn().u32(&key("original_context_length"), n);
    let want = Yarn { factor: 4.0, original_context: 4, beta_fast: 32.0, beta_slow: 1.0 };
    assert_eq!(config(&original(4)).unwrap().yarn, Some(want));
    let beta = original(4).f32(&key("yarn_beta_fast"), 16.0).f32(&key("yarn_beta_slow"), 2.0);
    assert_eq!(config(&beta).unwrap().yarn, Some(Yarn { beta_fast: 16.0, beta_slow: 2.0, ..want }));
    let assumed = config(&yarn()).unwrap();
    assert_eq!(assumed.yarn, Some(Yarn { original_context: 16, ..want }));
    assert!(assumed.assumed[0].contains("16 is assumed, the context"), "{:?}", assumed.assumed);
    assert_refused(yarn().without_key(&key("factor")), &["rope.scaling.factor", "is missing", "rope_scaling"]);
    let refused = |value| yarn().without_key(&key("factor")).f32(&key("factor"), value);
    assert_refused(refused(0.5), &["rope.scaling.factor", "0.5 is below 1"]);
    assert_refused(refused(f32::NAN), &["rope.scaling.factor", "not a finite number"]);
    assert_refused(original(0), &["original_context_length", "0 is not between 1 and"]);
    for name in ["yarn_ext_factor", "yarn_attn_factor"] {
        config(&original(4).f32(&key(name), 1.0)).unwrap();
        assert_refused(original(4).f32(&key(name), 0.5), &[name, "expected 1"]);
    }
    assert_refused(original(4).f32(&key("yarn_log_multiplier"), 0.1), &["yarn_log_multiplier", "expected 0"]);
}

#[test]
fn inconsistent_metadata_is_named() {
    let swap = |key: &str, value: u32| whole(ARCH).without_key(&self::key(key)).u32(&self::key(key), value);
    assert_refused(swap("attention.head_count_kv", 3), &["head_count_kv", "at byte", "do not divide 4"]);
    assert_refused(swap("rope.dimension_count", 16), &["rope.dimension_count", "head's width 32"]);
    assert_refused(swap("embedding_length", 0), &["embedding_length", "not between 1 and"]);
    assert_refused(swap("block_count", u32::MAX), &["block_count", "not between 1 and"]);
    assert_refused(swap("block_count", 2), &["\"blk.1.attn_norm.weight\" is missing", "10 more tensors"]);
    assert_refused(swap("vocab_size", 9), &["token_embd.weight", "[128, 8]", "[128, 9]"]);
    let wider = whole(ARCH).u32(&key("attention.key_length"), 64);
    assert_refused(wider, &["rope.dimension_count", "32 rotated dimensions", "head's width 64"]);
}

/// The format's defaults, and what follows from other keys.
#[test]
fn optional_keys_have_defaults_that_are_said() {
    for (left_out, value) in [
        ("vocab_size", "8 is assumed, the rows of token_embd.weight"),
        ("rope.freq_base", "10000 is assumed, the format's default"),
        ("rope.dimension_count", "32 is assumed, the width of a head"),
        ("attention.head_count_kv", "4 is assumed, as many as heads"),
    ] {
        let found = config(&whole(ARCH).without_key(&key(left_out))).unwrap();
        assert_eq!(found.assumed, [format!("\"{}\" is not in the file: {value}", key(left_out))]);
        let kv_heads = if left_out == "attention.head_count_kv" { 4 } else { 2 };
        let stated = config(&whole(ARCH)).unwrap();
        assert_eq!(found, ModelConfig { kv_heads, assumed: found.assumed.clone(), ..stated });
    }
    let tokens = metadata(ARCH).without_key(&key("vocab_size")).strings("tokenizer.ggml.tokens", &["a", "b"]);
    let found = config(&tokens).unwrap();
    assert_eq!(found.vocab, 2);
    assert!(found.assumed[0].contains("2 is assumed, the number of tokens"), "{:?}", found.assumed);
}

#[test]
fn keys_without_a_default_say_what_to_write() {
    let refused = |left_out: &str, parts: &[&str]| {
        let parts = [&["is missing; write", left_out], parts].concat();
        assert_refused(whole(ARCH).without_key(&key(left_out)), &parts);
    };
    refused("embedding_length", &["write 128, the width of token_embd.weight"]);
    refused("feed_forward_length", &["write 256, the rows of blk.0.ffn_up.weight"]);
    refused("block_count", &["write 1, the number of blocks"]);
    refused("context_length", &["max_position_embeddings"]);
    refused("attention.head_count", &["num_attention_heads"]);
    refused("attention.layer_norm_rms_epsilon", &["rms_norm_eps", "1e-5"]);
    assert_refused(metadata(ARCH).without_key("general.architecture"), &["is missing; write bitnet-b1.58"]);
    let empty = metadata(ARCH).without_key(&key("vocab_size")).strings::<&str>("tokenizer.ggml.tokens", &[]);
    assert_refused(empty, &["vocab_size", "0 is not between 1 and"]);
    assert_refused(metadata(ARCH).without_key(&key("vocab_size")), &["vocab_size", "write the number of tokens"]);
}

#[test]
fn one_size_for_all_blocks_may_be_a_list() {
    let heads = |values: &[i32]| {
        let key = key("attention.head_count_kv");
        whole(ARCH).without_key(&key).i32s(&key, values)
    };
    assert_eq!(config(&heads(&[2, 2, 2])).unwrap().kv_heads, 2);
    for other in [&[2, 4][..], &[], &[-2]] {
        assert_refused(heads(other), &["head_count_kv", "expected one number for all blocks", "array of"]);
    }
}

#[test]
fn shards_are_told_how_to_become_a_file() {
    let shard = |name: &str, builder: Builder| {
        let gguf = Gguf::from_bytes(name, builder.build()).unwrap();
        ModelConfig::from_gguf(&gguf).unwrap_err().to_string()
    };
    // The later ones have no other metadata.
    let second = Builder::new().u32("split.no", 1).u32("split.count", 2);
    let line = shard("a/m-00002-of-00002.gguf", second);
    assert!(line.contains("shard 2 of 2; merge them (llama-gguf-split --merge m-00001-of-00002.gguf m.gguf)"));
    let line = shard("renamed.gguf", whole(ARCH).u32("split.no", 0).u32("split.count", 3));
    assert!(line.contains("shard 1 of 3; merge them (llama-gguf-split --merge FIRST_SHARD"), "{line}");
    for whole_file in [0, 1] {
        config(&whole(ARCH).u32("split.no", 0).u32("split.count", whole_file)).unwrap();
    }
}
