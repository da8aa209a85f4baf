//! IQ4_NL of ggml: 32 elements in 18 bytes, an fp16 scale and four bits each that stand for unevenly spaced numbers.
//!
//! Byte j has element j in its lower half and element j + 16 in its upper half. Bytes: `block_iq4_nl` in ggml-org/ggml,
//! src/ggml-common.h, which has the numbers too, and `dequantize_row_iq4_nl` in src/ggml-quants.c.

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

/// What the four bits stand for.
static NUMBERS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Four bits an element, unevenly spaced.
pub static IQ4_NL: Elements = Elements { name: "iq4_nl", block: 32, bytes: size_of::<Block>(), decode };

fn decode(bytes: &[u8], out: &mut [f32]) {
    let (blocks, out): (&[Block], _) = (bytemuck::cast_slice(bytes), out.as_chunks_mut::<32>().0);
    assert_eq!(blocks.len(), out.len());
    for (block, out) in blocks.iter().zip(out) {
        let scale = f16::from_le_bytes(block.scale).to_f32();
        let (lower, upper) = out.split_at_mut(16);
        for ((low, high), pair) in lower.iter_mut().zip(upper).zip(block.pairs) {
            *low = scale * f32::from(NUMBERS[usize::from(pair & 15)]);
            *high = scale * f32::from(NUMBERS[usize::from(pair >> 4)]);
        }
    }
}
