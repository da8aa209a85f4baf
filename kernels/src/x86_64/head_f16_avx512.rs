//! Rows of f16 times an f32 vector with AVX-512 F: the output head as the file has it, 16 bits a weight.
//!
//! Per 64 weights: 4 `vcvtph2ps` with their operands from memory, 4 FMA, 2 prefetches; the sum of 16 lanes once a row.
//! From memory the loads are the bound, so rows are taken one at a time: one sequential stream a thread.
//!
//! From memory, 1.0 to 1.2 times as fast as the AVX2 path in the same rounds: that one is bound by memory too.
//!
//! A lane of the two 512-bit sums adds what a lane of the four 256-bit sums of [`super::f16c_head`] adds, in the same
//! order, and the sums are added in the same order too: both paths give the same bits.

use super::lanes::sum_f32;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use std::arch::x86_64::*;

/// How far ahead of the loads lines are asked for. Swept on Zen 5 with `ci/sweep-constants.py head`, share of a plain
/// read in the same rounds at one thread and at two: 1024 B 0.83 and 0.96, 4096 B 0.94 and 0.94, 8192 B 0.96 and 0.98.
const PREFETCH_BYTES: usize = 8192;

/// `y[r] = sum over j of rows[r][j] * x[j]`. `rows` holds `y.len()` rows of `x.len()` f16 bit patterns; any length.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512dq")]
pub(crate) fn gemv(rows: &[u16], x: &[f32], y: &mut [f32], prefetch: Prefetch) {
    with_prefetch!(prefetch, products(rows, x, y));
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512dq")]
fn products<const TWO_LEVELS: bool>(rows: &[u16], x: &[f32], y: &mut [f32]) {
    let (x_blocks, x_rest) = x.as_chunks::<32>();
    for (y, row) in y.iter_mut().zip(rows.chunks_exact(x.len())) {
        let (blocks, rest) = row.as_chunks::<32>();
        let mut sums = [_mm512_setzero_ps(); 2];
        for (block, x) in blocks.iter().zip(x_blocks) {
            ahead::<TWO_LEVELS>(block.as_ptr().cast(), PREFETCH_BYTES);
            for ((sum, block), x) in sums.iter_mut().zip(block.as_chunks::<16>().0).zip(x.as_chunks::<16>().0) {
                // SAFETY: 16 f16 are 32 bytes; the load needs no alignment.
                let weights = _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(block.as_ptr().cast()) });
                // SAFETY: 16 f32; the load needs no alignment.
                let x = unsafe { _mm512_loadu_ps(x.as_ptr()) };
                *sum = _mm512_fmadd_ps(weights, x, *sum);
            }
        }
        let [mut first, second, third, fourth] = quarters(sums);
        let ((lanes, tail), (x_lanes, x_tail)) = (rest.as_chunks::<8>(), x_rest.as_chunks::<8>());
        for (lane, x) in lanes.iter().zip(x_lanes) {
            first = super::f16c_head::multiply_add(lane, x, first);
        }
        let sum = _mm256_add_ps(_mm256_add_ps(first, second), _mm256_add_ps(third, fourth));
        let tail: f32 = tail.iter().zip(x_tail).map(|(&w, x)| half::f16::from_bits(w).to_f32() * x).sum();
        *y = sum_f32(sum) + tail;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn quarters([a, b]: [__m512; 2]) -> [__m256; 4] {
    let (low, high) = (_mm512_castps512_ps256, |v| _mm512_extractf32x8_ps::<1>(v));
    [low(a), high(a), low(b), high(b)]
}
