//! Attention over a cache of keys and values in f16: half the memory and half the bytes of an f32 cache, and what
//! engines and the published figures use.
//!
//! Keys and values are rounded once, to nearest even, when they enter the cache; widening is exact. The body is written
//! once, over fixed lanes, and stamped for each level like the operations of [`F32Ops`]; the levels differ only in how
//! 16 values are widened: `vcvtph2ps` of 512 or 256 bits, or integer arithmetic where F16C is missing or masked. With
//! AVX-512, four query heads that share a key and value head go together: each key is widened once for four, and the 16
//! sums of 4 heads and 4 positions are added across their lanes in one tree (15 additions and 30 shuffles). That tree
//! pairs lanes as the single sum does. So the results are the same bits at every level, for every number of threads,
//! every batch and every group. Tokens of a batch go in eights there: four positions are widened into the first-level
//! cache and pass by all of them. 64 positions of 128 elements on Zen 5: 0.49 us a head in fours, 0.66 us alone.

mod body;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use body::{ATTENTION_TOKENS, CachedHead, Queries};

use crate::cpu::Level;
use crate::error::KernelError;
use crate::f32_ops::F32Ops;
use body::{one_by_one, widen};

impl F32Ops {
    /// Each head's `out = softmax(q . key * factor) . value`, over as many positions as there are scores for, of one
    /// token or of several that share the cached head. A key or value is widened once for up to four heads, and once
    /// for several tokens; what a head gets depends on neither.
    ///
    /// # Panics
    /// If `q`, `scores` and `out` of a token are not of the same number of heads, at least one, or the cache has fewer
    /// positions.
    pub fn attend(self, tokens: &mut [Queries<'_>], cache: CachedHead<'_>) {
        for token in &*tokens {
            let heads = token.q.len().checked_div(token.head_dim).unwrap_or(0);
            assert!(heads > 0 && heads * token.head_dim == token.q.len(), "whole heads");
            assert_eq!(token.q.len(), token.out.len(), "outputs are as wide as queries");
            assert!(token.scores.len().is_multiple_of(heads), "as many positions for each head");
        }
        let each = |tokens: &mut [Queries<'_>], attend: &dyn Fn(Queries<'_>)| {
            tokens.iter_mut().for_each(|token| attend(token.heads(0..token.count())));
        };
        match self.level {
            Level::Portable => each(tokens, &|token| one_by_one(token, cache, widen)),
            // SAFETY: `Level::select` found these features on this CPU.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => each(tokens, &|token| unsafe { x86_64::attend_avx2(token, cache) }),
            // SAFETY: `Level::select` found these features on this CPU.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Vnni => unsafe { x86_64::attend_avx512(tokens, cache) },
        }
    }

    /// Converts f32 to f16 bit patterns: each value of `x` is rounded to the nearest f16 (to even where two are as
    /// near).
    ///
    /// # Errors
    /// Different lengths, or a value that is not finite in f16: such a key or value would make the others vanish from
    /// the result.
    pub fn narrow_to_f16(self, x: &[f32], out: &mut [u16]) -> Result<(), KernelError> {
        crate::error::same("f16 values", x.len(), out.len())?;
        match self.level {
            Level::Portable => {
                x.iter().zip(out.iter_mut()).for_each(|(x, out)| *out = half::f16::from_f32(*x).to_bits())
            }
            // SAFETY: `Level::select` found F16C (part of all these levels) on this CPU.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 | Level::Avx512Vnni => unsafe { x86_64::narrow(x, out) },
        }
        // An integer maximum over the magnitudes finds infinity and NaN, and vectorises.
        if out.iter().fold(0, |largest, bits| largest.max(bits & 0x7FFF)) < F16_INFINITY {
            return Ok(());
        }
        let index = out.iter().position(|bits| bits & 0x7FFF >= F16_INFINITY).unwrap_or(0);
        Err(KernelError::BeyondF16 { index, value: x[index] })
    }
}

const F16_INFINITY: u16 = 0x7C00;

#[cfg(test)]
mod tests {
    use super::body::widen_one;
    use super::*;
    use crate::random::SplitMix64;
    use crate::testing::{bits, f16, f32_levels};

    #[test]
    fn every_finite_half_is_widened_exactly() {
        for bits in (0..=u16::MAX).filter(|bits| bits & 0x7FFF < F16_INFINITY) {
            let want = half::f16::from_bits(bits).to_f32();
            assert_eq!(widen_one(bits).to_bits(), want.to_bits(), "{bits:#06x}");
        }
    }

