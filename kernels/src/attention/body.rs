//! Attention over fixed lanes, as every level computes it: what a level brings is how 16 values are widened.

use crate::f32_ops::{LANES, exp_nonpositive, sum_lanes};
use std::ops::Range;

/// Keys and values of one head as the cache holds them: f16 bit patterns, consecutive positions `stride` elements
/// apart.
#[derive(Clone, Copy, Debug)]
pub struct CachedHead<'a> {
    /// f16 bit patterns of the keys, position after position.
    pub keys: &'a [u16],
    /// f16 bit patterns of the values, position after position.
    pub values: &'a [u16],
    /// Elements from one position to the next, in both `keys` and `values`.
    pub stride: usize,
}

/// Tokens of a batch that attention takes at once: they pass over the same keys and values while these stay in the
/// first-level cache, and their queries, 16 KiB with four heads of 128 elements, too. By those sizes, not swept.
pub const ATTENTION_TOKENS: usize = 8;

/// Query heads over the one cached head that they share.
pub struct Queries<'a> {
    /// The query vectors, `head_dim` elements each, head after head.
    pub q: &'a [f32],
    /// Number of elements of a head.
    pub head_dim: usize,
    /// Factor of the inner products before the softmax, usually 1 / sqrt(head_dim).
    pub factor: f32,
    /// Scratch for the weights of the softmax: one element a head and position.
    pub scores: &'a mut [f32],
    /// Output: `head_dim` elements for each query head, head after head.
    pub out: &'a mut [f32],
}

impl Queries<'_> {
    /// Number of heads.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.q.len() / self.head_dim
    }

    /// Number of positions that each head looks at.
    #[inline(always)]
    pub(super) fn positions(&self) -> usize {
        self.scores.len() / self.count()
    }

    /// Some of the heads.
    #[inline(always)]
    pub(super) fn heads(&mut self, heads: Range<usize>) -> Queries<'_> {
        let (d, positions) = (self.head_dim, self.positions());
        Queries {
            q: &self.q[heads.start * d..heads.end * d],
            head_dim: d,
            factor: self.factor,
            scores: &mut self.scores[heads.start * positions..heads.end * positions],
            out: &mut self.out[heads.start * d..heads.end * d],
        }
    }
}

impl<'a> CachedHead<'a> {
    #[inline(always)]
    pub(super) fn key(&self, position: usize, d: usize) -> &'a [u16] {
        &self.keys[position * self.stride..][..d]
    }

    #[inline(always)]
    pub(super) fn value(&self, position: usize, d: usize) -> &'a [u16] {
        &self.values[position * self.stride..][..d]
    }
}

