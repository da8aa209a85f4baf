//! TQ2_0 of llama.cpp: 256 weights in 66 bytes, two bits each, with an fp16 scale.
//!
//! Two runs of 32 bytes with 128 weights each: weight j of a run is in byte j % 32, the first 32 in the lowest bits.
//! The scale is last. Bytes: `block_tq2_0` in ggml-org/ggml, src/ggml-common.h, and `quantize_row_tq2_0_ref` in
//! src/ggml-quants.c.

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::planes::{LOW_FIRST, pack, unpack};
use bytemuck::{Pod, Zeroable};
use half::f16;

/// A block as it lies in a file.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Block {
    runs: [[u8; 32]; 2],
    scale: [u8; 2],
}

const BYTES: usize = size_of::<Block>();

/// TQ2_0.
pub static TQ2_0: Encoding = Encoding {
    name: "tq2_0",
    summary: "256 weights in 66 bytes: 2 bits each, an fp16 scale last",
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
        for (run, codes) in block.runs.iter().zip(codes.as_chunks_mut::<128>().0) {
            unpack(run, LOW_FIRST, codes);
        }
        *scale = f16::from_le_bytes(block.scale).to_f32();
    }
}

fn encode(codes: &[u8], scales: &[f32], bytes: &mut [u8]) {
    let blocks: &mut [Block] = bytemuck::cast_slice_mut(bytes);
    for ((block, codes), scale) in blocks.iter_mut().zip(codes.as_chunks::<256>().0).zip(scales) {
        for (run, codes) in block.runs.iter_mut().zip(codes.as_chunks::<128>().0) {
            pack(codes, LOW_FIRST, run);
        }
        block.scale = f16::from_f32(*scale).to_le_bytes();
    }
}
