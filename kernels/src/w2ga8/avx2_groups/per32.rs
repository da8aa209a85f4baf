//! `avx2-groups` where 32 activations have a scale: a plane of a block has exactly one. Its sums are widened, lose the
//! sum of the activations, become f32 and are scaled by themselves; what is added up of a group is scaled once more.
//!
//! Planes 1 and 3 stay four times too large: their sums of activations come four times as large, their scales as a
//! quarter. All of that is exact, for a scale is 0 or at least 2^-24: both products of a sum and a scale are one
//! number, rounded once, and nothing is subnormal before the scale of the group. A call makes these numbers once for
//! all rows.
//!
//! Per plane of 8 rows 4 operations, `madd`, subtraction, conversion and `fmadd`, with 2 broadcast loads; a group has
//! one `fmadd` more. With groups of 128 that is 17 beside the 100 to 104 of the sums, where a token's rule has 11.
//!
//! On an AMD EPYC (family 25 model 17) in L2 (1024 x 2560), share of the speed of `avx2-i8-tile8` in the same rounds:
//! 0.86, 0.84 and 0.81 with groups of 64, 128 and 256, where the rule of a token has 0.92, 0.97 and 0.98.
//!
//! Not taken, with groups of 128: shifting the planes that are four times too large, which needs no numbers made before
//! (0.80); int16 sums that start at the zero point, which save nothing, for a sum that starts at zero starts with a
//! product in place of an addition (0.74, with spills); numbers for all eight lanes, which save the broadcasts (0.84).

use super::block::{for_each_panel, load, nothing, planes};
use crate::MAX_K_I8;
use crate::descriptor::GemvGroups;
use crate::layouts::groups8::{BLOCK_BYTES, BLOCK_K, ROWS};
use crate::placement::at_cache_line;
use crate::prefetch::with_prefetch;
use crate::x86_64::panel_rows::store_8_f32 as store;
use std::arch::x86_64::*;

/// Planes of a block, which are units of the rule.
const PLANES: usize = BLOCK_K / 32;

/// What the sums of a block's planes meet.
#[derive(Clone, Copy)]
struct Units {
    /// Sums of the activations, as many times too large as those of the planes.
    sums: [i32; PLANES],
    /// Scales, to undo that too.
    scales: [f32; PLANES],
}

/// Blocks that there is room for at little cost; a call with more columns clears more memory first.
const FEW: usize = 32768 / BLOCK_K;

#[target_feature(enable = "avx2,fma")]
pub(super) fn gemv(args: GemvGroups<'_>) {
    if args.sums.len() <= FEW * PLANES { with_units::<FEW>(args) } else { with_units::<{ MAX_K_I8 / BLOCK_K }>(args) }
}

/// Makes the units of up to `N` blocks, on the stack, and multiplies.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn with_units<const N: usize>(args: GemvGroups<'_>) {
    let mut units = [Units { sums: [0; PLANES], scales: [0.0; PLANES] }; N];
    let given = args.sums.as_chunks::<PLANES>().0.iter().zip(args.x_scales.as_chunks::<PLANES>().0);
    let units = &mut units[..given.len()];
    for (units, (sums, scales)) in units.iter_mut().zip(given) {
        units.sums = std::array::from_fn(|p| sums[p] << (2 * (p % 2)));
        units.scales = std::array::from_fn(|p| scales[p] * [1.0, 0.25][p % 2]);
    }
    match args.group {
        64 => with_prefetch!(args.prefetch, halves(args, units)),
        128 => with_prefetch!(args.prefetch, wholes(args, units)),
        _ => with_prefetch!(args.prefetch, pairs(args, units)),
    }
}

/// Groups of 128: the planes of a block.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn wholes<const TWO_LEVELS: bool>(args: GemvGroups<'_>, units: &[Units]) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        for (((block, x), units), scales) in blocks.iter().zip(x).zip(units).zip(scales) {
            let [p0, p1, p2, p3] = planes::<TWO_LEVELS>(block, x);
            let t = add(add(add(add(nothing(), p0, units, 0), p1, units, 1), p2, units, 2), p3, units, 3);
            acc = _mm256_fmadd_ps(t, load(scales), acc);
        }
        acc
    });
}

/// Groups of 256: the planes of two blocks, the last one perhaps of one.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn pairs<const TWO_LEVELS: bool>(args: GemvGroups<'_>, units: &[Units]) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        let x_sides = x.chunks(2).zip(units.chunks(2));
        for ((pair, (x, units)), scales) in blocks.chunks(2).zip(x_sides).zip(scales) {
            let mut t = nothing();
            for ((block, x), units) in pair.iter().zip(x).zip(units) {
                let [p0, p1, p2, p3] = planes::<TWO_LEVELS>(block, x);
                t = add(add(add(add(t, p0, units, 0), p1, units, 1), p2, units, 2), p3, units, 3);
            }
            acc = _mm256_fmadd_ps(t, load(scales), acc);
        }
        acc
    });
}

/// Groups of 64: two planes each, the last one perhaps alone in its block.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn halves<const TWO_LEVELS: bool>(args: GemvGroups<'_>, units: &[Units]) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        for (((block, x), units), scales) in blocks.iter().zip(x).zip(units).zip(scales.chunks(2)) {
            let [p0, p1, p2, p3] = planes::<TWO_LEVELS>(block, x);
            let first = add(add(nothing(), p0, units, 0), p1, units, 1);
            acc = _mm256_fmadd_ps(first, load(&scales[0]), acc);
            if let [_, scales] = scales {
                let second = add(add(nothing(), p2, units, 2), p3, units, 3);
                acc = _mm256_fmadd_ps(second, load(scales), acc);
            }
        }
        acc
    });
}

/// What planes of a group before this one gave, [`nothing`] at first, and its own sums, scaled.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(t: __m256, plane: __m256i, units: &Units, p: usize) -> __m256 {
    _mm256_fmadd_ps(sums(plane, units.sums[p]), _mm256_set1_ps(units.scales[p]), t)
}

/// Sums of weight * x of a plane's rows, exact as f32.
#[inline]
#[target_feature(enable = "avx2")]
fn sums(plane: __m256i, x_sum: i32) -> __m256 {
    let sums = _mm256_madd_epi16(plane, _mm256_set1_epi16(1));
    _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, _mm256_set1_epi32(x_sum)))
}
