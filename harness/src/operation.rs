//! A kernel's operation, as a flag.

use clap::ValueEnum;

/// A kernel's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Matrix times vector
    Gemv,
    /// Matrix times a batch of vectors
    Gemm,
    /// Weights as f32
    Dequantize,
}

impl Operation {
    /// Its name in scenarios and receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gemv => "gemv",
            Self::Gemm => "gemm",
            Self::Dequantize => "dequantize",
        }
    }
}
