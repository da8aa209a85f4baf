//! What a type of dense elements is.

use std::fmt;

/// One way to store numbers that are no ternary weights, as data: one file of this folder and one row of `gguf::types`.
pub struct Elements {
    /// Name, for example `q8_0`.
    pub name: &'static str,
    /// Elements of a block: a row has a whole number of blocks.
    pub block: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Widens whole blocks to f32, one element for each of the second slice. What is no number stays none.
    ///
    /// # Panics
    /// If the bytes are not those of as many elements, or are not whole blocks.
    pub decode: fn(&[u8], &mut [f32]),
}

impl fmt::Debug for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
