//! What each line of config.json does, and by what words it is refused.

use super::testing::Maker;
use crate::config::ModelConfig;
use serde_json::{Value, json};

fn refused(key: &str, value: Value, parts: &[&str]) {
    let mut maker = Maker::tiny();
    maker.set(key, value);
    maker.write_refused(&[&["config.json", &format!("\"{key}")], parts].concat());
}

fn taken(key: &str, value: Value) {
    let mut maker = Maker::tiny();
    maker.set(key, value);
    maker.write();
    maker.open().unwrap_or_else(|e| panic!("{key}: {e}"));
}

#[test]
fn the_shape_becomes_metadata() {
    let maker = Maker::tiny();
    maker.write();
    let gguf = maker.open().unwrap();
    let c = ModelConfig::shape(&gguf).unwrap();
    assert_eq!((c.vocab, c.context, c.dim, c.layers, c.ffn), (1024, 64, 8, 1, 16));
    assert_eq!((c.heads, c.kv_heads, c.rope_dims, c.rope_theta, c.rms_eps), (2, 1, 4, 500_000.0, 1e-5));
    assert!(c.assumed.is_empty());
    assert_eq!(c.name, maker.path().file_name().unwrap().to_str().unwrap());
    // A fault of the shape names the field of config.json.
    let mut maker = Maker::tiny();
    maker.set("num_key_value_heads", json!(3));
    maker.write();
    let error = ModelConfig::shape(&maker.open().unwrap()).unwrap_err().to_string();
    assert!(error.contains("(config.json: num_key_value_heads): 3 key/value heads do not divide 2"), "{error}");
}

#[test]
fn architectures_follow_from_class_and_activation() {
    let architecture = |class: &str, kind: &str, act: &str| {
        let mut maker = Maker::tiny();
        maker.set("architectures", json!([class]));
        maker.set("model_type", json!(kind));
        maker.set("hidden_act", json!(act));
        maker.set("head_dim", json!(4));
        maker.write();
        let gguf = maker.open().unwrap();
        let name = gguf.optional_string("general.architecture").unwrap().unwrap().to_owned();
        assert_eq!(gguf.optional_u32(&format!("{name}.attention.key_length")).unwrap(), Some(4));
        name
    };
    assert_eq!(architecture("BitNetForCausalLM", "bitnet", "relu2"), "bitnet-b1.58");
    assert_eq!(architecture("BitNetForCausalLM", "bitnet", "silu"), "bitnet");
    assert_eq!(architecture("LlamaForCausalLM", "llama", "silu"), "llama");
    assert_eq!(architecture("Qwen3ForCausalLM", "qwen3", "silu"), "qwen3");
    taken("architectures", Value::Null);
    refused(
        "architectures",
        json!(["GPT2LMHeadModel"]),
        &["\"GPT2LMHeadModel\" does not run here", "Qwen3ForCausalLM"],
    );
    refused("architectures", json!(["LlamaForCausalLM", "x"]), &["names several models"]);
    refused("architectures", json!(7), &["expected a list of texts, found 7"]);
    refused("model_type", json!("llama"), &["\"llama\" contradicts architectures, which says BitNetForCausalLM"]);
    refused("hidden_act", json!("gelu"), &["\"gelu\" does not run here with BitNetForCausalLM; known: relu2 or silu"]);
    let mut maker = Maker::tiny();
    maker.set("architectures", Value::Null);
    maker.set("model_type", json!("gpt2"));
    maker.write_refused(&["\"model_type\": \"gpt2\" does not run here"]);
    maker.set("model_type", Value::Null);
    maker.write_refused(&["\"architectures\": is missing; write one of BitNetForCausalLM, "]);
    let mut maker = Maker::tiny();
    maker.set("architectures", json!(["Qwen3ForCausalLM"]));
    maker.set("model_type", json!("qwen3"));
    maker.set("hidden_act", json!("silu"));
    maker.write_refused(&["\"head_dim\": is missing; write the width of a head"]);
}

