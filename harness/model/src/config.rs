//! Sizes and constants of a model's graph.

use serde::Serialize;

/// Sizes and constants of a BitNet b1.58 graph. Counts are elements.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelConfig {
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`, or the architecture where the file has none.
    pub name: String,
    /// Tokens.
    pub vocab: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head: `dim / heads`, even.
    pub head_dim: usize,
    /// Width inside the feed-forward part.
    pub ffn: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f32,
    /// Dimensions of a head that are rotated; equals `head_dim`.
    pub rope_dims: usize,
    /// Keys that the file leaves out, each with the value that was assumed and why, in words.
    #[serde(skip)]
    pub assumed: Vec<String>,
}

impl ModelConfig {
    /// Width of keys and of values of one token: `kv_heads * head_dim`.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}
