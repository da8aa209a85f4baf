//! Quantisation: f32 to int8 and int4, by a scale for all elements or one for each block.

use crate::cpu::Level;
use crate::f32_ops::{F32Ops, LANES, stamped};

#[inline(always)]
fn add_pairs(halves: &[i32], sums: &mut [i32]) {
    sums.iter_mut().zip(halves.as_chunks::<2>().0).for_each(|(sum, [a, b])| *sum = a + b);
}

/// See [`F32Ops::largest_magnitude`].
#[inline(always)]
fn largest_body(x: &[f32]) -> f32 {
    // The bits of |x| order as integers, and infinity and NaN come last: one integer maximum finds them all.
    f32::from_bits(x.iter().fold(0u32, |largest, v| largest.max(v.to_bits() & 0x7FFF_FFFF)))
}

/// See [`F32Ops::round_to_i8`].
#[inline(always)]
fn round_body(x: &[f32], scale: f32, out: &mut [i8]) -> i32 {
    // Adding 1.5 * 2^23 leaves the value, rounded to nearest even, in the low mantissa bits: what `round_ties_even`
    // gives, without its library call on baseline x86-64, and it vectorises. Nothing can be far enough above 127 to
    // need a clamp.
    const MAGIC: f32 = 12_582_912.0;
    let mut sum = 0;
    for (q, v) in out.iter_mut().zip(x) {
        let rounded = ((v * scale + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
        sum += rounded;
        *q = rounded as i8;
    }
    sum
}

/// Quantises blocks of `N`, the last one perhaps shorter: `scales` gets what sums of each are multiplied with.
#[inline(always)]
fn quantize_body<const N: usize>(x: &[f32], values: &mut [i8], scales: &mut [f32]) -> i32 {
    let mut sum = 0;
    let mut block = |x: &[f32], values: &mut [i8], undo: &mut f32| {
        let scale = 127.0 / largest_body(x).max(1e-5);
        sum += round_body(x, scale, values);
        *undo = 1.0 / scale;
    };
    let ((whole, rest), (whole_values, rest_values)) = (x.as_chunks::<N>(), values.as_chunks_mut::<N>());
    for ((x, values), undo) in whole.iter().zip(whole_values).zip(&mut *scales) {
        block(x, values, undo);
    }
    if let ([_, ..], Some(undo)) = (rest, scales.get_mut(whole.len())) {
        block(rest, rest_values, undo);
    }
    sum
}

/// The nearest f16, ties to even, of a number that is not negative and within its range.
#[inline(always)]
fn rounded_to_f16(value: f32) -> f32 {
    // Eleven bits of mantissa: adding and taking off a number of 13 more bits rounds there. Below the least normal f16,
    // 2^-14, the last bit is worth 2^-24.
    const LEAST: u32 = (127 - 14) << 23;
    let exponent = (value.to_bits() & 0x7F80_0000).max(LEAST);
    let magic = f32::from_bits(exponent + (13 << 23)) * 1.5;
    (value + magic) - magic
}

stamped! {
    /// Sums of 32, 64, 128 and 256 int8 values each, of so many whole 256: what products with group scales take off
    /// sums of codes.
    sum_units(x: &[i8], sums: [&mut [i32]; 4]) {
        let [of_32, of_64, of_128, of_256] = sums;
        for (sum, x) in of_32.iter_mut().zip(x.as_chunks::<32>().0) {
            *sum = x.iter().map(|&x| i32::from(x)).sum();
        }
        add_pairs(of_32, of_64);
        add_pairs(of_64, of_128);
        add_pairs(of_128, of_256);
    }

    /// Quantises blocks of 256, each with a scale of its own; returns the sum of all values. Not in one function with
    /// the other lengths: a length that is known makes loops without ends.
    quantize_256(x: &[f32], values: &mut [i8], scales: &mut [f32]) -> i32 { quantize_body::<256>(x, values, scales) }

    /// As [`Self::quantize_256`], blocks of 128.
    quantize_128(x: &[f32], values: &mut [i8], scales: &mut [f32]) -> i32 { quantize_body::<128>(x, values, scales) }

    /// As [`Self::quantize_256`], blocks of 32 whose scales are rounded to f16.
    quantize_32(x: &[f32], values: &mut [i8], scales: &mut [f32]) -> i32 {
        let sum = quantize_body::<32>(x, values, scales);
        scales.iter_mut().for_each(|scale| *scale = rounded_to_f16(*scale));
        sum
    }

    /// Largest absolute value in `x`, 0 if `x` is empty; infinity or NaN if any element is infinite or NaN.
    largest_magnitude(x: &[f32]) -> f32 { largest_body(x) }

    /// `out = round_ties_even(x * scale)`, for |x * scale| up to 127 and a rounding error; returns the sum of the
    /// results.
    round_to_i8(x: &[f32], scale: f32, out: &mut [i8]) -> i32 { round_body(x, scale, out) }

    /// `out = round_ties_even(x * scale)`, limited to -8..=7, for |x * scale| below 2^22.
    round_to_i4(x: &[f32], scale: f32, out: &mut [i8]) {
        // As in `round_to_i8`.
        const MAGIC: f32 = 12_582_912.0;
        for (q, v) in out.iter_mut().zip(x) {
            let rounded = ((v * scale + MAGIC).to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
            *q = rounded.clamp(-8, 7) as i8;
        }
    }

    /// The lowest and the highest value of `x` and 0. NaN is ignored.
    extremes(x: &[f32]) -> [f32; 2] {
        let (chunks, tail) = x.as_chunks::<LANES>();
        let (mut low, mut high) = ([0f32; LANES], [0f32; LANES]);
        for chunk in chunks {
            for i in 0..LANES {
                low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
                high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
            }
        }
        [low.iter().chain(tail).copied().fold(0.0, f32::min), high.iter().chain(tail).copied().fold(0.0, f32::max)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_f16_is_that_of_the_library() {
        for exponent in 0..=(127 + 15) << 3 {
            for low in 0..2048u32 {
                // Every exponent and leading mantissa bit; low bits around every tie.
                let value = f32::from_bits(exponent << 20 | low << 9 | [0, 1, 0x1FF, 0x100][low as usize % 4]);
                if value <= 65504.0 {
                    assert_eq!(rounded_to_f16(value), half::f16::from_f32(value).to_f32(), "{value:e}");
                }
            }
        }
    }
}
