//! `lut16x128`: indices into tables of sums, for the prefill kernel. 128 rows interleaved; a block is 128 rows x 9 k in
//! 256 bytes, one little-endian 16-bit lane a row: `i0 | i1 << 5 | i2 << 10` with ig = t0 + 3 t1 + 9 t2, at most 26, of
//! the codes at k = 3g, 3g + 1, 3g + 2. The top bit is zero. 16 bits for 9 weights: 1.778 bits a weight; one scale a
//! tensor. Rows are padded to panels of 128, k to 9. Code 3 has no place here.
//!
//! `vpermw` reads only the low 5 bits of an index: a lane needs no mask, only two shifts by 5 for its three indices.
//!
//! 9 does not divide [`crate::K_PADDING`]: a row's padding may end up to 8 elements beyond it, inside
//! [`crate::K_SLACK`].

use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "lut16x128",
    rows: ROWS,
    block_k: BLOCK_K,
    block_bytes: BLOCK_BYTES,
    ternary_only: true,
    pack,
    unpack,
    ..Layout::PLAIN
};

const ROWS: usize = 128;
const BLOCK_K: usize = 9;
const BLOCK_BYTES: usize = 2 * ROWS;
const _: () = assert!(crate::K_SLACK >= BLOCK_K - 1);

fn pack(codes: &[u8], packed: &mut [u8]) {
    for (r, row) in codes.chunks_exact((codes.len() / ROWS).max(1)).enumerate() {
        for (block, codes) in packed.chunks_exact_mut(BLOCK_BYTES).zip(row.as_chunks::<BLOCK_K>().0) {
            let index =
                |g: usize| u16::from(codes[3 * g]) + 3 * u16::from(codes[3 * g + 1]) + 9 * u16::from(codes[3 * g + 2]);
            let lane = index(0) | (index(1) << 5) | (index(2) << 10);
            block[2 * r..2 * r + 2].copy_from_slice(&lane.to_le_bytes());
        }
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (r, row) in codes.chunks_exact_mut((codes.len() / ROWS).max(1)).enumerate() {
        for (block, codes) in packed.chunks_exact(BLOCK_BYTES).zip(row.as_chunks_mut::<BLOCK_K>().0) {
            let lane = u16::from_le_bytes([block[2 * r], block[2 * r + 1]]);
            for (g, codes) in codes.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let index = (lane >> (5 * g)) & 31;
                *codes = [index % 3, index / 3 % 3, index / 9].map(|trit| trit as u8);
            }
        }
    }
}
