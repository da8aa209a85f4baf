//! The feed-forward part of a block, with all elements or without those that the gate makes zero.

use crate::sparse_ffn::SparseFfn;
use crate::step::{FfnBuffers, Step};
use crate::weights::Block;
use kernels::{KernelError, Product};

/// How it is computed. The results are the same, bit for bit.
pub(crate) enum Ffn {
    /// All elements.
    Dense,
    /// Single tokens without zeros, where that is faster; batches as dense.
    Sparse(Box<SparseFfn>),
}

impl Ffn {
    /// From the input that was prepared for gate and up to the output.
    pub(crate) fn run(
        &mut self,
        s: &mut Step<'_>,
        block: &Block,
        layer: usize,
        b: FfnBuffers<'_>,
    ) -> Result<(), KernelError> {
        match self {
            Self::Sparse(sparse) if s.input.tokens() == 1 => sparse.run(s, block, layer, b),
            _ => dense(s, block, b),
        }
    }

    /// Skipping, if it is on.
    pub(crate) fn sparse(&self) -> Option<&SparseFfn> {
        if let Self::Sparse(sparse) = self { Some(sparse) } else { None }
    }
}

fn dense(s: &mut Step<'_>, block: &Block, b: FfnBuffers<'_>) -> Result<(), KernelError> {
    s.products([Product { weights: &block.gate, y: &mut *b.gate }, Product { weights: &block.up, y: &mut *b.up }])?;
    s.took(|times| &mut times.gate_up);
    s.gated_norm(b.gate, b.up, &block.ffn_sub_norm, b.normed);
    s.quantise(b.normed, block.ffn_sub_norm.len())?;
    s.product(&block.down, b.out)?;
    s.took(|times| &mut times.down);
    Ok(())
}
