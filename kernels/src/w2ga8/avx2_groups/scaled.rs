//! `avx2-groups` where 256 or 128 activations have a scale: the loops for tokens with one product a group more. Where
//! such a block has whole groups, the scales of weights and activations are multiplied first; where a group of 256 has
//! two blocks of 128, its sums are scaled one by one before its own scale.
//!
//! Beside what a token costs, a group of 8 rows has a broadcast load and a product. On an AMD EPYC (family 25 model 17)
//! in L2 (1024 x 2560), share of the speed of `avx2-i8-tile8` in the same rounds: with groups of 64, 128 and 256 0.90,
//! 0.97 and 0.96 by blocks of 256, 0.90, 0.97 and 0.88 by blocks of 128.

use super::block::{Scales, for_each_panel, four_times, load, planes, sums};
use crate::activation::ActivationRule;
use crate::descriptor::GemvGroups;
use crate::layouts::groups8::{BLOCK_BYTES, BLOCK_K, ROWS};
use crate::placement::at_cache_line;
use crate::prefetch::with_prefetch;
use crate::x86_64::panel_rows::store_8_f32 as store;
use std::arch::x86_64::*;

#[target_feature(enable = "avx2,fma")]
pub(super) fn gemv(args: GemvGroups<'_>) {
    match (args.group, args.rule) {
        (64, _) => with_prefetch!(args.prefetch, halves(args)),
        (128, _) => with_prefetch!(args.prefetch, wholes(args)),
        (_, ActivationRule::Per128) => with_prefetch!(args.prefetch, pairs_of_two(args)),
        _ => with_prefetch!(args.prefetch, pairs(args)),
    }
}

/// Scales of activations of each block of codes: the rule's own by 128, each twice by 256.
#[inline(always)]
fn by_block<'a>(args: &GemvGroups<'a>) -> impl Fn(usize) -> f32 + use<'a> {
    let (scales, shift) = (args.x_scales, u32::from(args.rule == ActivationRule::Per256));
    move |block| scales[block >> shift]
}

/// Groups of 128: a block each.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn wholes<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    let x_scale = by_block(&args);
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        for (b, (((block, x), scales), sum)) in blocks.iter().zip(x).zip(scales).zip(args.sums).enumerate() {
            acc = add_group(acc, sums(four_times(planes::<TWO_LEVELS>(block, x)), *sum), scales, x_scale(b));
        }
        acc
    });
}

/// Groups of 256 whose activations have one scale: two blocks each, the last one perhaps one.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn pairs<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        let x_sides = x.chunks(2).zip(args.sums).zip(args.x_scales);
        for ((pair, ((x, sum), &x_scale)), scales) in blocks.chunks(2).zip(x_sides).zip(scales) {
            let mut fours = _mm256_setzero_si256();
            for (block, x) in pair.iter().zip(x) {
                fours = _mm256_add_epi32(fours, four_times(planes::<TWO_LEVELS>(block, x)));
            }
            acc = add_group(acc, sums(fours, *sum), scales, x_scale);
        }
        acc
    });
}

/// Groups of 256 with two blocks of 128 activations: each has a scale, the second one perhaps no codes.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn pairs_of_two<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        let x_sides = x.chunks(2).zip(args.sums.chunks(2)).zip(args.x_scales.chunks(2));
        for ((pair, ((x, x_sums), x_scales)), scales) in blocks.chunks(2).zip(x_sides).zip(scales) {
            // The first sum is added to it as if it were not there, whichever sign a zero has.
            let mut t = _mm256_set1_ps(-0.0);
            for (((block, x), sum), &x_scale) in pair.iter().zip(x).zip(x_sums).zip(x_scales) {
                let sums = sums(four_times(planes::<TWO_LEVELS>(block, x)), *sum);
                t = _mm256_fmadd_ps(sums, _mm256_set1_ps(x_scale), t);
            }
            acc = _mm256_fmadd_ps(t, load(scales), acc);
        }
        acc
    });
}

/// Groups of 64: half a block each, the last one perhaps alone in its block.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn halves<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    let x_scale = by_block(&args);
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        let (four, one) = (_mm256_set1_epi16(4), _mm256_set1_epi16(1));
        let groups = scales.chunks(2).zip(args.sums.chunks(2));
        for (b, ((block, x), (scales, x_sums))) in blocks.iter().zip(x).zip(groups).enumerate() {
            let ([p0, p1, p2, p3], x_scale) = (planes::<TWO_LEVELS>(block, x), x_scale(b));
            let first = _mm256_add_epi32(_mm256_madd_epi16(p0, four), _mm256_madd_epi16(p1, one));
            acc = add_group(acc, sums(first, x_sums[0]), &scales[0], x_scale);
            if let ([_, scales], [_, sum]) = (scales, x_sums) {
                let second = _mm256_add_epi32(_mm256_madd_epi16(p2, four), _mm256_madd_epi16(p3, one));
                acc = add_group(acc, sums(second, *sum), scales, x_scale);
            }
        }
        acc
    });
}

/// Adds a group: its exact sums, its scales, and that of its activations.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_group(acc: __m256, sums: __m256, scales: &Scales, x_scale: f32) -> __m256 {
    _mm256_fmadd_ps(sums, _mm256_mul_ps(load(scales), _mm256_set1_ps(x_scale)), acc)
}
