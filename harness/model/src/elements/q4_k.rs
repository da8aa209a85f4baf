//! Q4_K of ggml: 256 elements in 144 bytes, four bits each, with a scale and a minimum for every 32.
//!
//! An element is (fp16 scale x own scale) x number - (fp16 minimum x own minimum), each product rounded to f32. Of each
//! 64 elements, 32 bytes have the first 32 in their lower halves and the others in the upper ones. The eight scales and
//! minima have six bits each, in 12 bytes: those of the first four groups in the lower six bits of bytes 0 to 3 and 4
//! to 7; of the others, the lower four bits in the halves of bytes 8 to 11 and the upper two at the top of bytes 0 to 3
//! and 4 to 7. Bytes: `block_q4_K` in ggml-org/ggml, src/ggml-common.h, and `dequantize_row_q4_K` in src/ggml-quants.c.

use super::definition::Elements;
use bytemuck::{Pod, Zeroable};
use half::f16;

/// A block as it lies in a file.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Block {
    scale: [u8; 2],
    minimum: [u8; 2],
    scales: [u8; 12],
    pairs: [[u8; 32]; 4],
}

/// Four bits an element, groups with a minimum.
pub static Q4_K: Elements = Elements { name: "q4_k", block: 256, bytes: size_of::<Block>(), decode };

/// Scale and minimum of the eight groups of 32, six bits each.
fn own(scales: [u8; 12], group: usize) -> (u8, u8) {
    match group {
        0..4 => (scales[group] & 63, scales[group + 4] & 63),
        _ => {
            let (lower, i) = (scales[group + 4], group - 4);
            (lower & 15 | scales[i] >> 6 << 4, lower >> 4 | scales[i + 4] >> 6 << 4)
        }
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    let (blocks, out): (&[Block], _) = (bytemuck::cast_slice(bytes), out.as_chunks_mut::<256>().0);
    assert_eq!(blocks.len(), out.len());
    for (block, out) in blocks.iter().zip(out) {
        let (scale, minimum) = (f16::from_le_bytes(block.scale).to_f32(), f16::from_le_bytes(block.minimum).to_f32());
        for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (own_scale, own_minimum) = own(block.scales, group);
            let (factor, below) = (scale * f32::from(own_scale), minimum * f32::from(own_minimum));
            let shift = group % 2 * 4;
            for (x, pair) in out.iter_mut().zip(block.pairs[group / 2]) {
                *x = factor * f32::from(pair >> shift & 15) - below;
            }
        }
    }
}
