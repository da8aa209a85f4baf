//! What a text is: sizes and constants of its graph, and its weights as the host has them.

use crate::error::GpuError;
use kernels::PackedWeights;

/// What lies between gate and up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// relu(gate)^2 * up.
    ReluSquared,
    /// silu(gate) * up.
    Silu,
}

/// Sizes and constants of a model's graph.
#[derive(Clone, Debug, PartialEq)]
pub struct TextShape {
    /// Elements of the residual stream, a multiple of 8.
    pub dim: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, a divisor of `heads`.
    pub kv_heads: usize,
    /// Elements of a head, a multiple of 8 up to 256.
    pub head_dim: usize,
    /// Elements of the feed-forward blocks, a multiple of 4.
    pub ffn: usize,
    /// Rows of the embedding and the head.
    pub vocab: usize,
    /// Positions that there is room for.
    pub context: usize,
    /// What is added to the mean square in norms.
    pub eps: f32,
    /// Of the feed-forward blocks.
    pub activation: Activation,
    /// Whether elements 2i and 2i + 1 of a head are rotated together, and not i and i + half.
    pub neighbours: bool,
}

/// Weights of a block.
pub struct LayerWeights<'a> {
    /// Gains of the norm before attention.
    pub attn_norm: &'a [f32],
    /// Gains of the norm behind attention, where there is one.
    pub attn_sub_norm: Option<&'a [f32]>,
    /// Gains of the norm before the feed-forward block.
    pub ffn_norm: &'a [f32],
    /// Gains of the norm within it, where there is one.
    pub ffn_sub_norm: Option<&'a [f32]>,
    /// Gains of the norms of each head of queries and of keys, where there are.
    pub qk_norms: Option<(&'a [f32], &'a [f32])>,
    /// Query, key, value, attention output, gate, up, down; in the layout [`kernels::layouts::TILE32`].
    pub matrices: [&'a PackedWeights; 7],
}

/// Rows of numbers as they are kept.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    /// Bits of f16.
    Halves(&'a [u16]),
    /// f32.
    Floats(&'a [f32]),
}

/// Weights that no block has.
pub struct TextWeights<'a> {
    /// Gains of the last norm.
    pub output_norm: &'a [f32],
    /// The embedding, vocab x dim.
    pub embedding: Rows<'a>,
    /// The output head as f16; the embedding where they are one and that is f16.
    pub head: Option<&'a [u16]>,
    /// For each position head_dim / 2 cosines, then as many sines.
    pub angles: &'a [f32],
}

impl TextShape {
    pub(super) fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Refuses what the shaders do not compute.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        let wrong = |what: String| Err(GpuError::Operands(what));
        if self.head_dim > 256 || !self.head_dim.is_multiple_of(8) {
            return wrong(format!("heads of {} elements; multiples of 8 up to 256 are computed", self.head_dim));
        }
        if !self.dim.is_multiple_of(8) || !self.ffn.is_multiple_of(4) {
            return wrong(format!("a width of {} x {}; multiples of 8 are computed", self.dim, self.ffn));
        }
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return wrong(format!("{} heads share {} of keys", self.heads, self.kv_heads));
        }
        Ok(())
    }
}
