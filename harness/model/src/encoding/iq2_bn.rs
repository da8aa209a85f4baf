//! IQ2_BN of ik_llama.cpp: 64 weights in 16 bytes, with an f32 scale a row.
//!
//! A row begins with its scale. Weight j of a block is in byte j % 16, the first 16 in the lowest bits. Bytes:
//! `quantize_one_row_2bn` in ikawrakow/ik_llama.cpp, ggml/src/iqk/iqk_quantize.cpp. A row of zeros has the scale 0 and,
//! as it is written there, codes that are not 1.

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::planes::{LOW_FIRST, pack, unpack};

/// IQ2_BN.
pub static IQ2_BN: Encoding = Encoding {
    name: "iq2_bn",
    summary: "64 weights in 16 bytes, first in the lowest bits; an f32 scale before each row",
    block: 64,
    bytes: 16,
    head: 4,
    scales: ScaleUnit::Row,
    decode,
    encode: Some(encode),
    ..Encoding::BASE
};

fn decode(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], scales: &mut [f32]) {
    let (scale, blocks) = tensor.row(row, 4 + tensor.k / 4).split_at(4);
    scales[0] = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
    for (block, codes) in blocks.as_chunks::<16>().0.iter().zip(codes.as_chunks_mut::<64>().0) {
        unpack(block, LOW_FIRST, codes);
    }
}

fn encode(codes: &[u8], scales: &[f32], bytes: &mut [u8]) {
    let (scale, blocks) = bytes.split_at_mut(4);
    scale.copy_from_slice(&scales[0].to_le_bytes());
    for (block, codes) in blocks.as_chunks_mut::<16>().0.iter_mut().zip(codes.as_chunks::<64>().0) {
        pack(codes, LOW_FIRST, block);
    }
}
