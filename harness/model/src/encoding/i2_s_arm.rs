//! I2_S as Arm builds of bitnet.cpp write it: 64 weights in 16 bytes.
//!
//! As on x86, with a block half as wide: weight j of a block is in byte j % 16, the first 16 in the top bits. Bytes:
//! `quantize_i2_s` in microsoft/BitNet, src/ggml-bitnet-mad.cpp, the branch for NEON.

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::planes::{HIGH_FIRST, pack, unpack};
use super::tail;

/// I2_S in blocks of 64 weights.
pub static I2_S_ARM: Encoding = Encoding {
    name: "i2_s-arm",
    summary: "64 weights in 16 bytes, first in the top bits; one f32 scale a tensor (Arm)",
    block: 64,
    bytes: 16,
    tail: tail::BYTES,
    scales: ScaleUnit::Tensor,
    tensor_scale: Some(tail::scale),
    decode,
    encode: Some(encode),
    ..Encoding::BASE
};

fn decode(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], _: &mut [f32]) {
    let blocks = tensor.row(row, tensor.k / 4).as_chunks::<16>().0;
    for (block, codes) in blocks.iter().zip(codes.as_chunks_mut::<64>().0) {
        unpack(block, HIGH_FIRST, codes);
    }
}

fn encode(codes: &[u8], _: &[f32], bytes: &mut [u8]) {
    for (block, codes) in bytes.as_chunks_mut::<16>().0.iter_mut().zip(codes.as_chunks::<64>().0) {
        pack(codes, HIGH_FIRST, block);
    }
}
