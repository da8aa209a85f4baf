//! What codes mean: the weights that they stand for, and what those are multiplied with.

/// The weights that codes 0..=3 stand for, before the scale. It belongs to the weights, not to a kernel, because
/// published files and the analysis that this project answers use different tables and both must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTable(pub [i8; 4]);

impl CodeTable {
    /// The table of published files: 0, 1, 2 are -1, 0, +1. Code 3 does not occur; it reads as 0.
    pub const TERNARY: Self = Self([-1, 0, 1, 0]);
    /// The table in the BitNet.rs analysis: codes 0, 1, 2, 3 are -2, -1, +1, +2.
    pub const SEED: Self = Self([-2, -1, 1, 2]);

    /// Whether codes 0, 1, 2 are -1, 0, +1, so that a weight is its code minus one.
    pub fn is_ternary(self) -> bool {
        self.0[..3] == [-1, 0, 1]
    }
}

/// The f32 scales that the code table's values are multiplied with to get weights.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One scale for the whole tensor.
    PerTensor(f32),
    /// One scale for each group of weights of a row, row after row: `rows * ceil(k / group)` values, with the layout's
    /// group, and 256 where it has one scale a tensor (then all must be equal).
    PerBlock(Vec<f32>),
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

/// Weights along k that share a scale in block scales for a layout with one scale a tensor.
pub(crate) const SCALE_BLOCK_K: usize = 256;
