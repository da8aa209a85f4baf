//! PTQ1_0 of PrismML's fork of llama.cpp: TQ1_0's codec with 128 weights in 28 bytes.
//!
//! 24 bytes of five digits, in a run of 16 bytes (weights 0 to 79) and one of 8 (80 to 119), two bytes of four digits
//! (120 to 127), then an fp16 scale. Bytes: `block_ptq1_0` and `quantize_row_ptq1_0_ref` of that fork
//! (PrismML-Eng/llama.cpp).

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::trits::{pack, unpack};
use bytemuck::{Pod, Zeroable};
use half::f16;

/// A block as it lies in a file.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Block {
    first: [u8; 16],
    second: [u8; 8],
    last: [u8; 2],
    scale: [u8; 2],
}

const BYTES: usize = size_of::<Block>();

/// PTQ1_0.
pub static PTQ1_0: Encoding = Encoding {
    name: "ptq1_0",
    summary: "128 weights in 28 bytes: 5 a byte in base 3, an fp16 scale last",
    block: 128,
    bytes: BYTES,
    scales: ScaleUnit::Group(128),
    half_scales: true,
    decode,
    encode: Some(encode),
    ..Encoding::BASE
};

fn decode(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], scales: &mut [f32]) {
    let blocks: &[Block] = bytemuck::cast_slice(tensor.row(row, tensor.k / 128 * BYTES));
    for ((block, codes), scale) in blocks.iter().zip(codes.as_chunks_mut::<128>().0).zip(scales) {
        unpack(&block.first, &mut codes[..80]);
        unpack(&block.second, &mut codes[80..120]);
        unpack(&block.last, &mut codes[120..]);
        *scale = f16::from_le_bytes(block.scale).to_f32();
    }
}

fn encode(codes: &[u8], scales: &[f32], bytes: &mut [u8]) {
    let blocks: &mut [Block] = bytemuck::cast_slice_mut(bytes);
    for ((block, codes), scale) in blocks.iter_mut().zip(codes.as_chunks::<128>().0).zip(scales) {
        pack(&codes[..80], &mut block.first);
        pack(&codes[80..120], &mut block.second);
        pack(&codes[120..], &mut block.last);
        block.scale = f16::from_f32(*scale).to_le_bytes();
    }
}
