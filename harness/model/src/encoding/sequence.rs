//! Blocks of an fp16 scale and two-bit codes in order: weight 4b + j is in bits 2j of code byte b.
//!
//! The blocks of Q2_0 (64 weights, or 128 in older files) and of PQ2_0. All four codes are weights.

use super::definition::Tensor;
use half::f16;

/// Bytes of the scale, which is before the codes.
const SCALE: usize = 2;

/// The four codes of a byte, the lowest bits first.
#[inline(always)]
fn spread(byte: u8) -> [u8; 4] {
    let byte = u32::from(byte);
    ((byte | byte << 6 | byte << 12 | byte << 18) & 0x0303_0303).to_le_bytes()
}

/// Reads a row of blocks of `BYTES` bytes: four codes a byte after the scale, and a scale a block.
pub fn decode<const BYTES: usize>(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], scales: &mut [f32]) {
    let group = 4 * (BYTES - SCALE);
    let row = tensor.row(row, tensor.k / group * BYTES);
    for ((block, codes), scale) in row.as_chunks::<BYTES>().0.iter().zip(codes.chunks_exact_mut(group)).zip(scales) {
        *scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        for (four, byte) in codes.as_chunks_mut::<4>().0.iter_mut().zip(&block[SCALE..]) {
            *four = spread(*byte);
        }
    }
}

/// The inverse of [`decode`]; a scale is rounded to the nearest fp16.
pub fn encode<const BYTES: usize>(codes: &[u8], scales: &[f32], row: &mut [u8]) {
    let group = 4 * (BYTES - SCALE);
    for ((block, codes), scale) in row.as_chunks_mut::<BYTES>().0.iter_mut().zip(codes.chunks_exact(group)).zip(scales)
    {
        block[..SCALE].copy_from_slice(&f16::from_f32(*scale).to_le_bytes());
        for (byte, [a, b, c, d]) in block[SCALE..].iter_mut().zip(codes.as_chunks::<4>().0) {
            *byte = a | b << 2 | c << 4 | d << 6;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn four_codes_of_every_byte() {
        for byte in 0..=255u8 {
            assert_eq!(spread(byte), [byte & 3, byte >> 2 & 3, byte >> 4 & 3, byte >> 6], "{byte}");
        }
    }
}
