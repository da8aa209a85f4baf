//! Sizes and constants of a model's graph.

use serde::Serialize;

/// Sizes and constants of a BitNet b1.58 graph. Counts are elements.
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
    /// Width of an attention head in elements: `dim / heads`, even.
    pub head_dim: usize,
    /// Width inside the feed-forward part, in elements.
    pub ffn: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_eps: f32,
    /// Base of the rotary position angles, for example 500,000.
    pub rope_theta: f32,
    /// Dimensions of a head that are rotated; equals `head_dim`.
    pub rope_dims: usize,
    /// Keys that the file leaves out, each with the value that was assumed and why, in words.
    #[serde(skip)]
    pub assumed: Vec<String>,
}

impl ModelConfig {
    /// Width of one token's keys (and of its values) in elements: `kv_heads * head_dim`.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}
