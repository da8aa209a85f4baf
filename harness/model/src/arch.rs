//! Architectures: a row for each forward pass that runs here, with what sets it apart from the others, and what those
//! lack that do not run.
//!
//! All rows are one graph: RMS norm, grouped-query attention with rotary positions, RMS norm, a gated feed-forward
//! part, residual additions around both. Facts: ggml's graphs of each architecture and its converters.

use kernels::ActivationRule;
use serde::Serialize;

/// What a gate goes through before it multiplies `up`. Another one is another model: BitNet 2B-4T run with SiLU has a
/// perplexity of 99.8 on WikiText-2 instead of 17.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0)^2.
    #[default]
    ReluSquared,
    /// x / (1 + e^-x), which makes the feed-forward part a SwiGLU.
    Silu,
}

impl Activation {
    /// Names of the function in files, the first of which this program says.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Activation::ReluSquared => &["relu2", "relu_squared", "relu_sqr"],
            Activation::Silu => &["silu", "swish"],
        }
    }
}

/// Which two elements of a head turn together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Element i with the one half a head further ("NeoX").
    #[default]
    Halves,
    /// Element 2i with element 2i + 1. Converters permute the rows of q and k of `llama` files for it.
    Neighbours,
}

/// Where the rows of the output head are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The embedding is the head.
    Tied,
    /// In `output.weight`, or the embedding where the file has none.
    OwnOrTied,
}

/// A forward pass that runs here: how it differs from the others.
#[derive(Debug)]
pub struct Architecture {
    /// Names in the key `general.architecture`.
    pub names: &'static [&'static str],
    /// What the gate goes through.
    pub activation: Activation,
    /// Whether norms come before the products of `attn_output` and `ffn_down`.
    pub sub_norms: bool,
    /// Whether each head of q and k is normed before it is rotated.
    pub qk_norms: bool,
    /// Which elements turn together.
    pub pairing: Pairing,
    /// Where the output head is.
    pub head: Head,
    /// Whether engines multiply by a tensor `.scale` beside a matrix, so that one may be written.
    pub scales_beside: bool,
    /// Which activations share a scale in its training. None where it is trained without, and the engine chooses.
    pub activations: Option<ActivationRule>,
}

impl Architecture {
    /// Which activations share a scale where nobody chooses: as it was trained, else all of a token.
    pub fn rule(&self) -> ActivationRule {
        self.activations.unwrap_or_default()
    }
}

/// The forward passes that run here. Each adds at most a line to the graph.
pub static ALL: &[Architecture] = &[
    Architecture {
        names: &["bitnet-b1.58", "bitnet-25"],
        activation: Activation::ReluSquared,
        sub_norms: true,
        qk_norms: false,
        pairing: Pairing::Halves,
        head: Head::Tied,
        scales_beside: true,
        activations: Some(ActivationRule::Token),
    },
    Architecture {
        names: &["bitnet"],
        activation: Activation::Silu,
        sub_norms: true,
        qk_norms: false,
        pairing: Pairing::Halves,
        head: Head::Tied,
        scales_beside: true,
        activations: Some(ActivationRule::Token),
    },
    Architecture {
        names: &["llama"],
        activation: Activation::Silu,
        sub_norms: false,
        qk_norms: false,
        pairing: Pairing::Neighbours,
        head: Head::OwnOrTied,
        scales_beside: false,
        activations: None,
    },
    Architecture {
        names: &["qwen3"],
        activation: Activation::Silu,
        sub_norms: false,
        qk_norms: true,
        pairing: Pairing::Halves,
        head: Head::OwnOrTied,
        scales_beside: false,
        activations: None,
    },
];

const EXPERTS: &str = "it is a mixture of experts";
const DELTA_NET: &str = "most of its blocks are a gated delta net in place of attention";
const GEMMA: &str = "it has GELU, norms behind attention and the feed-forward part, and scaled embeddings";
const SECTIONS: &str = "it rotates by several positions (text, height, width)";

/// Architectures of known ternary models and of their kin that do not run here, each with what is missing.
const REFUSED: &[(&str, &str)] = &[
    ("maple", EXPERTS),
    ("qwen35", DELTA_NET),
    ("qwen35moe", "most of its blocks are a gated delta net in place of attention, and it is a mixture of experts"),
    ("qwen3next", "most of its blocks are a gated delta net in place of attention, and it is a mixture of experts"),
    ("qwen2", "it adds biases to queries, keys and values"),
    ("qwen2moe", EXPERTS),
    ("qwen3moe", EXPERTS),
    ("qwen2vl", SECTIONS),
    ("qwen3vl", SECTIONS),
    ("qwen3vlmoe", SECTIONS),
    ("gemma", "it has GELU and scaled embeddings"),
    ("gemma2", GEMMA),
    ("gemma3", GEMMA),
    ("gemma-embedding", "it gives a vector for a text and no next token"),
    ("llama4", EXPERTS),
    ("falcon-h1", "it has state-space layers beside attention"),
    ("mamba", "it has state-space layers in place of attention"),
    ("phi3", "its matrices of queries, keys and values are one, and so are those of gate and up"),
];

/// Finds the forward pass of a name in `general.architecture`.
pub fn find(name: &str) -> Option<&'static Architecture> {
    ALL.iter().find(|architecture| architecture.names.contains(&name))
}

/// Names of all architectures that run here.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|architecture| architecture.names).copied()
}

/// What an architecture that does not run here would need, as far as that is known.
pub(crate) fn missing(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_row() {
        let all: Vec<&str> = names().chain(REFUSED.iter().map(|row| row.0)).collect();
        for (i, name) in all.iter().enumerate() {
            assert!(!all[..i].contains(name), "{name}");
        }
        assert!(names().all(|name| find(name).is_some() && missing(name).is_none()));
    }
}