    #[test]
    fn narrowing_is_to_nearest_even_at_every_level_and_refuses_what_does_not_fit() {
        // Between, on and beside the halves, subnormal ones and the largest too.
        let x: Vec<f32> = (0..0x7BFFu16)
            .step_by(7)
            .flat_map(|bits| {
                let (a, b) = (half::f16::from_bits(bits).to_f32(), half::f16::from_bits(bits + 1).to_f32());
                let middle = (a + b) / 2.0;
                [a, -b, middle, -middle, middle.next_up(), middle.next_down()]
            })
            .chain([0.0, -0.0, 65504.0, 65519.99, 1e-8, f32::MIN_POSITIVE])
            .collect();
        for ops in f32_levels() {
            let mut out = vec![0; x.len()];
            ops.narrow_to_f16(&x, &mut out).expect("all fit");
            for (x, got) in x.iter().zip(&out) {
                assert_eq!(*got, f16(*x), "{} {x:e}", ops.id());
            }
            for bad in [65520.0, -1e9, f32::INFINITY, f32::NAN] {
                let mut x = vec![1.0; 37];
                x[11] = bad;
                let refused = ops.narrow_to_f16(&x, &mut [0; 37]);
                let Err(KernelError::BeyondF16 { index: 11, .. }) = refused else { panic!("{bad}: {refused:?}") };
            }
            assert!(ops.narrow_to_f16(&x, &mut [0; 3]).is_err());
        }
    }

    #[test]
    fn attention_is_the_weighted_mean_of_values_with_the_same_bits_at_every_level_and_in_every_group() {
        for (d, positions, heads) in [(20, 9, 3), (16, 1, 4), (128, 37, 5), (5, 4, 1), (64, 70, 9)] {
            let stride = d + 4;
            let random = |n, seed| SplitMix64::new(seed).signed_units(n).into_iter().map(|x| 3.0 * x);
            let half = |seed| -> Vec<u16> { random(stride * positions, seed).map(f16).collect() };
            let (q, keys, values): (Vec<f32>, _, _) = (random(heads * d, 5).collect(), half(6), half(7));
            let cache = CachedHead { keys: &keys, values: &values, stride };
            let attend = |ops: F32Ops, q: &[f32]| {
                let (mut scores, mut out) = (vec![0.0; positions * q.len() / d], vec![9.0; q.len()]);
                let queries = Queries { q, head_dim: d, factor: 0.3, scores: &mut scores, out: &mut out };
                ops.attend(&mut [queries], cache);
                out
            };
            let together = attend(f32_levels()[0], &q);
            for ops in f32_levels() {
                assert_eq!(bits(&attend(ops, &q)), bits(&together), "d = {d}, {}", ops.id());
            }
            // Tokens of a batch: each looks at one position more than the one before, and gets what it gets alone.
            let batch: Vec<f32> = random(9 * heads * d, 8).collect();
            let seen = |t: usize| (positions + t).saturating_sub(8).max(1);
            for ops in f32_levels() {
                let alone = |(t, q): (usize, &[f32])| {
                    let (mut scores, mut out) = (vec![0.0; seen(t) * heads], vec![9.0; q.len()]);
                    ops.attend(
                        &mut [Queries { q, head_dim: d, factor: 0.3, scores: &mut scores, out: &mut out }],
                        cache,
                    );
                    bits(&out)
                };
                let want: Vec<_> = batch.chunks(heads * d).enumerate().map(alone).collect();
                let mut scores: Vec<Vec<f32>> = (0..9).map(|t| vec![0.0; seen(t) * heads]).collect();
                let mut outs = vec![9.0; batch.len()];
                let rows = batch.chunks(heads * d).zip(&mut scores).zip(outs.chunks_mut(heads * d));
                let mut queries = Vec::new();
                for ((q, scores), out) in rows {
                    queries.push(Queries { q, head_dim: d, factor: 0.3, scores, out });
                }
                ops.attend(&mut queries, cache);
                let got: Vec<_> = outs.chunks(heads * d).map(bits).collect();
                assert_eq!(got, want, "a batch, d = {d}, {}", ops.id());
            }
            let wide = |bits: u16| half::f16::from_bits(bits).to_f64();
            for (q, out) in q.chunks(d).zip(together.chunks(d)) {
                for ops in f32_levels() {
                    assert_eq!(bits(&attend(ops, q)), bits(out), "a head alone, {}", ops.id());
                }
                let logit = |p: usize| {
                    (0..d).map(|i| f64::from(q[i]) * wide(keys[p * stride + i])).sum::<f64>() * f64::from(0.3f32)
                };
                let weights: Vec<f64> = (0..positions).map(|p| logit(p).exp()).collect();
                let total: f64 = weights.iter().sum();
                for i in 0..d {
                    let want: f64 = (0..positions).map(|p| weights[p] / total * wide(values[p * stride + i])).sum();
                    assert!((f64::from(out[i]) - want).abs() < 2e-5, "d = {d}, {i}: {} {want}", out[i]);
                }
            }
        }
    }
}
