//! Attention and rounding to f16 on AVX2 and AVX-512, where loads, stores or the grouping of heads are written with
//! intrinsics.

use super::body::{CachedHead, POSITIONS, Queries, add_last, exponents, last_scores, one_by_one};
use crate::f32_ops::LANES;
use std::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn attend_avx2(queries: Queries<'_>, cache: CachedHead<'_>) {
    one_by_one(queries, cache, |halves| {
        let mut wide = [0f32; LANES];
        for (wide, halves) in wide.as_chunks_mut::<8>().0.iter_mut().zip(halves.as_chunks::<8>().0) {
            // SAFETY: 8 f16 are 16 bytes, 8 f32 are 32; neither load nor store needs alignment.
            unsafe {
                let halves = _mm_loadu_si128(halves.as_ptr().cast());
                _mm256_storeu_ps(wide.as_mut_ptr(), _mm256_cvtph_ps(halves));
            }
        }
        wide
    });
}

/// Heads that go together: sums of 4 heads and 4 positions, and what they are made of, fit into 32 registers. By
/// that count, not swept.
const HEADS: usize = 4;

/// A key or value is widened once for four heads. The same additions in the same order as one by one, so the same bits.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn attend_avx512(queries: Queries<'_>, cache: CachedHead<'_>) {
    let d = queries.head_dim;
    let heads = queries.q.len() / d;
    let positions = queries.scores.len() / heads;
    let whole = if d.is_multiple_of(LANES) { heads / HEADS * HEADS } else { 0 };
    let (scores, last_scores) = queries.scores.split_at_mut(whole * positions);
    let (out, last_out) = queries.out.split_at_mut(whole * d);
    let (q, last_q) = queries.q.split_at(whole * d);
    if positions > 0 && d > 0 {
        let groups = q.chunks_exact(HEADS * d).zip(scores.chunks_exact_mut(HEADS * positions));
        for ((q, scores), out) in groups.zip(out.chunks_exact_mut(HEADS * d)) {
            four_heads(Queries { q, scores, out, ..queries }, cache);
        }
    }
    if !last_q.is_empty() {
        one_by_one(Queries { q: last_q, scores: last_scores, out: last_out, ..queries }, cache, |halves| {
            widen_16(halves)
        });
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn four_heads(queries: Queries<'_>, cache: CachedHead<'_>) {
    let Queries { q, head_dim: d, factor, scores, out } = queries;
    let positions = scores.len() / HEADS;
    let q: [&[f32]; HEADS] = std::array::from_fn(|h| &q[h * d..][..d]);
    for first in (0..positions / POSITIONS * POSITIONS).step_by(POSITIONS) {
        let keys: [&[u16]; POSITIONS] = std::array::from_fn(|p| cache.key(first + p, d));
        let mut sums = [_mm512_setzero_ps(); HEADS * POSITIONS];
        for at in (0..d).step_by(LANES) {
            let keys = keys.map(|key| wide(&key[at..]));
            for h in 0..HEADS {
                let q = load(&q[h][at..]);
                for p in 0..POSITIONS {
                    let sum = &mut sums[HEADS * p + h];
                    *sum = _mm512_add_ps(*sum, _mm512_mul_ps(q, keys[p]));
                }
            }
        }
        let dots = _mm512_mul_ps(sums_of_lanes(sums), _mm512_set1_ps(factor));
        let dots = [
            _mm512_castps512_ps128(dots),
            _mm512_extractf32x4_ps::<1>(dots),
            _mm512_extractf32x4_ps::<2>(dots),
            _mm512_extractf32x4_ps::<3>(dots),
        ];
        for (h, dots) in dots.into_iter().enumerate() {
            let scores: &mut [f32] = &mut scores[h * positions + first..][..POSITIONS];
            // SAFETY: the slice has 4 f32; the store needs no alignment.
            unsafe { _mm_storeu_ps(scores.as_mut_ptr(), dots) };
        }
    }
    let shares: [f32; HEADS] = std::array::from_fn(|h| {
        let scores = &mut scores[h * positions..][..positions];
        last_scores(q[h], cache, factor, scores, |halves| widen_16(halves));
        exponents(scores)
    });
    out.fill(0.0);
    for first in (0..positions / POSITIONS * POSITIONS).step_by(POSITIONS) {
        let values: [&[u16]; POSITIONS] = std::array::from_fn(|p| cache.value(first + p, d));
        let weight = |i: usize| _mm512_set1_ps(scores[i / POSITIONS * positions + first + i % POSITIONS]);
        let weights: [__m512; HEADS * POSITIONS] = std::array::from_fn(weight);
        for at in (0..d).step_by(LANES) {
            let values = values.map(|value| wide(&value[at..]));
            for h in 0..HEADS {
                let term = |p: usize| _mm512_mul_ps(weights[POSITIONS * h + p], values[p]);
                let pairs = [_mm512_add_ps(term(0), term(1)), _mm512_add_ps(term(2), term(3))];
                let out: &mut [f32] = &mut out[h * d + at..][..LANES];
                let sum = _mm512_add_ps(load(out), _mm512_add_ps(pairs[0], pairs[1]));
                // SAFETY: the slice has 16 f32; the store needs no alignment.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
            }
        }
    }
    for (h, (out, share)) in out.chunks_exact_mut(d).zip(shares).enumerate() {
        add_last(out, cache, &scores[h * positions..][..positions], |halves| widen_16(halves));
        out.iter_mut().for_each(|out| *out *= share);
    }
}

/// The 16 lanes of each of 16 vectors added as [`crate::f32_ops::sum_lanes`] adds them: halves, quarters, pairs,
/// neighbours. Element p of the h-th four is the sum of vector 4 p + h.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums_of_lanes(v: [__m512; 16]) -> __m512 {
    let halves: [__m512; 8] = std::array::from_fn(|i| {
        let (a, b) = (v[2 * i], v[2 * i + 1]);
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xEE>(a, b))
    });
    let quarters: [__m512; 4] = std::array::from_fn(|i| {
        let (a, b) = (halves[2 * i], halves[2 * i + 1]);
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b))
    });
    let pairs: [__m512; 2] = std::array::from_fn(|i| {
        let (a, b) = (quarters[2 * i], quarters[2 * i + 1]);
        _mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xEE>(a, b))
    });
    let [a, b] = pairs;
    _mm512_add_ps(_mm512_shuffle_ps::<0x88>(a, b), _mm512_shuffle_ps::<0xDD>(a, b))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(x: &[f32]) -> __m512 {
    let x: &[f32] = &x[..LANES];
    // SAFETY: the slice has 16 f32; the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn wide(halves: &[u16]) -> __m512 {
    let halves: &[u16] = &halves[..LANES];
    // SAFETY: the slice has 16 f16; the load needs no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(halves.as_ptr().cast()) })
}

/// [`wide`] for bodies that are stamped for every level.
#[inline]
#[target_feature(enable = "avx512f")]
fn widen_16(halves: &[u16; LANES]) -> [f32; LANES] {
    let mut out = [0f32; LANES];
    // SAFETY: 16 f32 are 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), wide(halves)) };
    out
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn narrow(x: &[f32], out: &mut [u16]) {
    let ((x, x_tail), (out, out_tail)) = (x.as_chunks::<8>(), out.as_chunks_mut::<8>());
    for (x, out) in x.iter().zip(out) {
        // SAFETY: 8 f32 are 32 bytes, 8 f16 are 16; neither load nor store needs alignment.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(x.as_ptr()));
            _mm_storeu_si128(out.as_mut_ptr().cast(), halves);
        }
    }
    x_tail.iter().zip(out_tail).for_each(|(x, out)| *out = half::f16::from_f32(*x).to_bits());
}
