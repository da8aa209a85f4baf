//! `groups8x128`: 8 rows interleaved, groups of 64, 128 or 256 weights with scales, for AVX2. A block is 8 rows x 128 k
//! in 256 bytes, eight registers in quarters' order: register i, dword lane r, byte j, plane p is row r, k = 32p + 4i +
//! j, at bits 2p. So plane p of a whole block IS 32 consecutive weights, a group of 64 is two planes, one of 128 is a
//! block and one of 256 two: no sum of a plane belongs to two groups. [`super::tile8`] has the four planes within 16
//! consecutive weights instead, which is the same where all of k has one scale.
//!
//! 2.25 bits a weight with the f32 scales of groups of 128 beside them, for each group those of the 8 rows: one load.
//! Code 3 has a place. Rows are padded to panels of 8, k to 128.

use super::interleave::words;
use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "groups8x128",
    rows: ROWS,
    block_k: BLOCK_K,
    block_bytes: BLOCK_BYTES,
    groups: &[64, 128, 256],
    pack,
    unpack,
    ..Layout::PLAIN
};

pub(crate) const ROWS: usize = 8;
pub(crate) const BLOCK_K: usize = 128;
pub(crate) const BLOCK_BYTES: usize = ROWS * BLOCK_K / 4;
/// Dwords of a row in a block.
const STEPS: usize = 8;

fn pack(codes: &[u8], packed: &mut [u8]) {
    for (r, row) in codes.chunks_exact((codes.len() / ROWS).max(1)).enumerate() {
        for (block, codes) in packed.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().zip(row.as_chunks::<BLOCK_K>().0) {
            let planes = codes.as_chunks::<32>().0;
            let quads: [[u32; STEPS]; 4] = std::array::from_fn(|p| words(&planes[p]));
            for i in 0..STEPS {
                let word = quads[0][i] | quads[1][i] << 2 | quads[2][i] << 4 | quads[3][i] << 6;
                block[4 * (ROWS * i + r)..][..4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (r, row) in codes.chunks_exact_mut((codes.len() / ROWS).max(1)).enumerate() {
        for (block, codes) in packed.as_chunks::<BLOCK_BYTES>().0.iter().zip(row.as_chunks_mut::<BLOCK_K>().0) {
            for (plane, codes) in codes.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                for (i, quad) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    *quad = std::array::from_fn(|j| block[4 * (ROWS * i + r) + j] >> (2 * plane) & 3);
                }
            }
        }
    }
}
