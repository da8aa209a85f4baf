//! What turns hidden states into logits: rows of numbers in a format of the head's own, or the file's ternary matrix,
//! which a kernel multiplies as it does all others.

use kernels::parallel::Team;
use kernels::{Kernel, KernelError, LinearInput, OutputHead, PackedWeights, Product};
use std::sync::Arc;

/// The output head of a decoder.
#[derive(Clone)]
pub enum Head {
    /// Rows as f16, or quantised to 8 or 4 bits.
    Rows(OutputHead),
    /// A ternary matrix and the kernel that multiplies it.
    Ternary(TernaryHead),
}

/// A ternary matrix with a row for each entry of the vocabulary, packed for a kernel. Activations are quantised by the
/// rule of all products of a run: with an exact kernel, logits have the same bits for any number of threads.
#[derive(Clone)]
pub struct TernaryHead {
    kernel: Kernel,
    weights: Arc<PackedWeights>,
}

impl TernaryHead {
    /// Joins a kernel and weights in its packing; with others its products fail.
    pub fn new(kernel: Kernel, weights: Arc<PackedWeights>) -> Self {
        Self { kernel, weights }
    }

    /// `y = weights * x`. `input` has room for a token of `x`, and `integers` for a number of each row.
    ///
    /// # Errors
    /// Those of [`LinearInput::prepare`] and [`Kernel::linear`].
    pub fn logits(
        &self,
        team: &mut Team,
        x: &[f32],
        (input, integers): (&mut LinearInput, &mut [i32]),
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let Self { kernel, weights } = self;
        input.prepare(team, kernel, weights.k(), x)?;
        kernel.linear(team, [Product { weights, y }], input, integers)
    }
}

impl Head {
    /// Name of what computes it, for receipts: that of the rows' implementation, or `ternary`, which the run's kernel
    /// multiplies.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Rows(head) => head.id(),
            Self::Ternary(_) => "ternary",
        }
    }

    /// Number of rows: entries of the vocabulary.
    pub fn rows(&self) -> usize {
        match self {
            Self::Rows(head) => head.rows(),
            Self::Ternary(head) => head.weights.rows(),
        }
    }

    /// Number of columns: elements of a hidden state.
    pub fn k(&self) -> usize {
        match self {
            Self::Rows(head) => head.k(),
            Self::Ternary(head) => head.weights.k(),
        }
    }

    /// Bytes of weights and scales that one product reads.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Rows(head) => head.bytes(),
            Self::Ternary(head) => head.weights.bytes(),
        }
    }
}

impl From<OutputHead> for Head {
    fn from(head: OutputHead) -> Self {
        Self::Rows(head)
    }
}

impl From<TernaryHead> for Head {
    fn from(head: TernaryHead) -> Self {
        Self::Ternary(head)
    }
}
