//! What kernels compute, and the families that are compared within themselves only.

use std::fmt;

/// What a kernel computes; each is verified, timed and reported by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Writes packed weights as f32.
    Dequantize,
    /// Multiplies a matrix with one vector: one token.
    Gemv,
    /// Multiplies a matrix with a batch of vectors: several tokens.
    Gemm,
}

impl Operation {
    /// All operations, in report order.
    pub const ALL: [Self; 3] = [Self::Dequantize, Self::Gemv, Self::Gemm];

    /// Name of the operation on the command line, in scenarios and in receipts, for example `gemv`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dequantize => "dequantize",
            Self::Gemv => "gemv",
            Self::Gemm => "gemm",
        }
    }

    /// Finds an operation by its [`Self::name`], for example `gemv`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Kernels that may be compared with each other, because they take the same type of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Kernels with 2-bit weights and f32 activations.
    W2A32,
    /// Kernels with 2-bit weights, int8 activations and exact int32 results.
    W2A8,
    /// Kernels with 2-bit weights whose groups have scales, int8 activations, and f32 results of one order of rounding.
    W2gA8,
}

impl Family {
    /// All kernel families, in report order.
    pub const ALL: [Self; 3] = [Self::W2A32, Self::W2A8, Self::W2gA8];

    /// Name of the family in reports and receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::W2A32 => "W2A32",
            Self::W2A8 => "W2A8",
            Self::W2gA8 => "W2gA8",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
