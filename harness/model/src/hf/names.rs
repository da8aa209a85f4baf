//! What tensors are called in a folder and in a GGUF file.

/// What a tensor is to the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A ternary matrix.
    Matrix,
    /// The embedding, the output head or gains of a norm: dense numbers.
    Dense,
}

/// Names outside the blocks, as `transformers` calls them, and those of GGUF.
const WHOLE: [(&str, &str); 3] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    (HEAD, "output.weight"),
];

/// The output head, where it is not the embedding.
pub const HEAD: &str = "lm_head.weight";

/// Names inside `model.layers.N.` and inside `blk.N.`, without `.weight`, and their roles.
const IN_BLOCK: [(&str, &str, Role); 13] = [
    ("self_attn.q_proj", "attn_q", Role::Matrix),
    ("self_attn.k_proj", "attn_k", Role::Matrix),
    ("self_attn.v_proj", "attn_v", Role::Matrix),
    ("self_attn.o_proj", "attn_output", Role::Matrix),
    ("mlp.gate_proj", "ffn_gate", Role::Matrix),
    ("mlp.up_proj", "ffn_up", Role::Matrix),
    ("mlp.down_proj", "ffn_down", Role::Matrix),
    ("input_layernorm", "attn_norm", Role::Dense),
    ("post_attention_layernorm", "ffn_norm", Role::Dense),
    ("self_attn.attn_sub_norm", "attn_sub_norm", Role::Dense),
    ("mlp.ffn_sub_norm", "ffn_sub_norm", Role::Dense),
    ("self_attn.q_norm", "attn_q_norm", Role::Dense),
    ("self_attn.k_norm", "attn_k_norm", Role::Dense),
];

/// A tensor's name in GGUF and its role; `None` for a name that no graph here has.
pub fn in_gguf(name: &str) -> Option<(String, Role)> {
    if let Some((_, gguf)) = WHOLE.iter().find(|row| row.0 == name) {
        return Some(((*gguf).to_owned(), Role::Dense));
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    // Spelled as numbers are, so that no two names mean one tensor.
    let layer: u32 = layer.parse().ok().filter(|n: &u32| n.to_string() == layer)?;
    let module = rest.strip_suffix(".weight")?;
    let (_, gguf, role) = IN_BLOCK.iter().find(|row| row.0 == module)?;
    Some((format!("blk.{layer}.{gguf}.weight"), *role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_converters_and_others_stay() {
        let of = |name| in_gguf(name).map(|(name, role)| format!("{name} {role:?}"));
        assert_eq!(of("lm_head.weight").as_deref(), Some("output.weight Dense"));
        assert_eq!(of("model.layers.12.mlp.down_proj.weight").as_deref(), Some("blk.12.ffn_down.weight Matrix"));
        assert_eq!(of("model.layers.0.self_attn.q_norm.weight").as_deref(), Some("blk.0.attn_q_norm.weight Dense"));
        for other in
            ["model.layers.01.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.bias", "model.layers.x.a.weight"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
