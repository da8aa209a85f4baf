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

/// Which activations of a token share a scale when they are quantised to int8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
pub enum Activations {
    /// All of a token: what every receipt before 1.6 measured.
    #[default]
    #[serde(rename = "token")]
    Token,
    /// 256 in a row.
    #[serde(rename = "256")]
    Per256,
    /// 128 in a row.
    #[serde(rename = "128")]
    Per128,
    /// 32 in a row, their scale rounded to f16.
    #[serde(rename = "32")]
    Per32,
}

impl Activations {
    /// All rules, from coarse to fine.
    pub const ALL: [Self; 4] = [Self::Token, Self::Per256, Self::Per128, Self::Per32];

    /// The rule's name in receipts and on the command line: `token`, `256`, `128` or `32`.
    pub const fn name(self) -> &'static str {
        ["token", "256", "128", "32"][self as usize]
    }

    /// The rule in words: `one scale a token`, `a scale for each 128 activations`.
    pub fn in_words(self) -> String {
        match self {
            Self::Token => "one scale a token".into(),
            _ => format!("a scale for each {self} activations"),
        }
    }
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What shares a scale in products of kernels with scales of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scaling {
    /// Weights of a group.
    pub weight_group: usize,
    /// Which activations.
    pub activations: Activations,
}

impl Scaling {
    /// What a cell of this family says of it: none of other families. Cells of before 1.6 say nothing; they had groups
    /// of 128 weights and a scale a token.
    pub(crate) fn of(family: Family, weight_group: Option<usize>, activations: Option<Activations>) -> Option<Self> {
        let (weight_group, activations) = (weight_group.unwrap_or(128), activations.unwrap_or_default());
        (family == Family::W2gA8).then_some(Self { weight_group, activations })
    }
}

impl Scaling {
    /// In a word, as a scenario has it: `g128xtoken`, `g64x32`.
    pub fn word(&self) -> String {
        format!("g{}x{}", self.weight_group, self.activations)
    }
}

/// `groups of 128, one scale a token`, `groups of 64, activations by 32`.
impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.activations {
            Activations::Token => write!(f, "groups of {}, one scale a token", self.weight_group),
            rule => write!(f, "groups of {}, activations by {rule}", self.weight_group),
        }
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
        for rule in Activations::ALL {
            let written = serde_json::to_string(&rule).expect("JSON");
            assert_eq!(written, format!("\"{rule}\""));
            assert_eq!(serde_json::from_str::<Activations>(&written).expect("read"), rule);
        }
        let old = Scaling { weight_group: 128, activations: Activations::Token };
        assert_eq!((Scaling::of(Family::W2gA8, None, None), Scaling::of(Family::W2A8, None, None)), (Some(old), None));
        assert_eq!((old.to_string().as_str(), old.word().as_str()), ("groups of 128, one scale a token", "g128xtoken"));
        let unknown = serde_json::from_str::<Family>("\"W4A8\"").expect_err("another family");
        assert!(unknown.to_string().contains("W4A8"), "{unknown}");
    }
}