#[test]
fn keys_that_are_missing_are_named() {
    for (key, next) in [
        ("vocab_size", "the rows of model.embed_tokens.weight"),
        ("max_position_embeddings", "the most tokens"),
        ("hidden_size", "the width of"),
        ("num_hidden_layers", "the number of blocks"),
        ("intermediate_size", "the rows of mlp.up_proj"),
        ("num_attention_heads", "attention heads"),
        ("num_key_value_heads", "as many as heads"),
        ("rope_theta", "base of the rotary angles"),
        ("rms_norm_eps", "epsilon"),
        ("hidden_act", "relu2 or silu"),
    ] {
        refused(key, Value::Null, &["is missing; write", next]);
    }
    refused("hidden_size", json!(2.5), &["expected a count, found 2.5"]);
    refused("vocab_size", json!(u64::MAX), &["expected a count"]);
    let mut maker = Maker::tiny();
    maker.write();
    maker.file("config.json", "[]");
    maker.refused(&["config.json: is not the JSON that it should be", "expected a map"]);
    maker.set("vocab_size", json!(u32::MAX));
    maker.write_refused(&["vocab_size 4294967295, above"]);
}

#[test]
fn keys_that_change_nothing_are_taken_and_others_refused_by_name() {
    for (key, value) in [
        ("use_cache", json!(true)),
        ("pretraining_tp", json!(1)),
        ("attention_bias", json!(false)),
        ("sliding_window", json!(4096)),
        ("use_sliding_window", json!(false)),
        ("layer_types", json!(["full_attention"])),
        ("unsloth_version", json!("2026.1")),
        ("partial_rotary_factor", json!(1.0)),
        ("some_new_key", Value::Null),
        ("rope_scaling", json!({"rope_type": "default"})),
        ("rope_parameters", json!({"rope_type": "default", "rope_theta": 500000.0})),
        ("tie_word_embeddings", Value::Null),
    ] {
        taken(key, value);
    }
    for (key, value, part) in [
        ("attention_bias", json!(true), "expected false, 0 or nothing, found true: no projection has a bias"),
        ("use_sliding_window", json!(true), "attention sees the whole context"),
        ("layer_types", json!(["full_attention", "sliding_attention"]), "expected a list of full_attention"),
        ("num_experts", json!(8), "there are no experts"),
        ("partial_rotary_factor", json!(0.5), "expected 1, found 0.5"),
        ("some_new_key", json!(2), "does not know the key"),
        ("quantization", json!({"group_size": 128, "bits": 2}), "an MLX model"),
        ("tie_word_embeddings", json!(1), "expected true or false, found 1"),
    ] {
        refused(key, value, &[part]);
    }
    refused(
        "rope_scaling",
        json!({"rope_type": "yarn", "factor": 1.0}),
        &[".rope_type\": \"yarn\"", "not scaled here"],
    );
    refused("rope_scaling", json!({"type": "linear", "factor": 2.0}), &["changes the rotary angles"]);
    refused("rope_scaling", json!("linear"), &["expected an object, found \"linear\""]);
    refused("rope_theta", json!("x"), &["expected a number"]);
    let mut maker = Maker::tiny();
    maker.set("rope_parameters", json!({"rope_theta": 1.0}));
    maker.write_refused(&["\"rope_theta\": 500000 contradicts rope_parameters.rope_theta, which is 1"]);
    maker.set("rope_theta", Value::Null);
    maker.write();
    assert_eq!(ModelConfig::shape(&maker.open().unwrap()).unwrap().rope_theta, 1.0);
}

#[test]
fn quantization_config_is_understood_or_refused() {
    let with = |key: &str, value: Value, parts: &[&str]| {
        let mut maker = Maker::tiny();
        maker.config["quantization_config"][key] = value;
        maker.write_refused(&[&["config.json", &format!("\"quantization_config.{key}\"")], parts].concat());
    };
    with("quant_method", json!("gptq"), &["\"gptq\" is not read here; known: bitnet"]);
    with("quant_method", Value::Null, &["is missing; write \"bitnet\""]);
    with("linear_class", json!("linear"), &["\"linear\" is not read here; known: bitlinear or autobitlinear"]);
    with("quantization_mode", json!("later"), &["known: offline or online"]);
    with("use_rms_norm", json!(true), &["a norm of its own"]);
    with("modules_to_not_convert", json!(["model.layers.0.mlp.up_proj"]), &["stays unquantised"]);
    with("modules_to_not_convert", json!(["mlp"]), &["stays unquantised"]);
    with("group_size", json!(128), &["does not know the key"]);
    let mut maker = Maker::tiny();
    for (key, value) in
        [("modules_to_not_convert", json!(["lm_head"])), ("use_rms_norm", json!(false)), ("rms_norm_eps", json!(1e-6))]
    {
        maker.config["quantization_config"][key] = value;
    }
    maker.write();
    maker.open().unwrap();
}
