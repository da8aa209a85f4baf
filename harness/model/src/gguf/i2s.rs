//! What must hold of an I2_S tensor's bytes: codes 0, 1 and 2 only, and a usable scale.

use super::file::Gguf;
use super::tensors::TensorInfo;
use super::types::{self, I2S_TAIL};
use crate::error::Result;
use kernels::I2sTensor;

/// The low bit of each 2-bit code in eight bytes.
const LOW_BITS: u64 = 0x5555_5555_5555_5555;

/// How often each 2-bit code occurs in an I2_S tensor; code 3 must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeCounts {
    /// Number of codes 0, weight -1.
    pub minus: u64,
    /// Number of codes 1, weight 0.
    pub zero: u64,
    /// Number of codes 2, weight +1.
    pub plus: u64,
    /// Number of codes 3, which are invalid in this layout.
    pub invalid: u64,
}

/// Code bytes of an I2_S tensor, without the scale.
pub fn i2s_codes(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().saturating_sub(I2S_TAIL as usize)]
}

/// Scale of an I2_S tensor: the f32 after the codes. `None` when `bytes` are too short to be an I2_S tensor.
pub fn i2s_scale(bytes: &[u8]) -> Option<f32> {
    let at = bytes.len().checked_sub(I2S_TAIL as usize)?;
    Some(f32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl CodeCounts {
    /// Counts the codes of a whole I2_S tensor (its bytes with the tail).
    pub fn of(bytes: &[u8]) -> Self {
        let mut counts = Self::default();
        let (words, rest) = i2s_codes(bytes).as_chunks::<8>();
        let mut tail = [0u8; 8];
        tail[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain((!rest.is_empty()).then_some(&tail)).map(|w| u64::from_le_bytes(*w)) {
            let (low, high) = (word & LOW_BITS, (word >> 1) & LOW_BITS);
            counts.zero += u64::from((low & !high).count_ones());
            counts.plus += u64::from((high & !low).count_ones());
            counts.invalid += u64::from((high & low).count_ones());
        }
        counts.minus = i2s_codes(bytes).len() as u64 * 4 - counts.zero - counts.plus - counts.invalid;
        counts
    }
}

/// Refuses an I2_S tensor with a code 3 or a scale that is not a finite number above zero. Reads the whole tensor once.
pub fn check_i2s_codes(gguf: &Gguf, tensor: &TensorInfo) -> Result<()> {
    if tensor.kind != types::I2S {
        return Err(gguf.tensor_error(tensor, format!("is {}, not I2_S", tensor.kind.name)));
    }
    let bytes = gguf.bytes(tensor);
    let codes = i2s_codes(bytes);
    if let Some(within) = I2sTensor::find_code_3(codes) {
        let at = tensor.offset + within as u64;
        let what = format!(
            "data byte at {at} holds code 3, which I2_S (128 weights in 32 bytes) does not have: the file \
             is corrupt or packed in another I2_S layout"
        );
        return Err(gguf.tensor_error(tensor, what));
    }
    check_i2s_scale(gguf, tensor)
}

/// Refuses an I2_S tensor whose scale is not a finite number above zero.
pub fn check_i2s_scale(gguf: &Gguf, tensor: &TensorInfo) -> Result<()> {
    let bytes = gguf.bytes(tensor);
    let found = match i2s_scale(bytes) {
        Some(scale) if scale.is_finite() && scale > 0.0 => return Ok(()),
        Some(0.0) => "0, as if it was never written".to_string(),
        Some(scale) if scale.is_nan() => "NaN, not a number".to_string(),
        Some(scale) if scale.is_infinite() => format!("{scale}, not finite"),
        Some(scale) => format!("{scale}, below zero"),
        None => "missing".to_string(),
    };
    let at = tensor.offset + i2s_codes(bytes).len() as u64;
    let what = format!("the scale at byte {at} is {found}; it must be a finite number above zero");
    Err(gguf.tensor_error(tensor, format!("{what}, so convert or download the model again")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_codes() {
        // codes 0,1,2,3 from the top bits down, then the 32-byte tail
        let mut bytes = vec![0b00_01_10_11u8; 5];
        bytes.extend_from_slice(&0.5f32.to_le_bytes());
        bytes.extend_from_slice(&[0; 28]);
        let counts = CodeCounts::of(&bytes);
        assert_eq!(counts, CodeCounts { minus: 5, zero: 5, plus: 5, invalid: 5 });
        assert_eq!(i2s_scale(&bytes), Some(0.5));
        assert_eq!(i2s_scale(&[0; 31]), None);
    }
}
