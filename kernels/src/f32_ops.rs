//! The f32 operations between the matrix products: norms, rotations, activation function. Attention is in
//! `attention.rs`, quantisation in `quantize.rs`.
//!
//! Each body is written once, over fixed lanes, and compiled for several instruction sets (the idea of jxl-rs and
//! fearless_simd: one body stamped per ISA). Sums always run in [`LANES`] lanes and nothing is contracted, so results
//! are bit-identical on every set.

use crate::cpu::{CpuFeatures, Level};

/// Partial sums of every reduction: one AVX-512 register, two AVX2 registers, four SSE registers.
pub const LANES: usize = 16;

/// The f32 operations at the widest level of a CPU's features, chosen once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct F32Ops {
    pub(crate) level: Level,
}

/// Parameters of an RMS norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Factor of each element, applied after the division by the root mean square.
    pub gain: &'a [f32],
    /// Added to the mean square, so that it is never 0.
    pub eps: f32,
}

/// Declares methods of [`F32Ops`] whose bodies are compiled once for each level.
macro_rules! stamped {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? $body:block)*) => {
        impl F32Ops {$(
            $(#[$doc])*
            #[inline]
            pub fn $name(self, $($arg: $type),*) $(-> $out)? {
                #[inline(always)]
                fn body($($arg: $type),*) $(-> $out)? $body
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $type),*) $(-> $out)? { body($($arg),*) }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) $(-> $out)? { body($($arg),*) }
                match self.level {
                    Level::Portable => body($($arg),*),
                    // SAFETY: `Level::select` found these features on this CPU.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => unsafe { avx2($($arg),*) },
                    // SAFETY: `Level::select` found these features on this CPU.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 | Level::Avx512Vnni => unsafe { avx512($($arg),*) },
                }
            }
        )*}
    };
}
pub(crate) use stamped;

impl F32Ops {
    /// The f32 operations at the widest level that both this CPU and `allowed` have.
    pub fn select(allowed: CpuFeatures) -> Self {
        Self { level: Level::select(allowed) }
    }

    /// The f32 operations at each level that both this CPU and `allowed` have, the narrowest first: the same bits.
    pub fn all(allowed: CpuFeatures) -> Vec<Self> {
        let sets = [CpuFeatures::NONE, CpuFeatures::X86_64_V3, CpuFeatures::X86_64_V4];
        let mut all: Vec<Self> = sets.into_iter().map(|set| Self::select(set.intersect(allowed))).collect();
        all.dedup();
        all
    }

    /// Name of the instruction set level that runs, as receipts hold it.
    pub fn id(self) -> &'static str {
        self.level.name(["f32-baseline", "f32-avx2", "f32-avx512", "f32-avx512"])
    }
}

#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    sum_lanes(lanes) + a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum::<f32>()
}

