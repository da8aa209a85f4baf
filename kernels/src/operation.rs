//! What kernels compute, and the families that are compared within themselves only.

use std::fmt;

/// What a kernel can be asked for.
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
    /// All, in report order.
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

/// Kernels are compared within a family only: the two compute with different activation types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// 2-bit weights, f32 activations.
    W2A32,
    /// 2-bit weights, int8 activations, exact int32 results.
    W2A8,
}

impl Family {
    /// All, in report order.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for operation in Operation::ALL {
            assert_eq!(Operation::parse(&operation.to_string()), Some(operation));
        }
        assert_eq!(Operation::parse("GEMV"), None);
    }
}
