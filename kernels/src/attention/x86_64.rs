//! Attention and rounding to f16 on AVX2 and AVX-512, where loads, stores or the grouping of heads are written with
//! intrinsics.

use super::body::{ATTENTION_TOKENS, CachedHead, POSITIONS, Queries, add_last, exponents, last_scores, one_by_one};
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

/// Elements of a head up to which keys and values are widened into a buffer.
const MOST_DIM: usize = 256;

/// A key or value is widened once for four heads, and once for several tokens. The same additions in the same order as
/// one by one, so the same bits.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn attend_avx512(tokens: &mut [Queries<'_>], cache: CachedHead<'_>) {
    for tokens in tokens.chunks_mut(ATTENTION_TOKENS) {
        let (d, heads) = (tokens[0].head_dim, tokens[0].count());
        let alike = |token: &Queries<'_>| token.head_dim == d && token.count() == heads && token.positions() > 0;
        let fours = d.is_multiple_of(LANES) && tokens.iter().all(alike);
        let whole = if fours { heads / HEADS * HEADS } else { 0 };
        for first in (0..whole).step_by(HEADS) {
            four_heads(tokens, first, cache);
        }
        for token in tokens {
            let count = token.count();
            if count > whole {
                one_by_one(token.heads(whole..count), cache, |halves| widen_16(halves));
            }
        }
    }
}

/// Four heads from `first` on of some tokens, at most [`ATTENTION_TOKENS`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn four_heads(tokens: &mut [Queries<'_>], first: usize, cache: CachedHead<'_>) {
    let d = tokens[0].head_dim;
    // One token reads each key and value once: a buffer would not pay.
    let mut rows = (tokens.len() > 1 && d <= MOST_DIM).then_some([[0f32; MOST_DIM]; POSITIONS]);
    // Taken once: finding the heads of a token divides.
    let mut given = tokens.iter_mut();
    let mut tokens: [Option<Queries<'_>>; ATTENTION_TOKENS] =
        std::array::from_fn(|_| given.next().map(|token| token.heads(first..first + HEADS)));
    let most = tokens.iter().flatten().map(quads).max().unwrap_or(0);
    for quad in 0..most {
        let keys: [&[u16]; POSITIONS] = std::array::from_fn(|p| cache.key(quad * POSITIONS + p, d));
        let tokens = tokens.iter_mut().flatten().filter(|token| quad < quads(token));
        match &mut rows {
            Some(rows) => {
                widen_rows(keys, rows);
                tokens.for_each(|token| scores_of(token, quad, |p, at| load(&rows[p][at..])));
            }
            None => tokens.for_each(|token| scores_of(token, quad, |p, at| wide(&keys[p][at..]))),
        }
    }
    let mut shares = [[0f32; HEADS]; ATTENTION_TOKENS];
    for (token, shares) in tokens.iter_mut().flatten().zip(&mut shares) {
        let positions = token.scores.len() / HEADS;
        for (h, share) in shares.iter_mut().enumerate() {
            let scores = &mut token.scores[h * positions..][..positions];
            last_scores(&token.q[h * d..][..d], cache, token.factor, scores, |halves| widen_16(halves));
            *share = exponents(scores);
        }
        token.out.fill(0.0);
    }
    for quad in 0..most {
        let values: [&[u16]; POSITIONS] = std::array::from_fn(|p| cache.value(quad * POSITIONS + p, d));
        let tokens = tokens.iter_mut().flatten().filter(|token| quad < quads(token));
        match &mut rows {
            Some(rows) => {
                widen_rows(values, rows);
                tokens.for_each(|token| add_of(token, quad, |p, at| load(&rows[p][at..])));
            }
            None => tokens.for_each(|token| add_of(token, quad, |p, at| wide(&values[p][at..]))),
        }
    }
    for (token, shares) in tokens.iter_mut().flatten().zip(shares) {
        let positions = token.scores.len() / HEADS;
        for (h, (out, share)) in token.out.chunks_exact_mut(d).zip(shares).enumerate() {
            add_last(out, cache, &token.scores[h * positions..][..positions], |halves| widen_16(halves));
            out.iter_mut().for_each(|out| *out *= share);
        }
    }
}

/// Whole groups of positions that four heads look at.
fn quads(four: &Queries<'_>) -> usize {
    four.scores.len() / HEADS / POSITIONS
}

/// Scores of four heads for four positions, whose keys are given by 16 elements.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn scores_of(token: &mut Queries<'_>, quad: usize, key: impl Fn(usize, usize) -> __m512) {
    let Queries { q, head_dim: d, factor, ref mut scores, .. } = *token;
    let positions = scores.len() / HEADS;
    let q: [&[f32]; HEADS] = std::array::from_fn(|h| &q[h * d..][..d]);
    let mut sums = [_mm512_setzero_ps(); HEADS * POSITIONS];
    for at in (0..d).step_by(LANES) {
        let keys: [__m512; POSITIONS] = std::array::from_fn(|p| key(p, at));
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
        let scores: &mut [f32] = &mut scores[h * positions + quad * POSITIONS..][..POSITIONS];
        // SAFETY: the slice has 4 f32; the store needs no alignment.
        unsafe { _mm_storeu_ps(scores.as_mut_ptr(), dots) };
    }
}

/// Adds four positions to the outputs of four heads; their values are given by 16 elements.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn add_of(token: &mut Queries<'_>, quad: usize, value: impl Fn(usize, usize) -> __m512) {
    let Queries { head_dim: d, ref scores, ref mut out, .. } = *token;
    let positions = scores.len() / HEADS;
    let weight = |i: usize| _mm512_set1_ps(scores[i / POSITIONS * positions + quad * POSITIONS + i % POSITIONS]);
    let weights: [__m512; HEADS * POSITIONS] = std::array::from_fn(weight);
    for at in (0..d).step_by(LANES) {
        let values: [__m512; POSITIONS] = std::array::from_fn(|p| value(p, at));
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

#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn widen_rows(from: [&[u16]; POSITIONS], to: &mut [[f32; MOST_DIM]; POSITIONS]) {
    for (from, to) in from.into_iter().zip(to) {
        for (from, to) in from.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
            *to = widen_16(from);
        }
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
