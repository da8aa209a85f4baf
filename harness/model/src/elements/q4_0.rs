//! Q4_0 of ggml: 32 elements in 18 bytes, an fp16 scale and four bits each.
//!
//! Byte j has element j in its lower half and element j + 16 in its upper half; 8 stands for 0. Bytes: `block_q4_0` in
//! ggml-org/ggml, src/ggml-common.h, and `dequantize_row_q4_0` in src/ggml-quants.c.

use super::definition::Elements;
use bytemuck::{Pod, Zeroable};
use half::f16;

/// A block as it lies in a file.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Block {
    scale: [u8; 2],
    pairs: [u8; 16],
}

/// Four bits an element.
pub static Q4_0: Elements = Elements { name: "q4_0", block: 32, bytes: size_of::<Block>(), decode };

fn decode(bytes: &[u8], out: &mut [f32]) {
    let (blocks, out): (&[Block], _) = (bytemuck::cast_slice(bytes), out.as_chunks_mut::<32>().0);
    assert_eq!(blocks.len(), out.len());
    for (block, out) in blocks.iter().zip(out) {
        let scale = f16::from_le_bytes(block.scale).to_f32();
        let (lower, upper) = out.split_at_mut(16);
        for ((low, high), pair) in lower.iter_mut().zip(upper).zip(block.pairs) {
            *low = f32::from((pair & 15) as i8 - 8) * scale;
            *high = f32::from((pair >> 4) as i8 - 8) * scale;
        }
    }
}
