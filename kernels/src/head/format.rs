//! Number formats of the output head.

/// How many bits the head's weights are held in: fewer are faster to read and change the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadFormat {
    /// Weights are f16 as in the file: 16 bits a weight.
    F16,
    /// Weights are int8 with one f32 scale a row: 8 bits a weight and 32 a row.
    Q8,
    /// Weights are 4-bit codes with one f16 scale for each 128 weights of a row: 4.125 bits a weight.
    Q4,
}

impl HeadFormat {
    /// All head formats, from the most to the fewest bits a weight.
    pub const ALL: [Self; 3] = [Self::F16, Self::Q8, Self::Q4];

    /// Name on the command line and in receipts: `f16`, `q8` or `q4`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}