/// 16 finite f16 to f32, exactly: the magnitude's bits where f32 has exponent and mantissa, times what the exponents'
/// biases differ by. Subnormal ones come out right because the multiplication normalises them.
#[inline(always)]
pub(super) fn widen(halves: &[u16; LANES]) -> [f32; LANES] {
    halves.map(|bits| {
        let magnitude = f32::from_bits(u32::from(bits & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
        f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
    })
}

#[inline(always)]
pub(super) fn widen_one(bits: u16) -> f32 {
    let mut lanes = [0; LANES];
    lanes[0] = bits;
    widen(&lanes)[0]
}

/// Positions that attention takes at once: their sums and products share each load of the query and of the output.
/// By the registers that they take with four heads, not swept.
pub(super) const POSITIONS: usize = 4;

/// Inner products of `N` keys with the same vector.
#[inline(always)]
fn dots<const N: usize>(q: &[f32], keys: [&[u16]; N], widen: impl Fn(&[u16; LANES]) -> [f32; LANES]) -> [f32; N] {
    let (q, q_tail) = q.as_chunks::<LANES>();
    let keys = keys.map(|key| key.as_chunks::<LANES>());
    let mut lanes = [[0f32; LANES]; N];
    for (at, q) in q.iter().enumerate() {
        for (lanes, key) in lanes.iter_mut().zip(&keys) {
            let key = widen(&key.0[at]);
            for i in 0..LANES {
                lanes[i] += q[i] * key[i];
            }
        }
    }
    let mut sums = [0f32; N];
    for ((sum, lanes), key) in sums.iter_mut().zip(lanes).zip(&keys) {
        *sum = sum_lanes(lanes) + q_tail.iter().zip(key.1).map(|(a, b)| a * widen_one(*b)).sum::<f32>();
    }
    sums
}

/// `out += sum of weight * value` over `N` positions, added in pairs.
#[inline(always)]
fn add_weighted<const N: usize>(
    out: &mut [f32],
    weights: [f32; N],
    values: [&[u16]; N],
    widen: impl Fn(&[u16; LANES]) -> [f32; LANES],
) {
    let (chunks, tail) = out.as_chunks_mut::<LANES>();
    let values = values.map(|value| value.as_chunks::<LANES>());
    let add = |terms: [f32; N]| terms.chunks(2).fold(0.0, |sum, pair| sum + pair.iter().sum::<f32>());
    for (at, out) in chunks.iter_mut().enumerate() {
        let values = values.map(|(chunks, _)| widen(&chunks[at]));
        for i in 0..LANES {
            out[i] += add(std::array::from_fn(|p| weights[p] * values[p][i]));
        }
    }
    for (i, out) in tail.iter_mut().enumerate() {
        *out += add(std::array::from_fn(|p| weights[p] * widen_one(values[p].1[i])));
    }
}

/// Head after head.
#[inline(always)]
pub(super) fn one_by_one(
    queries: Queries<'_>,
    cache: CachedHead<'_>,
    widen: impl Fn(&[u16; LANES]) -> [f32; LANES] + Copy,
) {
    let (d, factor) = (queries.head_dim, queries.factor);
    let positions = queries.positions();
    for (h, (q, out)) in queries.q.chunks_exact(d).zip(queries.out.chunks_exact_mut(d)).enumerate() {
        let scores = &mut queries.scores[h * positions..][..positions];
        for (i, quad) in scores.as_chunks_mut::<POSITIONS>().0.iter_mut().enumerate() {
            let keys = std::array::from_fn::<_, POSITIONS, _>(|p| cache.key(i * POSITIONS + p, d));
            *quad = dots(q, keys, widen).map(|dot| dot * factor);
        }
        last_scores(q, cache, factor, scores, widen);
        let share = exponents(scores);
        out.fill(0.0);
        for (i, weights) in scores.as_chunks::<POSITIONS>().0.iter().enumerate() {
            add_weighted(out, *weights, std::array::from_fn(|p| cache.value(i * POSITIONS + p, d)), widen);
        }
        add_last(out, cache, scores, widen);
        out.iter_mut().for_each(|out| *out *= share);
    }
}

/// Scores of the positions that no group of [`POSITIONS`] has.
#[inline(always)]
pub(super) fn last_scores(
    q: &[f32],
    cache: CachedHead<'_>,
    factor: f32,
    scores: &mut [f32],
    widen: impl Fn(&[u16; LANES]) -> [f32; LANES] + Copy,
) {
    let first = scores.len() / POSITIONS * POSITIONS;
    for (i, score) in scores[first..].iter_mut().enumerate() {
        *score = dots(q, [cache.key(first + i, q.len())], widen)[0] * factor;
    }
}

/// Values of the positions that no group of [`POSITIONS`] has.
#[inline(always)]
pub(super) fn add_last(
    out: &mut [f32],
    cache: CachedHead<'_>,
    scores: &[f32],
    widen: impl Fn(&[u16; LANES]) -> [f32; LANES] + Copy,
) {
    let first = scores.len() / POSITIONS * POSITIONS;
    for (i, score) in scores[first..].iter().enumerate() {
        add_weighted(out, [*score], [cache.value(first + i, out.len())], widen);
    }
}

/// e^(score - the largest) in place; returns 1 over their sum.
#[inline(always)]
pub(super) fn exponents(scores: &mut [f32]) -> f32 {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = exp_nonpositive(*score - largest);
    }
    let (chunks, tail) = scores.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    1.0 / (sum_lanes(lanes) + tail.iter().sum::<f32>())
}
