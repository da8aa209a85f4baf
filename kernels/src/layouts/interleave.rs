//! What the row-interleaved 2-bit layouts share: `ROWS` rows side by side, 16 elements of each at a time.
//!
//! A step is `4 * ROWS` bytes. Dword r belongs to row r; its byte j holds elements 4p + j at bits 2p, p = 0..4. So one
//! dword of four consecutive activations, broadcast to all lanes, is what plane p of every row is multiplied with, and
//! a dot product instruction that sums the four bytes of a lane leaves one row in each lane: no horizontal sum at the
//! end.
//!
//! Seen as little-endian words, a packed dword is `w0 | w1 << 2 | w2 << 4 | w3 << 6` of the four dwords of codes: no
//! bit leaves its byte, because codes are at most 3. Both directions work on such words.

use super::i2s_rows::{BLOCK_BYTES, I2sRows, PADDING};
use crate::layout::Layout;

/// Elements along k in a step.
const STEP_K: usize = 16;

/// The layout of so many rows side by side.
pub(super) const fn layout<const ROWS: usize>(name: &'static str) -> Layout {
    Layout {
        name,
        rows: ROWS,
        block_k: STEP_K,
        block_bytes: 4 * ROWS,
        pack: pack::<ROWS>,
        unpack: unpack::<ROWS>,
        from_i2s: |_, rows, _, packed| from_i2s::<ROWS>(rows, packed),
        ..Layout::PLAIN
    }
}

/// Packs `ROWS` rows of codes; the row length is a multiple of [`STEP_K`].
fn pack<const ROWS: usize>(codes: &[u8], packed: &mut [u8]) {
    for (r, row) in codes.chunks_exact((codes.len() / ROWS).max(1)).enumerate() {
        for (step, codes) in packed.chunks_exact_mut(4 * ROWS).zip(row.as_chunks::<STEP_K>().0) {
            let [w0, w1, w2, w3] = words(codes);
            step[4 * r..4 * r + 4].copy_from_slice(&(w0 | w1 << 2 | w2 << 4 | w3 << 6).to_le_bytes());
        }
    }
}

/// The inverse of [`pack`].
fn unpack<const ROWS: usize>(packed: &[u8], codes: &mut [u8]) {
    for (r, row) in codes.chunks_exact_mut((codes.len() / ROWS).max(1)).enumerate() {
        for (step, codes) in packed.chunks_exact(4 * ROWS).zip(row.as_chunks_mut::<STEP_K>().0) {
            let word = u32::from_le_bytes([step[4 * r], step[4 * r + 1], step[4 * r + 2], step[4 * r + 3]]);
            for (plane, codes) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *codes = (word >> (2 * plane) & 0x0303_0303).to_le_bytes();
            }
        }
    }
}

/// Packs up to `ROWS` rows of an I2_S tensor. The fields of a dword of either layout are the same four
/// bytes' planes; only which four dwords they come from differs, so a step is shifts and masks, for all rows at once.
fn from_i2s<const ROWS: usize>(rows: I2sRows<'_>, packed: &mut [u8]) {
    const HALF: usize = BLOCK_BYTES / 2;
    // Steps 2p and 2p + 1 of a block are the first and the second half of plane p.
    let steps_of_a_block = packed.chunks_exact_mut(8 * 4 * ROWS);
    for (block, steps) in steps_of_a_block.enumerate() {
        for half in 0..2 {
            let mut quads = [[u32::from_ne_bytes([PADDING; 4]); ROWS]; 4];
            for (r, row) in rows.bytes.chunks_exact(rows.row_bytes).take(ROWS).enumerate() {
                let bytes = &row[block * BLOCK_BYTES + half * HALF..][..HALF];
                let words: [u32; 4] = words(bytes.first_chunk::<HALF>().unwrap_or(&[PADDING; HALF]));
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

/// Four codes at a time as little-endian words. `N` is 16, 20 or 32 codes, `W` a quarter of it.
pub(super) fn words<const N: usize, const W: usize>(codes: &[u8; N]) -> [u32; W] {
    const { assert!(N == 4 * W) };
    let (quads, _) = codes.as_chunks::<4>();
    std::array::from_fn(|w| u32::from_le_bytes(quads[w]))
}
