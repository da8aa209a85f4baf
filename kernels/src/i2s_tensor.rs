//! Weights as an I2_S tensor stores them, taken from where they lie.

use crate::error::KernelError;
use crate::format::Packing;

/// The codes of an I2_S tensor in the 128/32 layout, borrowed: `rows * k / 4` bytes, none of which holds a code 3.
#[derive(Clone, Copy, Debug)]
pub struct I2sTensor<'a> {
    rows: usize,
    k: usize,
    bytes: &'a [u8],
}

impl<'a> I2sTensor<'a> {
    /// Checks the shape, and every code.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `k` is no multiple of 128 or the number of bytes is wrong, [`KernelError::InvalidByte`] for a code 3.
    pub fn new(rows: usize, k: usize, bytes: &'a [u8]) -> Result<Self, KernelError> {
        let this = Self::assume_valid(rows, k, bytes)?;
        match Packing::I2s.find_invalid_code(bytes) {
            Some(at) => Err(KernelError::InvalidByte { packing: Packing::I2s, at }),
            None => Ok(this),
        }
    }

    /// Checks the shape only, for bytes that were searched with [`Packing::find_invalid_code`] before. A code 3 would be packed as some
    /// other weight, and reach nothing but results.
    ///
    /// # Errors
    /// [`KernelError::Shape`] as in [`Self::new`].
    pub fn assume_valid(rows: usize, k: usize, bytes: &'a [u8]) -> Result<Self, KernelError> {
        let block_k = Packing::I2s.block_k();
        if !k.is_multiple_of(block_k) {
            let expected = k.checked_next_multiple_of(block_k).ok_or(KernelError::TooLarge { rows, k })?;
            return Err(KernelError::Shape {
                what: "columns of an I2_S tensor (rounded up to a block)",
                expected,
                actual: k,
            });
        }
        let expected = rows.checked_mul(Packing::I2s.panel_bytes(k)).ok_or(KernelError::TooLarge { rows, k })?;
        if bytes.len() != expected {
            return Err(KernelError::Shape { what: "bytes of an I2_S tensor", expected, actual: bytes.len() });
        }
        Ok(Self { rows, k, bytes })
    }

    /// Rows (outputs, m).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns (inputs, k).
    pub fn k(&self) -> usize {
        self.k
    }

    /// The bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        Packing::I2s.panel_bytes(self.k)
    }

    /// The bytes of all rows.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}
