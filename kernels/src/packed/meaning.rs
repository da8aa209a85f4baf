//! What codes mean: the weights that they stand for, and what those are multiplied with.

use crate::activation::ActivationRule;
use std::fmt;

/// The weights that codes 0..=3 stand for, before the scale. It belongs to the weights, not to a kernel, because
/// published files and the analysis that this project answers use different tables and both must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTable(pub [i8; 4]);

impl CodeTable {
    /// The table of published files: 0, 1, 2 are -1, 0, +1. Code 3 does not occur; it reads as 0.
    pub const TERNARY: Self = Self([-1, 0, 1, 0]);
    /// The table in the BitNet.rs analysis: codes 0, 1, 2, 3 are -2, -1, +1, +2.
    pub const SEED: Self = Self([-2, -1, 1, 2]);

    /// The table of files that have a use for all four codes: 0, 1, 2, 3 are -1, 0, +1, +2.
    pub const FOUR: Self = Self([-1, 0, 1, 2]);

    /// Whether codes 0, 1, 2 are -1, 0, +1 and code 3 does not occur.
    pub fn is_ternary(self) -> bool {
        self.0[..3] == [-1, 0, 1] && self.0[3] == 0
    }

    /// Whether a weight is its code minus one, for every code that occurs: what sums of codes and int8 need, from which
    /// the sum of the activations is taken off.
    pub fn is_code_minus_one(self) -> bool {
        self.is_ternary() || self == Self::FOUR
    }

    /// The largest code that may occur.
    pub(crate) fn largest_code(self) -> u8 {
        if self.is_ternary() { 2 } else { 3 }
    }
}

/// The f32 scales that the code table's values are multiplied with to get weights.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One scale for the whole tensor.
    PerTensor(f32),
    /// One scale for each row.
    PerRow(Vec<f32>),
    /// One scale for each group of weights of a row.
    PerGroup {
        /// Weights of a group; the last one of a row may have fewer.
        group: usize,
        /// `rows * ceil(k / group)` scales, row after row.
        values: Vec<f32>,
    },
}

/// How many weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScaleUnit {
    /// All weights of the matrix.
    Tensor,
    /// Those of a row.
    Row,
    /// So many of a row.
    Group(usize),
}

impl fmt::Display for ScaleUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor => f.write_str("one scale a tensor"),
            Self::Row => f.write_str("a scale for each row"),
            Self::Group(group) => write!(f, "a scale for each {group} weights of a row"),
        }
    }
}

/// What weights, and the activations that they are multiplied with, ask of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// How many weights share a scale: the finest unit in which scales differ.
    pub scales: ScaleUnit,
    /// Whether every scale is an f16.
    pub half_scales: bool,
    /// Whether code 3 (+2) occurs.
    pub four_codes: bool,
    /// Which activations share a scale.
    pub rule: ActivationRule,
}

impl Needs {
    /// What matrices with one scale and three codes ask, where a token has one scale.
    pub const TERNARY: Self =
        Self { scales: ScaleUnit::Tensor, half_scales: false, four_codes: false, rule: ActivationRule::Token };

    /// What no matrix at all asks: [`Self::and`] of others begins with it.
    pub const NONE: Self = Self { half_scales: true, ..Self::TERNARY };

    /// What both ask together, with activations by the rule of the first.
    pub fn and(self, other: Self) -> Self {
        // From coarse to fine.
        let fineness = |unit| match unit {
            ScaleUnit::Tensor => 0,
            ScaleUnit::Row => 1,
            ScaleUnit::Group(n) => usize::MAX - n,
        };
        let finer = fineness(other.scales) > fineness(self.scales);
        Self {
            scales: if finer { other.scales } else { self.scales },
            half_scales: self.half_scales && other.half_scales,
            four_codes: self.four_codes || other.four_codes,
            rule: self.rule,
        }
    }
}

/// A matrix as single codes, before it is packed, and what the codes mean.
#[derive(Clone, Debug)]
pub struct Codes<'a> {
    /// Number of rows (outputs, m) of the matrix.
    pub rows: usize,
    /// Number of columns (inputs, k) of the matrix.
    pub k: usize,
    /// `rows * k` codes, row after row, each 0..=3.
    pub codes: &'a [u8],
    /// Weight that each code stands for, before the scale.
    pub table: CodeTable,
    /// What the table's values are multiplied with.
    pub scales: Scales,
}

impl<'a> Codes<'a> {
    /// A ternary matrix: codes 0, 1, 2 are -1, 0, +1, with one scale, as the published files have them.
    pub fn ternary(rows: usize, k: usize, codes: &'a [u8], scale: f32) -> Self {
        Self { rows, k, codes, table: CodeTable::TERNARY, scales: Scales::PerTensor(scale) }
    }
}
