//! BF16: the upper half of an f32, little-endian.

use super::definition::Elements;

/// An f32 cut to 16 bits.
pub static BF16: Elements = Elements { name: "bf16", block: 1, bytes: 2, decode };

fn decode(bytes: &[u8], out: &mut [f32]) {
    let from = bytes.as_chunks::<2>().0;
    assert_eq!(from.len(), out.len());
    let widened = |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    out.iter_mut().zip(from).for_each(|(x, bytes)| *x = widened(bytes));
}
