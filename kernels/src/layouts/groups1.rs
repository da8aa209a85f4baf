//! `groups1x64`: single rows whose groups of 64, 128 or 256 weights have scales. 64 weights in 16 bytes, element j in
//! byte j % 16 at bits 2 * (j / 16): four planes of 16, and no block crosses a group. 2.25 bits a weight with the f32
//! scales of groups of 128 beside them; code 3 has a place. Rows are padded to 64.

use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "groups1x64",
    block_k: BLOCK_K,
    block_bytes: BLOCK_BYTES,
    groups: &[64, 128, 256],
    pack,
    unpack,
    ..Layout::PLAIN
};

pub(crate) const BLOCK_K: usize = 64;
pub(crate) const BLOCK_BYTES: usize = 16;

fn pack(codes: &[u8], packed: &mut [u8]) {
    for (bytes, block) in packed.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().zip(codes.as_chunks::<BLOCK_K>().0) {
        *bytes = std::array::from_fn(|i| block[i] | block[16 + i] << 2 | block[32 + i] << 4 | block[48 + i] << 6);
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (bytes, block) in packed.as_chunks::<BLOCK_BYTES>().0.iter().zip(codes.as_chunks_mut::<BLOCK_K>().0) {
        for (plane, codes) in block.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            *codes = bytes.map(|byte| byte >> (2 * plane) & 3);
        }
    }
}
