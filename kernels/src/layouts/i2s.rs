//! I2_S in the 128/32 layout of the published BitNet b1.58 file: 128 weights in 32 bytes, element j in byte j % 32 at
//! shift 6 - 2 * (j / 32). Four planes of 32 consecutive elements, so that one 32-byte load and three shifts give them
//! in order. 2.0 bits a weight; one f32 scale a tensor is stored elsewhere.

use super::i2s_rows::{BLOCK_BYTES, BLOCK_K, unpack};
use crate::layout::Layout;

/// The I2_S layout: 128 weights in 32 bytes, as the published BitNet b1.58 file holds them.
pub static LAYOUT: Layout = Layout {
    name: "i2s-128x32",
    block_k: BLOCK_K,
    block_bytes: BLOCK_BYTES,
    pack,
    unpack,
    from_i2s: |_, rows, _, packed| packed.copy_from_slice(rows.bytes),
    ..Layout::PLAIN
};

fn pack(codes: &[u8], packed: &mut [u8]) {
    for (bytes, block) in packed.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().zip(codes.as_chunks::<BLOCK_K>().0) {
        *bytes = std::array::from_fn(|i| block[i] << 6 | block[32 + i] << 4 | block[64 + i] << 2 | block[96 + i]);
    }
}
