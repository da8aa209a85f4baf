//! What fills the operands of the suite.

use crate::packed::CodeTable;
use crate::random::SplitMix64;

/// A way to fill the weights and activations of a test case, chosen to reach extreme sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Codes and activations are random, each value equally likely.
    Random,
    /// Every product is the largest weight times +127.
    AllMax,
    /// Every product is the smallest weight times +127: the most negative sums.
    AllMin,
    /// Every product is the smallest weight times -128: the most positive sums that int8 allows.
    MinTimesMin,
    /// Every product is the largest weight times -128.
    MaxTimesMin,
    /// +127 and -128 in turn against largest and smallest weights in turn: large terms of one sign in each product
    /// pair.
    Alternating,
    /// All weights are zero.
    Zeros,
    /// Every product is the largest weight times +127, but for one activation of 126: groups of 128 and more have odd
    /// sums above 2^13, whose product with a full mantissa needs more bits than f32 has.
    NearMax,
}

impl Pattern {
    /// The patterns that every product is tried with, in the order of the suite.
    pub const ALL: [Self; 7] = [
        Self::Random,
        Self::AllMax,
        Self::AllMin,
        Self::MinTimesMin,
        Self::MaxTimesMin,
        Self::Alternating,
        Self::Zeros,
    ];

    /// The codes of `rows` x `k` weights, and `k` activations.
    pub(super) fn fill(self, [rows, k]: [usize; 2], table: CodeTable, random: &mut SplitMix64) -> (Vec<u8>, Vec<i8>) {
        // In the order of what they stand for.
        let mut in_use: Vec<u8> = if table.is_ternary() { vec![0, 1, 2] } else { vec![0, 1, 2, 3] };
        in_use.sort_by_key(|&code| table.0[usize::from(code)]);
        let (least, most) = (in_use[0], in_use[in_use.len() - 1]);
        let zero = in_use.iter().copied().find(|&code| table.0[usize::from(code)] == 0).unwrap_or(0);
        in_use.sort();
        let code = |i: usize| match self {
            Self::Random => in_use[random.below(in_use.len() as u32) as usize],
            Self::AllMax | Self::MaxTimesMin | Self::NearMax => most,
            Self::AllMin | Self::MinTimesMin => least,
            Self::Alternating => [most, least][i % k % 2],
            Self::Zeros => zero,
        };
        let codes = (0..rows * k).map(code).collect();
        let x = match self {
            Self::Random | Self::Zeros => random.int8s(k),
            Self::AllMax | Self::AllMin => vec![127; k],
            Self::NearMax => (0..k).map(|j| if j % 64 == 7 && j % 128 < 64 { 126 } else { 127 }).collect(),
            Self::MinTimesMin | Self::MaxTimesMin => vec![-128; k],
            Self::Alternating => (0..k).map(|j| [127, -128][j % 2]).collect(),
        };
        (codes, x)
    }
}
