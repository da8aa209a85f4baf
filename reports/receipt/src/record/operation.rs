//! What was timed, and the families that are compared within themselves only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a kernel was timed in: a product, or a whole model's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Turning packed codes into numbers.
    Dequantize,
    /// A matrix times one vector.
    Gemv,
    /// A matrix times several vectors: a batch of tokens.
    Gemm,
    /// Generating tokens one at a time with a whole model.
    Decode,
    /// Taking in the tokens of a prompt with a whole model.
    Prefill,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 5] = [Self::Dequantize, Self::Gemv, Self::Gemm, Self::Decode, Self::Prefill];

    /// The operation's name in receipts and tables: `gemv`.
    pub const fn name(self) -> &'static str {
        ["dequantize", "gemv", "gemm", "decode", "prefill"][self as usize]
    }

    /// The operation with this name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Whether the operation is the work of a whole model.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Decode | Self::Prefill)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Kernels that compute with activations of one type. Ratios are made within a family only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
pub enum Family {
    /// 2-bit weights, f32 activations: the ladder of the analysis.
    W2A32,
    /// 2-bit weights, int8 activations, exact int32 sums.
    W2A8,
    /// 2-bit weights whose groups have a scale each, int8 activations, f32 sums of one order; since 1.5.
    W2gA8,
}

impl Family {
    /// All families, in the order in which pages show them.
    pub const ALL: [Self; 3] = [Self::W2A32, Self::W2A8, Self::W2gA8];

    /// The family's name in receipts and tables: `W2A8`.
    pub const fn name(self) -> &'static str {
        ["W2A32", "W2A8", "W2gA8"][self as usize]
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
    fn receipts_hold_the_names() {
        for operation in Operation::ALL {
            let written = serde_json::to_string(&operation).expect("JSON");
            assert_eq!(written, format!("\"{operation}\""));
            assert_eq!(serde_json::from_str::<Operation>(&written).expect("read"), operation);
            assert_eq!(Operation::parse(operation.name()), Some(operation));
        }
        for family in Family::ALL {
            let written = serde_json::to_string(&family).expect("JSON");
            assert_eq!(written, format!("\"{family}\""));
            assert_eq!(serde_json::from_str::<Family>(&written).expect("read"), family);
        }
        let unknown = serde_json::from_str::<Family>("\"W4A8\"").expect_err("another family");
        assert!(unknown.to_string().contains("W4A8"), "{unknown}");
    }
}
