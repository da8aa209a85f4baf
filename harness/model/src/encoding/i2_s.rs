//! I2_S as x86 builds of bitnet.cpp write it with ACT_PARALLEL, and its converter: the layout of the published files.
//!
//! 128 weights in 32 bytes: weight j of a block is in byte j % 32, the first 32 in the top bits. One scale a tensor,
//! after the codes. Bytes: `quantize_i2_s` in microsoft/BitNet, src/ggml-bitnet-mad.cpp.

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::planes::{HIGH_FIRST, pack, unpack};
use super::tail;

/// I2_S in blocks of 128 weights.
pub static I2_S: Encoding = Encoding {
    name: "i2_s",
    summary: "128 weights in 32 bytes, first in the top bits; one f32 scale a tensor (x86)",
    block: 128,
    bytes: 32,
    tail: tail::BYTES,
    scales: ScaleUnit::Tensor,
    tensor_scale: Some(tail::scale),
    decode,
    encode: Some(encode),
    ..Encoding::BASE
};

fn decode(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], _: &mut [f32]) {
    let blocks = tensor.row(row, tensor.k / 4).as_chunks::<32>().0;
    for (block, codes) in blocks.iter().zip(codes.as_chunks_mut::<128>().0) {
        unpack(block, HIGH_FIRST, codes);
    }
}

fn encode(codes: &[u8], _: &[f32], bytes: &mut [u8]) {
    for (block, codes) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(codes.as_chunks::<128>().0) {
        pack(codes, HIGH_FIRST, block);
    }
}
