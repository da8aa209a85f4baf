//! QK256 as the BitNet.rs analysis describes it: 256 weights a block, 64 bytes a block, byte = e0 | e1<<2 | e2<<4 |
//! e3<<6, elements in order. Block scales live in an array beside the codes. 2.125 bits a weight with them.

use super::i2s_rows;
use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "qk256",
    block_k: 256,
    block_bytes: 64,
    groups: &[256],
    pack,
    unpack,
    from_i2s: |_, rows, _, packed| from_i2s(rows.bytes, packed),
    ..Layout::PLAIN
};

/// The low bits of four codes, one in each byte, times this: the codes side by side in the top byte. Every other
/// product of a code and a bit of the factor has two bits of its own below the top byte (or falls off), so nothing
/// carries, also with two words in a u64.
const GATHER: u64 = 1 << 24 | 1 << 18 | 1 << 12 | 1 << 6;

fn pack(codes: &[u8], packed: &mut [u8]) {
    for (byte, quad) in packed.iter_mut().zip(codes.chunks_exact(4)) {
        *byte = quad[0] | quad[1] << 2 | quad[2] << 4 | quad[3] << 6;
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (&byte, quad) in packed.iter().zip(codes.chunks_exact_mut(4)) {
        quad.copy_from_slice(&[byte & 3, byte >> 2 & 3, byte >> 4 & 3, byte >> 6]);
    }
}

/// One row, from words of eight codes.
fn from_i2s(row: &[u8], packed: &mut [u8]) {
    let (blocks, _) = row.as_chunks::<{ i2s_rows::BLOCK_BYTES }>();
    // 128 codes take 32 bytes in both layouts; a block of 256 may end in padding.
    let (targets, padding) = packed.split_at_mut(row.len());
    for (target, block) in targets.as_chunks_mut::<32>().0.iter_mut().zip(blocks) {
        for (i, eight) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*eight);
            for plane in 0..4 {
                let codes = word >> (6 - 2 * plane) & 0x0303_0303_0303_0303;
                let gathered = codes.wrapping_mul(GATHER);
                target[8 * plane + 2 * i] = (gathered >> 24) as u8;
                target[8 * plane + 2 * i + 1] = (gathered >> 56) as u8;
            }
        }
    }
    padding.fill(i2s_rows::PADDING);
}

/// Runs `$body` for each 256-weight block of a `Dequantize` in the QK256 layout, with `$codes: &[u8; 64]`,
/// `$scale: f32` and `$out: &mut [f32; 256]`. A macro and not a function, so that the body is compiled with the
/// features of the function around it.
macro_rules! for_each_block {
    ($args:ident, |$codes:ident, $scale:ident, $out:ident| $body:block) => {{
        let blocks = $args.row_bytes / 64;
        let rows = $args.codes.chunks_exact($args.row_bytes).zip($args.scales.chunks_exact(blocks));
        for (weights, (codes, scales)) in $args.weights.chunks_exact_mut($args.k).zip(rows) {
            let (full, rest) = weights.as_chunks_mut::<256>();
            let codes = codes.as_chunks::<64>().0;
            for ((&$scale, $codes), $out) in scales.iter().zip(codes).zip(full) $body
            // A row that is not a multiple of the block: the last block goes through a buffer.
            if let (false, [.., $codes], &[.., $scale]) = (rest.is_empty(), codes, scales) {
                let mut buffer = [0f32; 256];
                let $out = &mut buffer;
                $body
                rest.copy_from_slice(&buffer[..rest.len()]);
            }
        }
    }};
}
pub(crate) use for_each_block;
