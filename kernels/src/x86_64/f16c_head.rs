//! Rows of f16 times an f32 vector with F16C and FMA: the output head.

use crate::prefetch::{Prefetch, ahead, with_prefetch};
use std::arch::x86_64::*;

/// How far ahead of the loads rows are asked for, as the AVX-512 path does; not swept apart.
const PREFETCH_BYTES: usize = 8192;

/// `y[r] = sum over j of rows[r][j] * x[j]`. `rows` holds `y.len()` rows of `x.len()` f16 bit patterns; any length.
///
/// Four accumulators a row; a lane's chain is at most `x.len() / 32` long.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn gemv(rows: &[u16], x: &[f32], y: &mut [f32], prefetch: Prefetch) {
    with_prefetch!(prefetch, products(rows, x, y));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn products<const TWO_LEVELS: bool>(rows: &[u16], x: &[f32], y: &mut [f32]) {
    let (x_lanes, x_tail) = x.as_chunks::<8>();
    for (y, row) in y.iter_mut().zip(rows.chunks_exact(x.len())) {
        let (lanes, tail) = row.as_chunks::<8>();
        let mut sums = [_mm256_setzero_ps(); 4];
        let (quads, rest) = lanes.as_chunks::<4>();
        let (x_quads, x_rest) = x_lanes.as_chunks::<4>();
        for (quad, x) in quads.iter().zip(x_quads) {
            // A cache line.
            ahead::<TWO_LEVELS>(quad.as_ptr().cast(), PREFETCH_BYTES);
            for i in 0..4 {
                sums[i] = multiply_add(&quad[i], &x[i], sums[i]);
            }
        }
        for (lane, x) in rest.iter().zip(x_rest) {
            sums[0] = multiply_add(lane, x, sums[0]);
        }
        let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
        let tail: f32 = tail.iter().zip(x_tail).map(|(&w, x)| half::f16::from_bits(w).to_f32() * x).sum();
        *y = super::lanes::sum_f32(sum) + tail;
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply_add(weights: &[u16; 8], x: &[f32; 8], sum: __m256) -> __m256 {
    // SAFETY: 8 f16 are 16 bytes; the load needs no alignment.
    let weights = _mm256_cvtph_ps(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) });
    // SAFETY: 8 f32; the load needs no alignment.
    let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
    _mm256_fmadd_ps(weights, x, sum)
}
