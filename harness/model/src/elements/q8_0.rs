//! Q8_0 of ggml: 32 elements in 34 bytes, an fp16 scale and signed bytes.
//!
//! Bytes: `block_q8_0` in ggml-org/ggml, src/ggml-common.h, and `dequantize_row_q8_0` in src/ggml-quants.c.

use super::definition::Elements;
use bytemuck::{Pod, Zeroable};
use half::f16;

/// A block as it lies in a file.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Block {
    scale: [u8; 2],
    numbers: [i8; 32],
}

/// Eight bits an element.
pub static Q8_0: Elements = Elements { name: "q8_0", block: 32, bytes: size_of::<Block>(), decode };

fn decode(bytes: &[u8], out: &mut [f32]) {
    let (blocks, out): (&[Block], _) = (bytemuck::cast_slice(bytes), out.as_chunks_mut::<32>().0);
    assert_eq!(blocks.len(), out.len());
    for (block, out) in blocks.iter().zip(out) {
        let scale = f16::from_le_bytes(block.scale).to_f32();
        out.iter_mut().zip(block.numbers).for_each(|(x, number)| *x = f32::from(number) * scale);
    }
}
