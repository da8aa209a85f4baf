//! Texts by number, all in one buffer: a vocabulary has hundreds of thousands.

/// Texts, one behind the other: whoever adds one writes its bytes and then where it ends.
#[derive(Default)]
pub struct Texts {
    pub bytes: Vec<u8>,
    /// Where each one ends.
    pub ends: Vec<usize>,
}

impl Texts {
    /// The text of this number, empty where there is none.
    pub fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends.get(number - 1).copied().unwrap_or(0) };
        self.ends.get(number).map_or(&[], |&end| &self.bytes[start..end])
    }

    /// Bytes of the longest.
    pub fn longest(&self) -> usize {
        (0..self.ends.len()).map(|number| self.get(number).len()).max().unwrap_or(0)
    }
}
