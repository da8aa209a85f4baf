//! Which keys load, which are refused and by what words.

use super::*;
use crate::config::ModelConfig;
use crate::gguf::testing::Builder;
use crate::small_model::{assert_refused, check, whole};

const ARCH: &str = "bitnet-b1.58";

fn key(key: &str) -> String {
    format!("{ARCH}.{key}")
}

fn of_graph(gguf: &Gguf, name: &str) -> Use {
    let config = ModelConfig::shape(gguf).unwrap();
    judge(gguf, gguf.entry(&key(name)).unwrap(), Some(&config)).unwrap()
}

/// f32, as converters write them.
fn with(name: &str, value: f32) -> Builder {
    whole(ARCH).f32(&key(name), value)
}

#[test]
fn factors_that_change_nothing_are_taken_and_others_refused() {
    let root = 32f32.sqrt().recip();
    for (name, harmless, other) in [
        ("attention.scale", &[root, 0.0][..], 0.5),
        ("attention.clamp_kqv", &[0.0], 8.0),
        ("attention.max_alibi_bias", &[0.0], 8.0),
        ("attention.temperature_scale", &[0.0], 0.1),
        ("logit_scale", &[1.0, 0.0], 0.5),
        ("embedding_scale", &[1.0, 0.0], 12.0),
        ("residual_scale", &[1.0, 0.0], 0.2),
        ("attn_logit_softcapping", &[0.0], 50.0),
        ("final_logit_softcapping", &[0.0], 30.0),
        ("rope.scaling.attn_factor", &[1.0], 0.1),
        ("rope.freq_base_swa", &[10000.0], 500_000.0),
        ("attention.layer_norm_epsilon", &[1e-5, 1e-6], f32::NAN),
    ] {
        harmless.iter().for_each(|&value| check(with(name, value)).unwrap());
        if other.is_finite() {
            assert_refused(with(name, other), &[&key(name), "at byte", "expected ", &format!("found f32 {other}")]);
            assert_refused(with(name, f32::NAN), &[&key(name), "found f32 NaN"]);
        }
    }
}

#[test]
fn sizes_that_follow_from_the_shape_are_taken_and_others_refused() {
    for (name, harmless, other) in [
        ("attention.value_length", &[32][..], 64),
        ("embedding_length_out", &[128], 64),
        // The context is 16.
        ("attention.sliding_window", &[0, 16, 4096], 8),
        ("expert_count", &[0], 8),
        ("expert_used_count", &[0], 2),
        ("nextn_predict_layers", &[0], 1),
        ("pooling_type", &[0], 1),
        ("rescale_every_n_layers", &[0], 6),
    ] {
        let with = |value| whole(ARCH).u32(&key(name), value);
        harmless.iter().for_each(|&value| check(with(value)).unwrap());
        assert_refused(with(other), &[&key(name), "at byte", &format!("found u32 {other}")]);
    }
    check(whole(ARCH).u32(&key("leading_dense_block_count"), 1)).unwrap();
    check(whole(ARCH).i32s(&key("rope.dimension_sections"), &[0, 0, 0, 0])).unwrap();
    assert_refused(whole(ARCH).i32s(&key("rope.dimension_sections"), &[16, 24, 24, 0]), &["dimension_sections"]);
}

#[test]
fn switches_and_texts() {
    let switch = |name: &str, on| whole(ARCH).bool(&key(name), on);
    check(switch("attention.causal", true)).unwrap();
    let parts = ["attention.causal", "expected true, found bool false", "no other model runs here"];
    assert_refused(switch("attention.causal", false), &parts);
    check(switch("use_parallel_residual", false)).unwrap();
    assert_refused(switch("use_parallel_residual", true), &["use_parallel_residual"]);
    assert_refused(whole(ARCH).string(&key("attention.causal"), "true"), &["found string \"true\""]);
    let layout = key("tensor_data_layout");
    for (key, harmless, other) in
        [(&*layout, "reference", "Meta AI original pth"), ("general.type", "model", "adapter")]
    {
        check(whole(ARCH).string(key, harmless)).unwrap();
        assert_refused(whole(ARCH).string(key, other), &[key, &format!("\"{other}\"")]);
    }
}

/// Converters rarely write it, and another function is another model.
#[test]
fn the_activation_function_must_be_the_architectures() {
    for (arch, own, other) in [(ARCH, &["relu2"][..], "silu"), ("bitnet", &["silu", "swish"], "relu2")] {
        for name in ["hidden_activation", "hidden_act"] {
            let with = |value: &str| whole(arch).string(&format!("{arch}.{name}"), value);
            own.iter().for_each(|own| check(with(own)).unwrap());
            let wanted = format!("expected \"{}\", found string \"{other}\"", own[0]);
            assert_refused(with(other), &[name, "at byte", &wanted, "goes with the architecture"]);
            assert_refused(whole(arch).u32(&format!("{arch}.{name}"), 1), &[name, "found u32 1"]);
        }
    }
}

