//! The scale that I2_S tensors have after their codes.

use super::definition::Tensor;

/// Bytes after the codes: the scale as f32, and 28 that nobody reads.
pub const BYTES: usize = 32;

/// The scale after the codes.
pub fn scale(tensor: Tensor<'_>) -> f32 {
    let tail = &tensor.bytes[tensor.bytes.len() - BYTES..];
    f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]])
}
