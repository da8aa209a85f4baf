//! F32: IEEE 754 single precision, little-endian.

use super::definition::Elements;

/// Single precision.
pub static F32: Elements = Elements { name: "f32", block: 1, bytes: 4, decode };

fn decode(bytes: &[u8], out: &mut [f32]) {
    let from = bytes.as_chunks::<4>().0;
    assert_eq!(from.len(), out.len());
    out.iter_mut().zip(from).for_each(|(x, bytes)| *x = f32::from_le_bytes(*bytes));
}
