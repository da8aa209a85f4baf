//! Weights as an I2_S tensor stores them, taken from where they lie.

use crate::error::{KernelError, same};
use crate::layouts;

/// Bytes that are tested together, without a branch in between: a vector loop.
const CHUNK: usize = 4096;

/// The codes of an I2_S tensor in the 128/32 layout, borrowed: `rows * k / 4` bytes, none of which holds a code 3.
#[derive(Clone, Copy, Debug)]
pub struct I2sTensor<'a> {
    rows: usize,
    k: usize,
    bytes: &'a [u8],
}

impl<'a> I2sTensor<'a> {
    /// Borrows the codes of a tensor that nobody has checked: checks the shape, and every code.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `k` is no multiple of 128 or the number of bytes is wrong,
    /// [`KernelError::InvalidByte`] for a code 3.
    pub fn new(rows: usize, k: usize, bytes: &'a [u8]) -> Result<Self, KernelError> {
        let this = Self::assume_valid(rows, k, bytes)?;
        match Self::find_code_3(bytes) {
            Some(at) => Err(KernelError::InvalidByte { layout: &layouts::I2S, at }),
            None => Ok(this),
        }
    }

    /// Borrows codes that were searched with [`Self::find_code_3`] before: checks the shape only. A code 3 would be
    /// packed as some other weight, and reach nothing but results.
    ///
    /// # Errors
    /// [`KernelError::Shape`] as in [`Self::new`].
    pub fn assume_valid(rows: usize, k: usize, bytes: &'a [u8]) -> Result<Self, KernelError> {
        let block_k = layouts::I2S.block_k;
        let too_large = KernelError::TooLarge { rows, k };
        let whole = k.checked_next_multiple_of(block_k).ok_or(too_large.clone())?;
        same("columns of an I2_S tensor (rounded up to a block)", whole, k)?;
        same("bytes of an I2_S tensor", rows.checked_mul(layouts::I2S.panel_bytes(k)).ok_or(too_large)?, bytes.len())?;
        Ok(Self { rows, k, bytes })
    }

    /// Index of the first byte with a code 3, which ternary weights do not have.
    pub fn find_code_3(bytes: &[u8]) -> Option<usize> {
        let has_code_3 = |byte: u8| byte & byte >> 1 & 0b01_01_01_01 != 0;
        bytes.chunks(CHUNK).enumerate().find_map(|(i, chunk)| {
            let any = chunk.iter().fold(0, |any, &byte| any | u8::from(has_code_3(byte))) != 0;
            if !any {
                return None;
            }
            chunk.iter().position(|&byte| has_code_3(byte)).map(|at| i * CHUNK + at)
        })
    }

    /// Number of rows (outputs, m) of the tensor.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns (inputs, k) of the tensor.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        layouts::I2S.panel_bytes(self.k)
    }

    /// The bytes of all rows.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::{Codes, PackedWeights};
    use crate::random::SplitMix64;
    use crate::testing::team;
    use std::sync::Arc;

    /// Direct packing from I2_S gives the very bytes that packing single codes does, for every layout, shape and number
    /// of threads.
    #[test]
    fn i2s_tensors_are_packed_directly() {
        for (rows, k) in [(1, 128), (2, 256), (15, 384), (16, 640), (17, 1280), (35, 896), (40, 128), (0, 256), (3, 0)]
        {
            let codes = SplitMix64::new(7).ternary_codes(rows * k);
            let pack = |layout| PackedWeights::pack(layout, Codes::ternary(rows, k, &codes, 2.0)).expect("valid");
            let file = pack(&layouts::I2S);
            let source = I2sTensor::new(rows, k, file.code_bytes()).expect("an I2_S tensor");
            for &layout in layouts::ALL {
                let want = pack(layout);
                for threads in [1, 2, 3] {
                    let got = PackedWeights::from_i2s(layout, source, 2.0, &mut team(threads)).expect("fits");
                    assert_eq!(got.code_bytes(), want.code_bytes(), "{layout} {rows}x{k}, {threads} threads");
                    assert_eq!((got.layout(), got.table(), got.tensor_scale()), (layout, want.table(), Some(2.0)));
                    assert_eq!(got.bytes(), want.bytes());
                }
            }
            let there = Arc::new(file.code_bytes().to_vec());
            let in_place = PackedWeights::in_place([rows, k], there.clone(), 2.0).expect("an I2_S tensor");
            assert_eq!((in_place.layout(), in_place.tensor_scale()), (&layouts::I2S, Some(2.0)));
            assert_eq!(in_place.code_bytes().as_ptr_range(), there.as_ptr_range());
            assert_eq!(in_place.bytes(), file.bytes());
            if rows > 0 && k > 0 {
                assert_eq!(in_place.row_codes(rows - 1), file.row_codes(rows - 1));
            }
            let short = Arc::new(vec![0u8; there.len() + 1]);
            assert!(PackedWeights::in_place([rows, k], short, 2.0).is_err(), "{rows}x{k}: a byte too many");
        }
    }

    #[test]
    fn a_tensor_is_checked() {
        let shape = |what, expected, actual| KernelError::Shape { what, expected, actual };
        let columns = shape("columns of an I2_S tensor (rounded up to a block)", 256, 200);
        let mut bytes = [0; 64];
        bytes[40] = 0b00_11_00_00;
        for (rows, k, bytes, refused) in [
            (2, 200, &[0; 100][..], columns),
            (2, 128, &[0; 65], shape("bytes of an I2_S tensor", 64, 65)),
            (usize::MAX, 128, &[], KernelError::TooLarge { rows: usize::MAX, k: 128 }),
            (1, usize::MAX, &[], KernelError::TooLarge { rows: 1, k: usize::MAX }),
            (2, 128, &bytes, KernelError::InvalidByte { layout: &layouts::I2S, at: 40 }),
        ] {
            assert_eq!(I2sTensor::new(rows, k, bytes).expect_err("not a tensor"), refused);
        }
    }

    #[test]
    fn the_first_code_3_is_found_at_every_position() {
        for length in [1, 40, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3] {
            for at in [0, 1, 7, 8, 39, CHUNK - 1, CHUNK, 2 * CHUNK + 2].into_iter().filter(|&at| at < length) {
                let mut bytes = vec![0b10_01_00_10; length];
                assert_eq!(I2sTensor::find_code_3(&bytes), None);
                bytes[at] = 0b11_11_11_11;
                assert_eq!(I2sTensor::find_code_3(&bytes), Some(at));
            }
        }
    }

    #[test]
    fn a_byte_has_a_code_3_if_one_of_its_codes_is_3() {
        for byte in 0..=u8::MAX {
            let codes = [0, 2, 4, 6].map(|shift| byte >> shift & 3);
            assert_eq!(I2sTensor::find_code_3(&[byte]).is_some(), codes.contains(&3), "{byte:#010b}");
        }
    }
}
