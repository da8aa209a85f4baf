//! Sizes and constants of a model's graph.

use crate::arch::{Activation, Pairing};
use serde::Serialize;

/// How rotary angles are stretched for contexts longer than the one trained on: YaRN, arXiv 2309.00071. Slow angles are
/// divided by the factor, fast ones stay, with a ramp between; all rotated vectors grow by 1 + 0.1 ln(factor).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Yarn {
    /// How many times the context is longer than the original one, at least 1.
    pub factor: f32,
    /// The context that the model was trained on before, in tokens.
    pub original_context: usize,
    /// Turns over the original context from which on an angle stays as it is.
    pub beta_fast: f32,
    /// Turns over the original context up to which an angle is divided by the whole factor.
    pub beta_slow: f32,
}

/// Sizes and constants of a model's graph. Counts are elements.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelConfig {
    /// Name of the architecture, from the key `general.architecture`.
    pub architecture: String,
    /// Name of the model, from the key `general.name`, or the architecture where the file has none.
    pub name: String,
    /// Number of tokens in the vocabulary.
    pub vocab: usize,
    /// Longest sequence that the model allows, in tokens.
    pub context: usize,
    /// Width of the residual stream, in elements.
    pub dim: usize,
    /// Number of blocks (layers).
    pub layers: usize,
    /// Number of query heads in each block.
    pub heads: usize,
    /// Number of key and value heads in each block; divides `heads`.
    pub kv_heads: usize,
    /// Width of an attention head in elements, even: `dim / heads` unless the file says another.
    pub head_dim: usize,
    /// Width inside the feed-forward part, in elements.
    pub ffn: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_eps: f32,
    /// Base of the rotary position angles, for example 500,000.
    pub rope_theta: f32,
    /// Dimensions of a head that are rotated; equals `head_dim`.
    pub rope_dims: usize,
    /// How the rotary angles are stretched, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yarn: Option<Yarn>,
    /// Which elements of a head turn together.
    pub pairing: Pairing,
    /// What the gate of the feed-forward part goes through.
    pub activation: Activation,
    /// Whether norms come before the products of `attn_output` and `ffn_down`.
    pub sub_norms: bool,
    /// Whether each head of q and k is normed before it is rotated.
    pub qk_norms: bool,
    /// Whether the embedding is the output head; otherwise it is a tensor of its own.
    pub tied: bool,
    /// Keys that the file leaves out, each with the value that was assumed and why, in words.
    #[serde(skip)]
    pub assumed: Vec<String>,
}

impl ModelConfig {
    /// Whether gates are exact zeros often enough to skip what they multiply: the squared ReLU's are, and the norm
    /// behind them is what the products that skip are proved with.
    pub fn skips(&self) -> bool {
        self.activation == Activation::ReluSquared && self.sub_norms
    }

    /// Width of one token's queries in elements: `heads * head_dim`. It need not be `dim`.
    pub fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of one token's keys (and of its values) in elements: `kv_heads * head_dim`.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}
