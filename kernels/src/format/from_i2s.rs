//! Converts the published file's layout directly to the others. Unpacking to one code a byte first would write and read
//! four times the bytes; here words of four or eight codes are moved at once. Source rows are whole blocks of 128 (see
//! [`super::i2s`]).

use super::{i2s, interleave};

/// Four codes of 1 (weight 0): padding.
pub(super) const PADDING: u8 = 0b01_01_01_01;

/// The low bits of four codes, one in each byte, times this: the codes side by side in the top byte. Every other
/// product of a code and a bit of the factor has two bits of its own below the top byte (or falls off), so nothing
/// carries, also with two words in a u64.
const GATHER: u64 = 1 << 24 | 1 << 18 | 1 << 12 | 1 << 6;

/// One row to [`super::qk256`].
pub(super) fn qk256(row: &[u8], packed: &mut [u8]) {
    let (blocks, _) = row.as_chunks::<{ i2s::BLOCK_BYTES }>();
    // 128 codes take 32 bytes in both layouts; a block of 256 may end in padding.
    let (targets, padding) = packed.split_at_mut(row.len());
    for (target, block) in targets.as_chunks_mut::<32>().0.iter_mut().zip(blocks) {
        for (i, eight) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*eight);
            for plane in 0..4 {
                let codes = word >> (6 - 2 * plane) & 0x0303_0303_0303_0303;
                let gathered = codes.wrapping_mul(GATHER);
                target[8 * plane + 2 * i] = (gathered >> 24) as u8;
                target[8 * plane + 2 * i + 1] = (gathered >> 56) as u8;
            }
        }
    }
    padding.fill(PADDING);
}

/// Up to `ROWS` rows to the layouts of [`super::interleave`]. The fields of a dword of either layout are the same four
/// bytes' planes; only which four dwords they come from differs, so a step is shifts and masks, for all rows at once.
pub(super) fn interleaved<const ROWS: usize>(rows: &[u8], row_bytes: usize, packed: &mut [u8]) {
    const HALF: usize = i2s::BLOCK_BYTES / 2;
    // Steps 2p and 2p + 1 of a block are the first and the second half of plane p.
    let steps_of_a_block = packed.chunks_exact_mut(8 * 4 * ROWS);
    for (block, steps) in steps_of_a_block.enumerate() {
        for half in 0..2 {
            let mut quads = [[u32::from_ne_bytes([PADDING; 4]); ROWS]; 4];
            for (r, row) in rows.chunks_exact(row_bytes).take(ROWS).enumerate() {
                let bytes = &row[block * i2s::BLOCK_BYTES + half * HALF..][..HALF];
                let words: [u32; 4] = interleave::words(bytes.first_chunk::<HALF>().unwrap_or(&[PADDING; HALF]));
                (0..4).for_each(|q| quads[q][r] = words[q]);
            }
            for plane in 0..4 {
                let target = &mut steps[(2 * plane + half) * 4 * ROWS..][..4 * ROWS];
                for (r, target) in target.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let codes = |q: usize| quads[q][r] >> (6 - 2 * plane) & 0x0303_0303;
                    *target = (codes(0) | codes(1) << 2 | codes(2) << 4 | codes(3) << 6).to_le_bytes();
                }
            }
        }
    }
}