/// e^x for x <= 0 within 2 units in the last place, without a library call so that it vectorises. 2^n by exponent bits,
/// the rest by the Cephes polynomial. Below -87 the result is 0.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32) -> f32 {
    let clamped = x.max(-87.0);
    // Rounds to the nearest integer by the mantissa's size.
    const ROUND: f32 = 12_582_912.0;
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    // ln 2 in two parts, so that the remainder keeps its low bits.
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = ((((1.987_569_1e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 1.666_666_5e-1)
        * r
        + 0.5;
    // The low bits of `rounded` are n: a conversion to an integer saturates, which compilers do one by one.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    let value = (p * r * r + r + 1.0) * power;
    if x < -87.0 { 0.0 } else { value }
}

/// SiLU, x / (1 + e^-x), of a number that is finite, within 6 units in the last place where |x| is at most 87; below
/// that the result is 0, which is off by less than 2e-36. Only powers of e from 0 to 1, so nothing overflows. The
/// factor of the numerator is e^x or 1, so that both branches share one division.
#[inline(always)]
fn silu(x: f32) -> f32 {
    let power = exp_nonpositive(-x.abs());
    let numerator = if x < 0.0 { power } else { 1.0 };
    x * numerator / (1.0 + power)
}

#[inline(always)]
fn relu_squared(x: f32) -> f32 {
    let positive = x.max(0.0);
    positive * positive
}

#[inline(always)]
fn gate_body(activation: impl Fn(f32) -> f32, gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = activation(gate) * up;
    }
}

/// An RMS norm in place.
#[inline(always)]
fn norm_body(x: &mut [f32], norm: Norm<'_>) {
    let factor = 1.0 / (dot_body(x, x) / x.len() as f32 + norm.eps).sqrt();
    for (x, gain) in x.iter_mut().zip(norm.gain) {
        *x = *x * factor * gain;
    }
}

stamped! {
    /// Inner product of two f32 vectors; of two lengths, the shorter one counts.
    dot(a: &[f32], b: &[f32]) -> f32 { dot_body(a, b) }

    /// Adds a scaled vector to another, element by element: `y += factor * x`.
    add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += factor * x;
        }
    }

    /// RMS norm: `out = x / sqrt(mean(x^2) + eps) * gain`.
    rms_norm(x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
        let factor = 1.0 / (dot_body(x, x) / x.len() as f32 + norm.eps).sqrt();
        for ((out, x), gain) in out.iter_mut().zip(x).zip(norm.gain) {
            *out = x * factor * gain;
        }
    }

    /// Activation function and its norm in one go: `out` gets [`F32Ops::rms_norm`] of `relu(gate)^2 * up`. Squared, not
    /// SiLU: another activation function here is another model.
    gated_rms_norm(gate: &[f32], up: &[f32], norm: Norm<'_>, out: &mut [f32]) {
        gate_body(relu_squared, gate, up, out);
        norm_body(out, norm);
    }

    /// `out = relu(gate)^2 * up`: [`F32Ops::gated_rms_norm`] without the norm.
    gated(gate: &[f32], up: &[f32], out: &mut [f32]) { gate_body(relu_squared, gate, up, out) }

    /// [`F32Ops::gated_rms_norm`] with SiLU, x / (1 + e^-x), in place of the squared ReLU.
    silu_gated_rms_norm(gate: &[f32], up: &[f32], norm: Norm<'_>, out: &mut [f32]) {
        gate_body(silu, gate, up, out);
        norm_body(out, norm);
    }

    /// `out = silu(gate) * up`, SwiGLU's product. SiLU is within 6 units in the last place of its value in f64, and 0
    /// for gates below -87, where it is less than 2e-36.
    silu_gated(gate: &[f32], up: &[f32], out: &mut [f32]) { gate_body(silu, gate, up, out) }

    /// RMS norm of each head of `x` in place, as wide as the gain: [`F32Ops::rms_norm`] head by head.
    head_norms(x: &mut [f32], norm: Norm<'_>) {
        x.chunks_exact_mut(norm.gain.len().max(1)).for_each(|head| norm_body(head, norm));
    }

    /// `y[i] = sums[i] * factor`: exact integer products to f32.
    scale_integers(sums: &[i32], factor: f32, y: &mut [f32]) {
        for (y, &sum) in y.iter_mut().zip(sums) {
            *y = sum as f32 * factor;
        }
    }

    /// `y[i] = sums[i] * (scales[i] / divisor)`: exact integer products of rows that have a scale each. The same bits
    /// as [`Self::scale_integers`] with the factor `scale / divisor` where all scales are equal.
    scale_rows(sums: &[i32], scales: &[f32], divisor: f32, y: &mut [f32]) {
        for ((y, &sum), scale) in y.iter_mut().zip(sums).zip(scales) {
            *y = sum as f32 * (scale / divisor);
        }
    }

    /// `y[i] *= factor`, rounded once.
    multiply(y: &mut [f32], factor: f32) {
        y.iter_mut().for_each(|y| *y *= factor);
    }

    /// Finite f16 bit patterns to f32, exactly. The magnitude's bits go where f32 has exponent and mantissa; a
    /// subnormal one is a difference of two normal numbers, because products with subnormal f32 are slow on some CPUs.
    widen_f16(halves: &[u16], out: &mut [f32]) {
        const BIAS: u32 = (127 - 15) << 23;
        const LEAST: u32 = BIAS + (1 << 23);
        for (out, &bits) in out.iter_mut().zip(halves) {
            let magnitude = u32::from(bits & 0x7FFF) << 13;
            let normal = magnitude + BIAS;
            let subnormal = (f32::from_bits(magnitude + LEAST) - f32::from_bits(LEAST)).to_bits();
            let wide = if magnitude < 1 << 23 { subnormal } else { normal };
            *out = f32::from_bits(wide | u32::from(bits & 0x8000) << 16);
        }
    }

    /// Whether one of these f16 bit patterns is infinite or no number.
    any_infinite_f16(halves: &[u16]) -> bool {
        halves.iter().fold(0, |largest, bits| largest.max(bits & 0x7FFF)) >= 0x7C00
    }

    /// Rotates each head of `x` in place by the angles whose cosines and sines are given (half a head of each): element
    /// i with element i + half, the NEOX pairing.
    rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        for head in x.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }

    /// [`F32Ops::rotate`] with the other pairing: element 2i with element 2i + 1.
    rotate_neighbours(x: &mut [f32], cos: &[f32], sin: &[f32]) {
        for head in x.chunks_exact_mut(2 * cos.len()) {
            for (([a, b], cos), sin) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use crate::testing::{bits, f32_levels};

    fn random(n: usize, seed: u64) -> Vec<f32> {
        SplitMix64::new(seed).signed_units(n)
    }

    /// What an operation gives, the same bits at every level.
    fn same(f: impl Fn(F32Ops) -> Vec<f32>) -> Vec<f32> {
        let levels = f32_levels();
        let portable = f(levels[0]);
        assert!(levels.into_iter().all(|ops| bits(&f(ops)) == bits(&portable)), "levels differ");
        portable
    }

    #[test]
    fn dot_takes_every_element_at_every_level() {
        for n in [0, 1, 15, 16, 17, 64, 129] {
            let (a, b) = (random(n, 1), random(n, 2));
            let want: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let got = same(|ops| vec![ops.dot(&a, &b)])[0];
            assert!((f64::from(got) - want).abs() < 1e-4, "{n}: {got} {want}");
        }
    }

    #[test]
    fn every_f16_is_widened_exactly_or_found() {
        let infinite = |bits: u16| !half::f16::from_bits(bits).is_finite();
        let finite: Vec<u16> = (0..=u16::MAX).filter(|&bits| !infinite(bits)).collect();
        let want: Vec<f32> = finite.iter().map(|&bits| half::f16::from_bits(bits).to_f32()).collect();
        let got = same(|ops| {
            let mut out = vec![9.0; finite.len()];
            ops.widen_f16(&finite, &mut out);
            out
        });
        assert_eq!(bits(&got), bits(&want));
        for ops in f32_levels() {
            assert!(!ops.any_infinite_f16(&finite));
            assert!((0..=u16::MAX).filter(|&bits| infinite(bits)).all(|bits| ops.any_infinite_f16(&[0, bits, 1])));
        }
    }

    #[test]
    fn exp_is_accurate() {
        for i in 0..=8800 {
            let x = -(i as f32) / 100.0;
            let (got, want) = (f64::from(exp_nonpositive(x)), f64::from(x).exp());
            let bound = if x < -87.0 { 2e-38 } else { want * 3e-7 };
            assert!((got - want).abs() <= bound, "exp({x}) = {got}, not {want}");
        }
        assert_eq!((exp_nonpositive(0.0), exp_nonpositive(f32::NEG_INFINITY)), (1.0, 0.0));
    }

    #[test]
    fn norms_are_of_what_they_say() {
        let norm = |x: &[f32], gain: &[f32], eps| {
            same(|ops| {
                let mut out = vec![0.0; x.len()];
                ops.rms_norm(x, Norm { gain, eps }, &mut out);
                out
            })
        };
        let normed = norm(&random(50, 3), &[2.0; 50], 0.0);
        assert!((normed.iter().map(|v| v * v).sum::<f32>() / 50.0 - 4.0).abs() < 1e-4);
        let (gate, up, gain) = (random(53, 5), random(53, 6), random(53, 7));
        let norm_53 = Norm { gain: &gain, eps: 1e-5 };
        let gated: Vec<f32> = gate.iter().zip(&up).map(|(gate, up)| gate.max(0.0) * gate.max(0.0) * up).collect();
        assert_eq!(bits(&written(|ops, out| ops.gated(&gate, &up, out))), bits(&gated));
        let at_once = written(|ops, out| ops.gated_rms_norm(&gate, &up, norm_53, out));
        assert_eq!(bits(&norm(&gated, &gain, 1e-5)), bits(&at_once));
        let gated: Vec<f32> = gate.iter().zip(&up).map(|(&gate, up)| silu(gate) * up).collect();
        assert_eq!(bits(&written(|ops, out| ops.silu_gated(&gate, &up, out))), bits(&gated));
        let at_once = written(|ops, out| ops.silu_gated_rms_norm(&gate, &up, norm_53, out));
        assert_eq!(bits(&norm(&gated, &gain, 1e-5)), bits(&at_once));
        // Heads of 17 elements, the last of which are fewer and stay as they are.
        let head_gain = &gain[..17];
        let heads = same(|ops| {
            let mut x = gate.clone();
            ops.head_norms(&mut x, Norm { gain: head_gain, eps: 1e-5 });
            x
        });
        let each = gate.chunks_exact(17).flat_map(|head| norm(head, head_gain, 1e-5));
        assert_eq!(bits(&heads), bits(&each.chain(gate[51..].iter().copied()).collect::<Vec<_>>()));
    }

    /// What an operation writes into 53 elements.
    fn written(f: impl Fn(F32Ops, &mut [f32])) -> Vec<f32> {
        same(|ops| {
            let mut out = vec![9.0; 53];
            f(ops, &mut out);
            out
        })
    }

    #[test]
    fn silu_is_within_its_bound_of_f64() {
        for i in -200_000..=200_000 {
            let x = i as f32 / 2000.0;
            let (got, wide) = (f64::from(silu(x)), f64::from(x));
            let want = wide / (1.0 + (-wide).exp());
            // Six units in the last place: at most 6 * 2^-23 of the value.
            let bound = if x < -87.0 { 2e-36 } else { want.abs() * 6.0 * f64::from(f32::EPSILON) };
            assert!((got - want).abs() <= bound, "silu({x}) = {got}, not {want}");
        }
        assert_eq!((silu(0.0), silu(f32::MAX), silu(f32::MIN)), (0.0, f32::MAX, 0.0));
        assert!(silu(f32::NAN).is_nan(), "what is no number is found later");
    }

    #[test]
    fn rotation_pairs_halves() {
        let (cos, sin) = ([2f32.cos(), 0.5f32.cos()], [2f32.sin(), 0.5f32.sin()]);
        let rotated = same(|ops| {
            let mut x = vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
            ops.rotate(&mut x, &cos, &sin);
            x
        });
        assert_eq!(rotated, [cos[0], 0.0, sin[0], 0.0, 0.0, cos[1], 0.0, sin[1]]);
    }

    #[test]
    fn rotation_of_neighbours_is_that_of_halves_in_another_order() {
        let (cos, sin, x) = (random(21, 8), random(21, 9), random(3 * 42, 10));
        let halves = same(|ops| {
            // Even elements of a head first, then odd ones.
            let order = |head: &[f32]| [0, 1].map(|odd| head.iter().skip(odd).step_by(2).copied().collect::<Vec<_>>());
            let mut x: Vec<f32> = x.chunks_exact(42).flat_map(|head| order(head).concat()).collect();
            ops.rotate(&mut x, &cos, &sin);
            x.chunks_exact(42).flat_map(|head| (0..42).map(|i| head[i / 2 + i % 2 * 21])).collect()
        });
        let neighbours = same(|ops| {
            let mut x = x.clone();
            ops.rotate_neighbours(&mut x, &cos, &sin);
            x
        });
        assert_eq!(bits(&halves), bits(&neighbours));
    }
}
