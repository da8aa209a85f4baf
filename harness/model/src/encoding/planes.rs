//! Two-bit codes in planes: byte b of W bytes holds weights b, W + b, 2W + b and 3W + b.

/// The first quarter of the weights is in the lowest bits.
pub const LOW_FIRST: [u32; 4] = [0, 2, 4, 6];
/// The first quarter of the weights is in the highest bits.
pub const HIGH_FIRST: [u32; 4] = [6, 4, 2, 0];

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
