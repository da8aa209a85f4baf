//! config.json: the shape of the model as the metadata keys that a converter would write.

use super::header::Header;
use super::json::{Object, found};
use super::quantization::Quantization;
use super::settings;
use crate::error::{Error, Result};
use serde_json::Value;

/// A class of `transformers`, its `model_type`, and by activation function the architecture of GGUF.
struct Class {
    name: &'static str,
    model_type: &'static str,
    architectures: &'static [(&'static str, &'static str)],
}

static CLASSES: [Class; 3] = [
    Class {
        name: "BitNetForCausalLM",
        model_type: "bitnet",
        architectures: &[("relu2", "bitnet-b1.58"), ("silu", "bitnet")],
    },
    Class { name: "LlamaForCausalLM", model_type: "llama", architectures: &[("silu", "llama")] },
    Class { name: "Qwen3ForCausalLM", model_type: "qwen3", architectures: &[("silu", "qwen3")] },
];

/// What the tensors and the vocabulary are held against.
pub struct Facts {
    /// Rows of the embedding.
    pub vocab: u32,
    /// Whether the output head is the embedding; `None` where config.json does not say.
    pub tied: Option<bool>,
    /// How the matrices became ternary.
    pub quantization: Quantization,
}

/// The key that says how rotated dimensions are paired, and its value for a folder: `transformers` pairs dimension i of
/// a head with i + half, whatever the architecture, while a GGUF file of `llama` has its rows permuted for neighbours.
const ROPE_KEY: &str = "tritbench.rope";
const ROPE: &str = "neox";

/// Writes the shape's keys, and refuses what would make another model.
pub fn read(config: &Object, name: &str, header: &mut Header) -> Result<Facts> {
    let (class, architecture) = class(config)?;
    settings::check(config)?;
    header.string("general.architecture", architecture, "config.json: architectures and hidden_act");
    header.string("general.name", name, "the folder's name");
    header.string(ROPE_KEY, ROPE, "the folder's tensors");
    let of = |key: &str| format!("{architecture}.{key}");
    let mut count = |key: &str, field: &str, next: &str| -> Result<u32> {
        let value = config.required_count(field, next)?;
        header.u32(&of(key), value, &format!("config.json: {field}"));
        Ok(value)
    };
    let vocab = count("vocab_size", "vocab_size", "the rows of model.embed_tokens.weight")?;
    count("context_length", "max_position_embeddings", "the most tokens it was trained on")?;
    let width = count("embedding_length", "hidden_size", "the width of model.embed_tokens.weight")?;
    count("block_count", "num_hidden_layers", "the number of blocks")?;
    count("feed_forward_length", "intermediate_size", "the rows of mlp.up_proj")?;
    let heads = count("attention.head_count", "num_attention_heads", "the number of attention heads")?;
    let kv_heads = "the number of key/value heads (as many as heads, where keys and values are not shared)";
    count("attention.head_count_kv", "num_key_value_heads", kv_heads)?;
    let head_width = match config.count("head_dim")? {
        Some(width) => {
            header.u32(&of("attention.key_length"), width, "config.json: head_dim");
            header.u32(&of("attention.value_length"), width, "config.json: head_dim");
            Some(width)
        }
        // The class has a width of its own, which does not follow from the model's.
        None if architecture == "qwen3" => return Err(config.missing("head_dim", "the width of a head (128 in Qwen3)")),
        None => width.checked_div(heads),
    };
    if let Some(width) = head_width {
        header.u32(&of("rope.dimension_count"), width, "config.json: head_dim, or hidden_size / num_attention_heads");
    }
    header.f32(&of("rope.freq_base"), rope_theta(config)?, "config.json: rope_theta");
    let next = "the epsilon of its RMS norms (1e-5 in BitNet 2B-4T and Llama, 1e-6 in Qwen3)";
    let eps = config.number("rms_norm_eps")?.ok_or_else(|| config.missing("rms_norm_eps", next))?;
    header.f32(&of("attention.layer_norm_rms_epsilon"), eps as f32, "config.json: rms_norm_eps");
    let quantization = Quantization::read(config, class.model_type == "bitnet")?;
    Ok(Facts { vocab, tied: config.bool("tie_word_embeddings")?, quantization })
}

/// The class and the architecture that `architectures`, `model_type` and `hidden_act` say together.
fn class(config: &Object) -> Result<(&'static Class, &'static str)> {
    let names: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
    let names = names.join(", ");
    let known = format!("known: {names}");
    let by_type = config.text("model_type")?;
    let class = match config.texts("architectures")?[..] {
        [name] => {
            let class = CLASSES.iter().find(|class| class.name == name);
            class.ok_or_else(|| {
                config.error("architectures", format!("{} does not run here; {known}", found(&name.into())))
            })?
        }
        [] => {
            let Some(name) = by_type else { return Err(config.missing("architectures", format!("one of {names}"))) };
            let class = CLASSES.iter().find(|class| class.model_type == name);
            class.ok_or_else(|| {
                config.error("model_type", format!("{} does not run here; {known}", found(&name.into())))
            })?
        }
        _ => return Err(config.error("architectures", format!("names several models; {known}"))),
    };
    if let Some(other) = by_type.filter(|other| *other != class.model_type) {
        let what = format!("{} contradicts architectures, which says {}", found(&other.into()), class.name);
        return Err(config.error("model_type", what));
    }
    let acts: Vec<&str> = class.architectures.iter().map(|row| row.0).collect();
    let acts = acts.join(" or ");
    let Some(act) = config.text("hidden_act")? else {
        return Err(config.missing("hidden_act", format!("the activation function, {acts} with {}", class.name)));
    };
    let architecture = class.architectures.iter().find(|row| row.0 == act);
    let unknown = || format!("{} does not run here with {}; known: {acts}", found(&act.into()), class.name);
    Ok((class, architecture.ok_or_else(|| config.error("hidden_act", unknown()))?.1))
}

/// The base of the rotary angles, from `rope_theta` or, as newer versions write it, from `rope_parameters`. Scaled
/// angles are refused.
fn rope_theta(config: &Object) -> Result<f32> {
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(scaling) = config.object(key)? {
            check_unscaled(&scaling)?;
        }
    }
    let newer = config.object("rope_parameters")?.map(|inside| inside.number("rope_theta")).transpose()?.flatten();
    let theta = match (config.number("rope_theta")?, newer) {
        (Some(one), Some(other)) if one != other => {
            let what = format!("{one} contradicts rope_parameters.rope_theta, which is {other}");
            return Err(config.error("rope_theta", what));
        }
        (one, other) => one.or(other),
    };
    let next = "the base of the rotary angles (10000 is what transformers takes for Llama)";
    Ok(theta.ok_or_else(|| config.missing("rope_theta", next))? as f32)
}

fn check_unscaled(scaling: &Object) -> Result<()> {
    for (key, value) in scaling.entries() {
        let met = match key {
            "rope_type" | "type" => value == "default",
            "rope_theta" => true,
            "factor" | "partial_rotary_factor" => value.as_f64() == Some(1.0),
            _ => false,
        };
        if !met {
            return Err(scaled(scaling, key, value));
        }
    }
    Ok(())
}

fn scaled(scaling: &Object, key: &str, value: &Value) -> Error {
    let what = "changes the rotary angles, which are not scaled here";
    scaling.error(key, format!("{} {what}; only \"rope_type\": \"default\" and null run", found(value)))
}
