//! What codes mean: the weights that they stand for, and what those are multiplied with.

/// The weights that codes 0..=3 stand for, before the scale. It belongs to the weights, not to a kernel, because
/// published files and the analysis that this project answers use different tables and both must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTable(pub [i8; 4]);

impl CodeTable {
    /// The table of published files: 0, 1, 2 are -1, 0, +1. Code 3 does not occur; it reads as 0.
    pub const TERNARY: Self = Self([-1, 0, 1, 0]);
    /// The table in the BitNet.rs analysis.
    pub const SEED: Self = Self([-2, -1, 1, 2]);

    /// Whether codes 0, 1, 2 are -1, 0, +1, so that a weight is its code minus one.
    pub fn is_ternary(self) -> bool {
        self.0[..3] == [-1, 0, 1]
    }
}

/// What the table's values are multiplied with.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One for the whole tensor.
    PerTensor(f32),
    /// One for each group of weights of a row, row after row: `rows * ceil(k / group)` values, with the layout's
    /// group, and 256 where it has one scale a tensor (then all must be equal).
    PerBlock(Vec<f32>),
}

/// A matrix as single codes, before it is packed, and what the codes mean.
#[derive(Clone, Debug)]
pub struct Codes<'a> {
    /// Rows (outputs, m).
    pub rows: usize,
    /// Columns (inputs, k).
    pub k: usize,
    /// `rows * k` codes, row after row, each 0..=3.
    pub codes: &'a [u8],
    /// Value of each code before scaling.
    pub table: CodeTable,
    /// What the table's values are multiplied with.
    pub scales: Scales,
}

impl<'a> Codes<'a> {
    /// Codes 0, 1, 2 as -1, 0, +1 with one scale, as the published files have them.
    pub fn ternary(rows: usize, k: usize, codes: &'a [u8], scale: f32) -> Self {
        Self { rows, k, codes, table: CodeTable::TERNARY, scales: Scales::PerTensor(scale) }
    }
}

/// Weights along k that share a scale in block scales for a layout with one scale a tensor.
pub(crate) const SCALE_BLOCK_K: usize = 256;
