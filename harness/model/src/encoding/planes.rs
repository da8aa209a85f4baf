//! Two-bit codes in planes: byte b of W bytes holds weights b, W + b, 2W + b and 3W + b.

use super::definition::Tensor;

/// The first quarter of the weights is in the lowest bits.
pub const LOW_FIRST: [u32; 4] = [0, 2, 4, 6];
/// The first quarter of the weights is in the highest bits.
pub const HIGH_FIRST: [u32; 4] = [6, 4, 2, 0];

/// Reads a row of blocks of `W` bytes, `4 * W` weights each, the first of which are in the highest bits.
pub fn decode<const W: usize>(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], _: &mut [f32]) {
    let blocks = tensor.row(row, tensor.k / 4).as_chunks::<W>().0;
    for (block, codes) in blocks.iter().zip(codes.chunks_exact_mut(4 * W)) {
        unpack(block, HIGH_FIRST, codes);
    }
}

/// The inverse of [`decode`].
pub fn encode<const W: usize>(codes: &[u8], _: &[f32], bytes: &mut [u8]) {
    for (block, codes) in bytes.as_chunks_mut::<W>().0.iter_mut().zip(codes.chunks_exact(4 * W)) {
        pack(codes, HIGH_FIRST, block);
    }
}

/// Spreads W bytes over `4 * W` codes; plane n lies `shifts[n]` bits from the bottom.
#[inline(always)]
pub fn unpack<const W: usize>(bytes: &[u8; W], shifts: [u32; 4], codes: &mut [u8]) {
    for (plane, shift) in codes.as_chunks_mut::<W>().0.iter_mut().zip(shifts) {
        for (code, byte) in plane.iter_mut().zip(bytes) {
            *code = byte >> shift & 3;
        }
    }
}

/// The inverse of [`unpack`]: `4 * W` codes, each below 4, in W bytes.
#[inline(always)]
pub fn pack<const W: usize>(codes: &[u8], shifts: [u32; 4], bytes: &mut [u8; W]) {
    *bytes = [0; W];
    for (plane, shift) in codes.as_chunks::<W>().0.iter().zip(shifts) {
        for (byte, code) in bytes.iter_mut().zip(plane) {
            *byte |= code << shift;
        }
    }
}
