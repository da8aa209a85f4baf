//! The feed-forward part of a block.

use crate::sparse_ffn::SparseFfn;
use crate::step::{FfnBuffers, Step};
use crate::weights::Block;
use kernels::{KernelError, Product};

/// Computes the output from the input that was prepared for gate and up: with all elements, or, for single tokens and
/// by `sparse`, without those that the gate makes zero. The results are the same, bit for bit.
pub(crate) fn run(
    sparse: Option<&mut SparseFfn>,
    s: &mut Step<'_>,
    block: &Block,
    layer: usize,
    b: FfnBuffers<'_>,
) -> Result<(), KernelError> {
    if let Some(sparse) = sparse.filter(|_| s.input.tokens() == 1) {
        return sparse.run(s, block, layer, b);
    }
    s.products([Product { weights: &block.gate, y: &mut *b.gate }, Product { weights: &block.up, y: &mut *b.up }])?;
    s.took(|times| &mut times.gate_up);
    let width = block.up.rows();
    s.gated((b.gate, b.up), block.ffn_sub_norm.as_deref(), width, b.gated);
    s.quantise(b.gated, width)?;
    s.product(&block.down, b.out)?;
    s.took(|times| &mut times.down);
    Ok(())
}
