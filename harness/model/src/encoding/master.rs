//! Latent weights, as a model is trained with them: bf16, f16 or f32, made ternary when they are read.
//!
//! The rule of the BitNet b1.58 model card, in f32: m = mean |w|, at least 1e-5; s = 1 / m; the code of w is w * s
//! rounded half to even and cut to -1 .. 1; it stands for that number divided by s. So the scale is 1 / s and not m,
//! which may differ in the last bit. Rule: `weight_quant` in microsoft/BitNet, utils/convert-hf-to-gguf-bitnet.py and
//! preprocess-huggingface-bitnet.py. The mean is summed in f64 here: engines sum in f32, in an order of their own, and
//! a mean may differ from theirs in its last bits.

use super::definition::{Encoding, Tensor};

/// The smallest mean that is believed.
const LEAST: f32 = 1e-5;

/// Latent weights in bf16.
pub static BF16_MASTER: Encoding = Encoding {
    name: "bf16-master",
    summary: "latent bf16 weights, made ternary by their mean absolute value",
    bytes: 2,
    tensor_scale: Some(|tensor| scale(tensor, bf16)),
    decode: |tensor, row, scale, codes, _| quantise(tensor, row, scale, codes, bf16),
    ..Encoding::BASE
};

/// Latent weights in f16.
pub static F16_MASTER: Encoding = Encoding {
    name: "f16-master",
    summary: "latent f16 weights, made ternary by their mean absolute value",
    bytes: 2,
    tensor_scale: Some(|tensor| scale(tensor, f16)),
    decode: |tensor, row, scale, codes, _| quantise(tensor, row, scale, codes, f16),
    ..Encoding::BASE
};

/// Latent weights in f32.
pub static F32_MASTER: Encoding = Encoding {
    name: "f32-master",
    summary: "latent f32 weights, made ternary by their mean absolute value",
    bytes: 4,
    tensor_scale: Some(|tensor| scale(tensor, f32::from_le_bytes)),
    decode: |tensor, row, scale, codes, _| quantise(tensor, row, scale, codes, f32::from_le_bytes),
    ..Encoding::BASE
};

fn bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

/// The exponent moved to its new place and put right by a multiplication, which subnormal numbers survive: a vector
/// loop, which one call for each of them is not.
fn f16(bytes: [u8; 2]) -> f32 {
    const TO_THE_112: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(u16::from_le_bytes(bytes));
    let size = f32::from_bits((bits & 0x7fff) << 13) * TO_THE_112;
    let not_finite = if bits & 0x7c00 == 0x7c00 { f32::INFINITY.to_bits() } else { 0 };
    f32::from_bits(size.to_bits() | not_finite | (bits & 0x8000) << 16)
}

/// The scale that codes have. NaN or infinite where a weight is: a scale that whoever reads a tensor refuses.
fn scale<const N: usize>(tensor: Tensor<'_>, widen: impl Fn([u8; N]) -> f32) -> f32 {
    let weights = tensor.bytes.as_chunks::<N>().0;
    // Eight sums: one would wait for itself.
    let mut sums = [0f64; 8];
    let (eights, rest) = weights.as_chunks::<8>();
    for eight in eights {
        for (sum, weight) in sums.iter_mut().zip(eight) {
            *sum += f64::from(widen(*weight).abs());
        }
    }
    let rest: f64 = rest.iter().map(|weight| f64::from(widen(*weight).abs())).sum();
    let mean = ((sums.iter().sum::<f64>() + rest) / weights.len() as f64) as f32;
    // Not max(), which would take NaN for the least.
    let mean = if mean < LEAST { LEAST } else { mean };
    1.0 / (1.0 / mean)
}

/// Codes of a row. Rounding half to even and cutting leaves +1 for what is above a half, -1 for what is below.
fn quantise<const N: usize>(
    tensor: Tensor<'_>,
    row: usize,
    scale: f32,
    codes: &mut [u8],
    widen: impl Fn([u8; N]) -> f32,
) {
    // The factor that the scale is the reciprocal of, to the bit: see the test.
    let factor = 1.0 / scale;
    let weights = tensor.row(row, N * tensor.k).as_chunks::<N>().0;
    for (code, weight) in codes.iter_mut().zip(weights) {
        let x = widen(*weight) * factor;
        *code = 1 + u8::from(x > 0.5) - u8::from(x < -0.5);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1 / (1 / (1 / m))` is `1 / m` in f32: tried for every mantissa, which is all that rounding depends on.
    #[test]
    fn the_factor_comes_back_from_the_scale() {
        for bits in 1f32.to_bits()..=2f32.to_bits() {
            let factor = 1.0 / f32::from_bits(bits);
            assert_eq!(1.0 / (1.0 / factor), factor, "{bits:#x}");
        }
    }

    #[test]
    fn every_half_is_widened_as_by_the_crate_for_them() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (f16(bits.to_le_bytes()), half::f16::from_bits(bits).to_f32());
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn the_card_s_rule_by_hand() {
        // Mean of |w|: (0.5 + 0.25 + 0 + 1.25 + 0.75 + 0.25) / 6 = 0.5, so halves of it are ties and go to 0.
        let weights = [0.5f32, -0.25, 0.0, -1.25, 0.75, 0.25];
        let f32s: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
        let f16s: Vec<u8> = weights.iter().flat_map(|w| half::f16::from_f32(*w).to_le_bytes()).collect();
        let bf16s: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()[2..].to_vec()).collect();
        for (encoding, bytes) in [(&F32_MASTER, &f32s), (&F16_MASTER, &f16s), (&BF16_MASTER, &bf16s)] {
            let tensor = Tensor { bytes, rows: 2, k: 3 };
            let scale = encoding.tensor_scale.expect("one")(tensor);
            assert_eq!(scale, 0.5, "{}", encoding.name);
            let (mut first, mut second) = ([9; 3], [9; 3]);
            (encoding.decode)(tensor, 0, scale, &mut first, &mut []);
            (encoding.decode)(tensor, 1, scale, &mut second, &mut []);
            assert_eq!((first, second), ([2, 1, 1], [0, 2, 1]), "{}", encoding.name);
        }
    }

    #[test]
    fn zeros_have_the_least_scale_and_what_is_no_number_has_none() {
        let scale_of = |weights: &[f32]| {
            let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
            scale(Tensor { bytes: &bytes, rows: 1, k: weights.len() }, f32::from_le_bytes)
        };
        assert_eq!(scale_of(&[0.0; 9]), 1.0 / (1.0 / LEAST));
        assert!(scale_of(&[1.0, f32::NAN]).is_nan());
        assert!(!scale_of(&[1.0, f32::INFINITY]).is_finite());
    }
}
