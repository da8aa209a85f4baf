//! What codes mean: the weights that they stand for, and what those are multiplied with.

/// The weights that codes 0..=3 stand for, before the scale. It belongs to the weights, not to a kernel, because
/// published files and the analysis that this project answers use different tables and both must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTable(pub [i8; 4]);

impl CodeTable {
    /// The published files: 0, 1, 2 are -1, 0, +1. Code 3 does not occur; it reads as 0.
    pub const TERNARY: Self = Self([-1, 0, 1, 0]);
    /// The table in the BitNet.rs analysis.
    pub const SEED: Self = Self([-2, -1, 1, 2]);

    /// Whether codes 0, 1, 2 are -1, 0, +1, so that a weight is its code minus one.
    pub fn is_ternary(self) -> bool {
        self.0[..3] == [-1, 0, 1]
    }

    /// The table as f32.
    pub fn as_f32(self) -> [f32; 4] {
        self.0.map(f32::from)
    }
}

/// Factors of the table's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One for the whole tensor.
    PerTensor(f32),
    /// One for each block of 256 weights of a row: `rows * ceil(k / 256)` values, row after row.
    PerBlock(Vec<f32>),
}

/// Weights along k that share a scale when scales are per block.
pub(crate) const SCALE_BLOCK_K: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the published file and the analysis say, not what is written above.
    #[test]
    fn tables_are_those_of_the_file_and_of_the_analysis() {
        assert_eq!(CodeTable::TERNARY.as_f32(), [-1.0, 0.0, 1.0, 0.0]);
        assert_eq!(CodeTable::SEED.as_f32(), [-2.0, -1.0, 1.0, 2.0]);
        assert_eq!((CodeTable::TERNARY.is_ternary(), CodeTable::SEED.is_ternary()), (true, false));
    }
}
