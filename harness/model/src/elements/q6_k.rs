//! Q6_K of ggml: 256 elements in 210 bytes, six bits each, with a signed byte as scale for every 16 and an fp16 one.
//!
//! Of each 128 elements, the lower four bits are in 64 bytes: elements 0 to 63 in their lower halves, 64 to 127 in the
//! upper ones. The upper two bits are in 32 bytes: element j in byte j % 32, the first 32 in the lowest bits. 32 stands
//! for 0. The factor of an element is the fp16 scale times its own, rounded to f32. Bytes: `block_q6_K` in
//! ggml-org/ggml, src/ggml-common.h, and `dequantize_row_q6_K` in src/ggml-quants.c.

use super::definition::Elements;
use bytemuck::{Pod, Zeroable};
use half::f16;

/// A block as it lies in a file.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Block {
    lower: [[u8; 64]; 2],
    upper: [[u8; 32]; 2],
    scales: [[i8; 8]; 2],
    scale: [u8; 2],
}

/// Six bits an element.
pub static Q6_K: Elements = Elements { name: "q6_k", block: 256, bytes: size_of::<Block>(), decode };

fn decode(bytes: &[u8], out: &mut [f32]) {
    let (blocks, out): (&[Block], _) = (bytemuck::cast_slice(bytes), out.as_chunks_mut::<256>().0);
    assert_eq!(blocks.len(), out.len());
    for (block, out) in blocks.iter().zip(out) {
        let scale = f16::from_le_bytes(block.scale).to_f32();
        for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
            let (lower, upper) = (&block.lower[half], &block.upper[half]);
            for (j, x) in out.iter_mut().enumerate() {
                let low = lower[j % 64] >> (j / 64 * 4) & 15;
                let high = upper[j % 32] >> (j / 32 * 2) & 3;
                let factor = scale * f32::from(block.scales[half][j / 16]);
                *x = factor * f32::from((low | high << 4) as i8 - 32);
            }
        }
    }
}
