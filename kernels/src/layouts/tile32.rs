//! `tile32x64`: 32 rows side by side, 64 elements of each at a time, for a GPU: neighbouring threads have neighbouring
//! rows and read 16 bytes each, so that 32 of them read 512 bytes that lie together. 2.0 bits a weight; one scale a
//! tensor. Rows are padded to panels of 32, k to 64.
//!
//! A step is 512 bytes. The four words of row r begin at byte 16 r; word c holds elements 16c to 16c + 15 as
//! [`super::vnni16`] has them in its one: byte j, bits 2p is element 4p + j.

use super::interleave::words;
use crate::layout::Layout;

/// Rows of a panel.
const ROWS: usize = 32;
/// Elements along k in a step.
const STEP_K: usize = 64;
/// Bytes of a row in a step.
const ROW_BYTES: usize = 16;
const STEP_BYTES: usize = ROWS * ROW_BYTES;

/// 32 rows side by side: see above.
pub static LAYOUT: Layout =
    Layout { name: "tile32x64", rows: ROWS, block_k: STEP_K, block_bytes: STEP_BYTES, pack, unpack, ..Layout::PLAIN };

fn pack(codes: &[u8], packed: &mut [u8]) {
    for (r, row) in codes.chunks_exact((codes.len() / ROWS).max(1)).enumerate() {
        for (step, codes) in packed.chunks_exact_mut(STEP_BYTES).zip(row.as_chunks::<STEP_K>().0) {
            let own = &mut step[ROW_BYTES * r..][..ROW_BYTES];
            for (word, codes) in own.as_chunks_mut::<4>().0.iter_mut().zip(codes.as_chunks::<16>().0) {
                let [w0, w1, w2, w3] = words(codes);
                *word = (w0 | w1 << 2 | w2 << 4 | w3 << 6).to_le_bytes();
            }
        }
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (r, row) in codes.chunks_exact_mut((codes.len() / ROWS).max(1)).enumerate() {
        for (step, codes) in packed.chunks_exact(STEP_BYTES).zip(row.as_chunks_mut::<STEP_K>().0) {
            let own = &step[ROW_BYTES * r..][..ROW_BYTES];
            for (word, codes) in own.as_chunks::<4>().0.iter().zip(codes.as_chunks_mut::<16>().0) {
                let word = u32::from_le_bytes(*word);
                for (plane, codes) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    *codes = (word >> (2 * plane) & 0x0303_0303).to_le_bytes();
                }
            }
        }
    }
}
