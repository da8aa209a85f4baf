//! TQ1_0 of llama.cpp: 256 weights in 54 bytes, base 3, with an fp16 scale.
//!
//! 48 bytes of five digits, in a run of 32 bytes (weights 0 to 159) and one of 16 (160 to 239), four bytes of four
//! digits (240 to 255), then the scale. Bytes: `block_tq1_0` in ggml-org/ggml, src/ggml-common.h, and
//! `quantize_row_tq1_0_ref` in src/ggml-quants.c.

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::trits::{pack, unpack};
use bytemuck::{Pod, Zeroable};
use half::f16;

/// A block as it lies in a file.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Block {
    first: [u8; 32],
    second: [u8; 16],
    last: [u8; 4],
    scale: [u8; 2],
}

const BYTES: usize = size_of::<Block>();

/// TQ1_0.
pub static TQ1_0: Encoding = Encoding {
    name: "tq1_0",
    summary: "256 weights in 54 bytes: 5 a byte in base 3, an fp16 scale last",
    block: 256,
    bytes: BYTES,
    scales: ScaleUnit::Group(256),
    half_scales: true,
    decode,
    encode: Some(encode),
    ..Encoding::BASE
};

fn decode(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], scales: &mut [f32]) {
    let blocks: &[Block] = bytemuck::cast_slice(tensor.row(row, tensor.k / 256 * BYTES));
    for ((block, codes), scale) in blocks.iter().zip(codes.as_chunks_mut::<256>().0).zip(scales) {
        unpack(&block.first, &mut codes[..160]);
        unpack(&block.second, &mut codes[160..240]);
        unpack(&block.last, &mut codes[240..]);
        *scale = f16::from_le_bytes(block.scale).to_f32();
    }
}

fn encode(codes: &[u8], scales: &[f32], bytes: &mut [u8]) {
    let blocks: &mut [Block] = bytemuck::cast_slice_mut(bytes);
    for ((block, codes), scale) in blocks.iter_mut().zip(codes.as_chunks::<256>().0).zip(scales) {
        pack(&codes[..160], &mut block.first);
        pack(&codes[160..240], &mut block.second);
        pack(&codes[240..], &mut block.last);
        block.scale = f16::from_f32(*scale).to_le_bytes();
    }
}
