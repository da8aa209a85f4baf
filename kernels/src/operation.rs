//! What kernels compute, and the families that are compared within themselves only.

use std::fmt;

/// What a kernel computes; each is verified, timed and reported by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Weights as f32.
    Dequantize,
    /// Matrix times vector.
    Gemv,
    /// Matrix times a batch of vectors.
    Gemm,
}

impl Operation {
    /// All of them, in report order.
    pub const ALL: [Self; 3] = [Self::Dequantize, Self::Gemv, Self::Gemm];

    /// Name on the command line, in scenarios and in receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dequantize => "dequantize",
            Self::Gemv => "gemv",
            Self::Gemm => "gemm",
        }
    }

    /// The operation with this name.
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
    /// 2-bit weights, f32 activations.
    W2A32,
    /// 2-bit weights, int8 activations, exact int32 results.
    W2A8,
}

impl Family {
    /// All of them, in report order.
    pub const ALL: [Self; 2] = [Self::W2A32, Self::W2A8];

    /// Name in reports and receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::W2A32 => "W2A32",
            Self::W2A8 => "W2A8",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
