//! F16: IEEE 754 half precision, little-endian.

use super::definition::Elements;
use half::slice::HalfFloatSliceExt;

/// Half precision.
pub static F16: Elements = Elements { name: "f16", block: 1, bytes: 2, decode };

fn decode(bytes: &[u8], out: &mut [f32]) {
    // Tensors are aligned, so the whole slice is widened by the CPU's instruction where it has one.
    match bytemuck::try_cast_slice::<u8, half::f16>(bytes) {
        Ok(halves) => halves.convert_to_f32_slice(out),
        Err(_) => {
            let from = bytes.as_chunks::<2>().0;
            assert_eq!(from.len(), out.len());
            out.iter_mut().zip(from).for_each(|(x, bytes)| *x = half::f16::from_le_bytes(*bytes).to_f32());
        }
    }
}