/// Keys of any prefix: what they mean does not depend on who wrote them.
#[test]
fn keys_about_hadamard_matrices_are_refused() {
    for key in ["prism.hadamard.block", "bitnet-b1.58.attn.hadamard_size", "general.Hadamard"] {
        assert_refused(whole(ARCH).u32(key, 64), &[key, "at byte", "Hadamard matrix", "garbage"]);
    }
}

/// A missing type means linear, the older key too; 1 and 0 are no scaling.
#[test]
fn rotary_scaling_is_one_question_in_three_keys() {
    for name in ["rope.scaling.factor", "rope.scale_linear"] {
        check(with(name, 1.0)).unwrap();
        check(with(name, 0.0)).unwrap();
        check(with(name, 1.0).string(&key("rope.scaling.type"), "linear")).unwrap();
        check(with(name, 4.0).string(&key("rope.scaling.type"), "none")).unwrap();
        assert_refused(with(name, 4.0), &[&key(name), "\"linear\" by 4 is not supported", "without rope.scaling.type"]);
        let written_out = with(name, 4.0).string(&key("rope.scaling.type"), "linear");
        assert_refused(written_out, &[&key(name), "\"linear\" by 4 is not supported: "]);
        assert_refused(with(name, f32::NAN), &[&key(name)]);
        assert_refused(whole(ARCH).string(&key(name), "4"), &[&key(name), "expected a number"]);
    }
    // A hidden factor beside a harmless one.
    let both = with("rope.scaling.factor", 1.0).f32(&key("rope.scale_linear"), 4.0);
    assert_refused(both, &["rope.scale_linear", "by 4"]);
    let longrope = || whole(ARCH).string(&key("rope.scaling.type"), "longrope");
    assert_refused(longrope(), &["rope.scaling.type", "\"longrope\" by 1"]);
    assert_refused(longrope().f32(&key("rope.scaling.factor"), 2.0), &["\"longrope\" by 2", "1 more keys like this"]);
    check(whole(ARCH).string(&key("rope.scaling.type"), "yarn").f32(&key("rope.scaling.factor"), 2.0)).unwrap();
    assert_refused(whole(ARCH).u32(&key("rope.scaling.type"), 1), &["rope.scaling.type", "expected a string"]);
    check(whole(ARCH).u32(&key("rope.scaling.original_context_length"), 4096)).unwrap();
    check(with("rope.scaling.yarn_beta_fast", 32.0).bool(&key("rope.scaling.finetuned"), true)).unwrap();
}

#[test]
fn unknown_keys_of_the_architecture_are_refused_and_those_of_others_are_not() {
    let parts = ["\"bitnet-b1.58.magic_scale\" at byte", "does not know the key", "--remove-metadata"];
    assert_refused(with("magic_scale", 1.0), &parts);
    check(whole(ARCH).f32("llama.attention.scale", 0.5).string("quantize.imatrix.file", "f")).unwrap();
    check(whole(ARCH).string("general.sampling.temp", "0.7").strings::<&str>("general.tags", &[])).unwrap();
    let list = whole(ARCH).array(&key("logit_scale"), 6, 1, &2f32.to_le_bytes());
    assert_refused(list, &["logit_scale", "array of 1 f32"]);
    assert_refused(whole(ARCH).strings(&key("logit_scale"), &["1"]), &["logit_scale", "array of 1 string"]);
}

#[test]
fn each_key_is_said_to_be_used_harmless_or_refused() {
    let builder = with("logit_scale", 1.0).f32(&key("embedding_scale"), 12.0).f32(&key("attention.scale"), 0.0);
    let gguf = Gguf::from_bytes("m", builder.build()).unwrap();
    assert_eq!(of_graph(&gguf, "vocab_size"), Use::Used);
    assert_eq!(of_graph(&gguf, "logit_scale"), Use::Harmless("logits are not scaled"));
    assert!(matches!(of_graph(&gguf, "embedding_scale"), Use::Refused(what) if what.contains("found f32 12")));
    // What needs the shape is not judged without it.
    assert_eq!(judge(&gguf, gguf.entry(&key("attention.scale")).unwrap(), None), None);
}

/// A row whose key is spelled twice, or that another hides, would never be met.
#[test]
fn each_key_has_one_row() {
    for rows in [GRAPH, TOKENIZER, SPLIT] {
        for (i, row) in rows.iter().enumerate() {
            assert!(!rows[..i].iter().any(|before| before.is_for(row.key)), "{}", row.key);
        }
    }
}
