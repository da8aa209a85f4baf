//! What each key of config.json means here: it is used, it changes nothing, or it is refused.
//!
//! As with the metadata of a GGUF file, a key that changes the model and is ignored gives wrong numbers without a word,
//! so a key that is not in the table is refused by name.

use super::json::{Object, found};
use crate::error::{Error, Result};
use serde_json::Value;

/// The condition on a key's value under which the model runs here.
#[derive(Clone, Copy)]
enum Rule {
    /// None: read by `config.rs` or `special.rs`, which judge it.
    Used,
    /// None: changes nothing here.
    Harmless,
    /// Must be false, 0 or empty.
    Off,
    /// Must be 1.
    One,
    /// Every text of the list must be this one.
    All(&'static str),
    /// Stands for another model whatever its value.
    Never,
}

/// Keys (or the start of some, with a `*`), the condition, and why the model is another one if it is not met.
static KEYS: &[(&[&str], Rule, &str)] = &[
    (
        &[
            "architectures",
            "model_type",
            "hidden_act",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "rms_norm_eps",
            "rope_theta",
            "rope_scaling",
            "rope_parameters",
            "max_position_embeddings",
            "vocab_size",
            "tie_word_embeddings",
            "quantization_config",
            "bos_token_id",
            "eos_token_id",
        ],
        Rule::Used,
        "",
    ),
    // Which program wrote the file and how, and what only training or sampling uses.
    (
        &[
            "_*",
            "auto_map",
            "torch_dtype",
            "dtype",
            "transformers_version",
            "transformers.*",
            "torchscript",
            "unsloth*",
            "use_cache",
            "initializer_range",
            "attention_dropout",
            "hidden_dropout",
            "resid_pdrop",
            "embd_pdrop",
            "use_bfloat16",
            "output_*",
            "return_dict*",
            "id2label",
            "label2id",
            "problem_type",
            "finetuning_task",
            "task_specific_params",
            "tokenizer_class",
            "pad_token_id",
            "sep_token_id",
            "cls_token_id",
            "decoder_start_token_id",
            "prefix",
            "pretraining_tp",
            "chunk_size_feed_forward",
            "gradient_checkpointing",
            "max_length",
            "min_length",
            "do_sample",
            "early_stopping",
            "num_beams",
            "num_beam_groups",
            "num_return_sequences",
            "diversity_penalty",
            "length_penalty",
            "temperature",
            "top_k",
            "top_p",
            "typical_p",
            "repetition_penalty",
            "encoder_no_repeat_ngram_size",
            "no_repeat_ngram_size",
            "exponential_decay_length_penalty",
            "bad_words_ids",
            "begin_suppress_tokens",
            "suppress_tokens",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "remove_invalid_values",
            "tf_legacy_loss",
        ],
        Rule::Harmless,
        "",
    ),
    // Read only with `use_sliding_window`, which must be off.
    (&["sliding_window", "max_window_layers"], Rule::Harmless, ""),
    (&["use_sliding_window"], Rule::Off, "attention sees the whole context in every block"),
    (&["layer_types"], Rule::All("full_attention"), "attention sees the whole context in every block"),
    (&["attention_bias", "mlp_bias", "bias", "qkv_bias", "use_bias"], Rule::Off, "no projection has a bias"),
    (&["is_encoder_decoder", "add_cross_attention", "cross_attention_hidden_size"], Rule::Off, "there is no encoder"),
    (&["is_decoder", "tie_encoder_decoder"], Rule::Harmless, ""),
    (&["pruned_heads"], Rule::Off, "all heads are there"),
    (&["partial_rotary_factor"], Rule::One, "all dimensions of a head are rotated"),
    (&["num_experts*", "num_local_experts", "moe_*"], Rule::Off, "there are no experts"),
    (&["logits_soft_cap", "attn_logit_softcapping", "final_logit_softcapping"], Rule::Off, "no logits are capped"),
    (&["quantization"], Rule::Never, "an MLX model, whose groups have a scale and a bias; download its GGUF file"),
];

fn is_for(row: &str, key: &str) -> bool {
    row.strip_suffix('*').map_or(row == key, |start| key.starts_with(start))
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null => true,
    }
}

fn fault(config: &Object, key: &str, value: &Value) -> Option<Error> {
    let row = KEYS.iter().find(|(keys, ..)| keys.iter().any(|row| is_for(row, key)));
    let Some((_, rule, why)) = row else {
        let what =
            format!("{}: this program does not know the key, and ignoring it might run another model", found(value));
        return Some(config.error(key, format!("{what}; if it changes nothing, remove it")));
    };
    let (met, wanted) = match rule {
        Rule::Used | Rule::Harmless => (true, String::new()),
        Rule::Off => (is_off(value), "false, 0 or nothing".to_owned()),
        Rule::One => (value.as_f64() == Some(1.0), "1".to_owned()),
        Rule::All(text) => {
            let list = value.as_array().map_or(&[][..], Vec::as_slice);
            (list.iter().all(|one| one == text) && value.is_array(), format!("a list of {text}"))
        }
        Rule::Never => (false, "no such key".to_owned()),
    };
    let what = || format!("expected {wanted}, found {}: {why}, and no other model runs here", found(value));
    (!met).then(|| config.error(key, what()))
}

/// Refuses the first key of config.json that stands for another model, and says how many more there are.
pub fn check(config: &Object) -> Result<()> {
    let faults = config.entries().filter_map(|(key, value)| fault(config, key, value));
    Error::first_of(faults, "more keys like this")
}
