//! The known keys: those of GGUF's specification and of the engines that read this architecture's files.

/// The condition on a metadata key's value under which this program may run the file.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// No condition: this program reads the key.
    Used,
    /// No condition: the key changes nothing here, whatever its value.
    Harmless,
    /// Every value must be one of these numbers; a bool is 0 or 1.
    OneOf(&'static [f64]),
    /// The value must be this text.
    Text(&'static str),
    /// The value must be an empty text or an empty array.
    Empty,
    /// The value must be the width of an attention head.
    HeadWidth,
    /// The value must be the width of the residual stream.
    Width,
    /// The value must be 1 / sqrt(width of a head), or 0, which stands for it.
    HeadScale,
    /// The value must be 0 (no attention window) or at least the whole context, in tokens.
    Window,
    /// The value must be the base of the rotary angles.
    RopeBase,
    /// The value must be a name of the architecture's activation function.
    Activation,
    /// A SentencePiece tokenizer reads the key; for another one it changes nothing.
    Scores,
    /// A SentencePiece tokenizer reads the key; for another one the value must be false.
    Spaces,
    /// The key is part of rotary scaling, whose keys are judged together.
    Scaling,
}

/// A known metadata key: its name behind the prefix (or the start of one, with a `*`), what is asked of it, and why.
#[derive(Debug)]
pub struct Known {
    /// Name of the key behind its prefix; with a `*` at the end, all keys that start so.
    pub key: &'static str,
    /// Condition that the key's value must meet.
    pub rule: Rule,
    /// Why the key is harmless when the rule is met, and why it is refused when not.
    pub why: &'static str,
}

impl Known {
    /// Whether the row is about the key `name`.
    pub fn is_for(&self, name: &str) -> bool {
        self.key.strip_suffix('*').map_or(self.key == name, |start| name.starts_with(start))
    }
}

const fn row(key: &'static str, rule: Rule, why: &'static str) -> Known {
    Known { key, rule, why }
}

const fn used(key: &'static str) -> Known {
    row(key, Rule::Used, "")
}

const OFF: Rule = Rule::OneOf(&[0.0]);
const ON: Rule = Rule::OneOf(&[1.0]);
/// A factor; engines take 0 for "none".
const FACTOR: Rule = Rule::OneOf(&[1.0, 0.0]);

const ACTIVATION: &str = "the activation function goes with the architecture";
const HEADS: &str = "all heads have one width";
const DENSE: &str = "this graph has no experts";
const NO_EXPERTS: &str = "says how experts are used, and this graph has none";
const WINDOWS: &str = "attention sees the whole context in every block";
const NO_WINDOWS: &str = "is about blocks with a window, and no block has one";
const YARN: &str = "is read where rope.scaling.type is yarn";
const YARN_WHOLE: &str = "fast angles stay as they are, slow ones are divided by the factor";
const RMS: &str = "all norms of this graph are RMS norms";
const LOW_RANK: &str = "this graph has no low-rank projections";

/// Known keys of the model's graph, which begin with the architecture's name: `ARCH.`.
pub static GRAPH: &[Known] = &[
    used("vocab_size"),
    used("context_length"),
    used("embedding_length"),
    used("block_count"),
    used("feed_forward_length"),
    used("attention.head_count"),
    used("attention.head_count_kv"),
    used("attention.layer_norm_rms_epsilon"),
    used("rope.dimension_count"),
    used("rope.freq_base"),
    row("rope.scaling.type", Rule::Scaling, ""),
    row("rope.scaling.factor", Rule::Scaling, ""),
    row("rope.scale_linear", Rule::Scaling, ""),
    row("rope.scaling.attn_factor", FACTOR, "this graph scales no rotated vectors"),
    row("rope.scaling.alpha", FACTOR, "the base of the rotary angles is rope.freq_base as it stands"),
    row("rope.scaling.original_context_length", Rule::Harmless, YARN),
    row("rope.scaling.finetuned", Rule::Harmless, "says how the model was trained, not what it computes"),
    row("rope.scaling.yarn_beta_fast", Rule::Harmless, YARN),
    row("rope.scaling.yarn_beta_slow", Rule::Harmless, YARN),
    row("rope.scaling.yarn_ext_factor", ON, YARN_WHOLE),
    row("rope.scaling.yarn_attn_factor", ON, "rotated vectors grow by YaRN's own rule, 1 + 0.1 ln(factor)"),
    row("rope.scaling.yarn_log_multiplier", OFF, "rotated vectors grow by YaRN's own rule, 1 + 0.1 ln(factor)"),
    row("rope.dimension_sections", OFF, "all rotated dimensions turn with one position"),
    row("rope.dimension_count_swa", Rule::HeadWidth, WINDOWS),
    row("rope.freq_base_swa", Rule::RopeBase, WINDOWS),
    used("attention.key_length"),
    row("attention.value_length", Rule::HeadWidth, HEADS),
    row("attention.key_length_swa", Rule::HeadWidth, HEADS),
    row("attention.value_length_swa", Rule::HeadWidth, HEADS),
    row("attention.scale", Rule::HeadScale, "attention divides by the square root of the head's width"),
    row("attention.output_scale", FACTOR, "what attention gives is not scaled"),
    row("hidden_activation", Rule::Activation, ACTIVATION),
    row("hidden_act", Rule::Activation, ACTIVATION),
    row("attention.causal", ON, "each token sees those before it"),
    row("attention.sliding_window", Rule::Window, WINDOWS),
    row("attention.sliding_window_pattern", Rule::Harmless, NO_WINDOWS),
    row("attention.clamp_kqv", OFF, "queries, keys and values are not clamped"),
    row("attention.max_alibi_bias", OFF, "positions are rotary, not a bias"),
    row(
        "attention.layer_norm_epsilon",
        Rule::Harmless,
        "is the epsilon of LayerNorm, and all norms here are RMS norms",
    ),
    row("attention.group_norm_epsilon", Rule::Harmless, "is the epsilon of group norms, and there are none"),
    row("attention.group_norm_groups", OFF, RMS),
    row("attention.temperature_length", OFF, "attention has one temperature at all positions"),
    row("attention.temperature_scale", OFF, "attention has one temperature at all positions"),
    row("attention.shared_kv_layers", OFF, "each block has keys and values of its own"),
    row("attention.relative_buckets_count", OFF, "positions are rotary, not relative"),
    row("attention.q_lora_rank", OFF, LOW_RANK),
    row("attention.kv_lora_rank", OFF, LOW_RANK),
    row("attn_logit_softcapping", OFF, "no logits are capped"),
    row("final_logit_softcapping", OFF, "no logits are capped"),
    row("router_logit_softcapping", Rule::Harmless, NO_EXPERTS),
    row("logit_scale", FACTOR, "logits are not scaled"),
    row("embedding_scale", FACTOR, "embeddings are not scaled"),
    row("residual_scale", FACTOR, "what a block adds is not scaled"),
    row("embedding_length_out", Rule::Width, "the output is as wide as the embedding"),
    row("use_parallel_residual", OFF, "attention comes before the feed-forward part"),
    row("tensor_data_layout", Rule::Text("reference"), "tensors are read in the reference layout"),
    row("swin_norm", OFF, RMS),
    row("rescale_every_n_layers", OFF, "no block rescales"),
    row("pooling_type", OFF, "the model gives a logit a token, not an embedding of a text"),
    row("nextn_predict_layers", OFF, "each block is part of the graph for the next token"),
    row("leading_dense_block_count", Rule::Harmless, "all blocks are dense"),
    row("interleave_moe_layer_step", OFF, DENSE),
    row("moe_every_n_layers", OFF, DENSE),
    row("expert_count", OFF, DENSE),
    row("expert_used_count", OFF, DENSE),
    row("expert_shared_count", OFF, DENSE),
    row("expert_group_count", OFF, DENSE),
    row("expert_group_used_count", OFF, DENSE),
    row("expert_feed_forward_length", Rule::Harmless, NO_EXPERTS),
    row("expert_shared_feed_forward_length", Rule::Harmless, NO_EXPERTS),
    row("expert_weights_scale", Rule::Harmless, NO_EXPERTS),
    row("expert_weights_norm", Rule::Harmless, NO_EXPERTS),
    row("expert_gating_func", Rule::Harmless, NO_EXPERTS),
    row("expert_group_scale", Rule::Harmless, NO_EXPERTS),
    row("experts_per_group", Rule::Harmless, NO_EXPERTS),
];

const NEVER_IN_A_PROMPT: &str = "the token is never put into a prompt";
const INFILL: &str = "is for filling in text, which is not done here";
const AS_WRITTEN: &str = "byte-level BPE encodes a text as it is written";
const TEMPLATES: &str = "templates are not applied to a prompt";

/// Known keys of the tokenizer, which begin with `tokenizer.`.
pub static TOKENIZER: &[Known] = &[
    used("ggml.model"),
    used("ggml.pre"),
    used("ggml.tokens"),
    used("ggml.token_type"),
    used("ggml.merges"),
    used("ggml.bos_token_id"),
    used("ggml.add_bos_token"),
    used("ggml.eos_token_id"),
    used("ggml.eos_token_ids"),
    used("ggml.eog_token_ids"),
    used("ggml.eot_token_id"),
    used("ggml.eom_token_id"),
    // Existing engines end a text at these, too.
    used("ggml.fim_pad_token_id"),
    used("ggml.fim_rep_token_id"),
    used("ggml.fim_sep_token_id"),
    row("ggml.fim_pre_token_id", Rule::Harmless, INFILL),
    row("ggml.fim_suf_token_id", Rule::Harmless, INFILL),
    row("ggml.fim_mid_token_id", Rule::Harmless, INFILL),
    row("ggml.prefix_token_id", Rule::Harmless, INFILL),
    row("ggml.suffix_token_id", Rule::Harmless, INFILL),
    row("ggml.middle_token_id", Rule::Harmless, INFILL),
    row("ggml.scores", Rule::Scores, "merges have an order of their own"),
    row("ggml.unknown_token_id", Rule::Harmless, "every text is made of bytes, so no part of it is unknown"),
    row("ggml.padding_token_id", Rule::Harmless, NEVER_IN_A_PROMPT),
    row("ggml.mask_token_id", Rule::Harmless, NEVER_IN_A_PROMPT),
    row("ggml.cls_token_id", Rule::Harmless, NEVER_IN_A_PROMPT),
    row("ggml.separator_token_id", Rule::Harmless, NEVER_IN_A_PROMPT),
    // As engines spell it.
    row("ggml.seperator_token_id", Rule::Harmless, NEVER_IN_A_PROMPT),
    row("ggml.add_eos_token", OFF, "nothing is put behind a prompt"),
    row("ggml.add_sep_token", OFF, "nothing is put behind a prompt"),
    row("ggml.add_space_prefix", Rule::Spaces, AS_WRITTEN),
    row("ggml.remove_extra_whitespaces", OFF, AS_WRITTEN),
    row("ggml.treat_whitespace_as_suffix", OFF, AS_WRITTEN),
    row("ggml.escape_whitespaces", OFF, AS_WRITTEN),
    row("ggml.normalizer.lowercase", OFF, AS_WRITTEN),
    row("ggml.precompiled_charsmap", Rule::Empty, AS_WRITTEN),
    row("ggml.added_tokens", Rule::Empty, "added tokens are those of type 4 in tokenizer.ggml.token_type"),
    row("ggml.token_type_count", FACTOR, "all tokens are of one segment"),
    row("huggingface.json", Rule::Harmless, "the vocabulary is read from the tokenizer.ggml keys"),
    row("chat_template", Rule::Harmless, TEMPLATES),
    row("chat_template.*", Rule::Harmless, TEMPLATES),
    row("chat_templates", Rule::Harmless, TEMPLATES),
];

/// Known keys about the file as a whole, which begin with `general.`.
pub static GENERAL: &[Known] = &[
    used("architecture"),
    used("name"),
    used("alignment"),
    row("type", Rule::Text("model"), "the file is a part of a model or an addition to one"),
    row(
        "quantization_version",
        Rule::Harmless,
        "is of ggml's quantised blocks; the types that are read here have one version",
    ),
    row("file_type", Rule::Harmless, "each tensor says its own type"),
    row("sampling.*", Rule::Harmless, "how tokens are sampled is said by whoever generates"),
    row("*", Rule::Harmless, "describes the model"),
];

/// Known keys of a model in several files, which begin with `split.`.
pub static SPLIT: &[Known] =
    &[used("no"), used("count"), row("*", Rule::Harmless, "a file that is no shard has all its tensors")];
