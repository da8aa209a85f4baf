//! `avx2-groups` where 128 activations have a scale and groups have 256 weights: sums of the two blocks are scaled one
//! by one before the scale of the group. On an AMD EPYC (family 25 model 17) in L2 (1024 x 2560) 0.88 of the speed of
//! `avx2-i8-tile8` in the same rounds.

use super::block::{for_each_panel, four_times, load, nothing, planes, sums};
use crate::descriptor::GemvGroups;
use crate::layouts::groups8::{BLOCK_BYTES, BLOCK_K, ROWS};
use crate::placement::at_cache_line;
use crate::prefetch::with_prefetch;
use crate::x86_64::panel_rows::store_8_f32 as store;
use std::arch::x86_64::*;

#[target_feature(enable = "avx2,fma")]
pub(super) fn gemv(args: GemvGroups<'_>) {
    with_prefetch!(args.prefetch, pairs(args));
}

/// Groups of 256 with two blocks of 128 activations: each has a scale, the second one perhaps no codes.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn pairs<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        let x_sides = x.chunks(2).zip(args.sums.chunks(2)).zip(args.x_scales.chunks(2));
        for ((pair, ((x, x_sums), x_scales)), scales) in blocks.chunks(2).zip(x_sides).zip(scales) {
            let mut t = nothing();
            for (((block, x), sum), &x_scale) in pair.iter().zip(x).zip(x_sums).zip(x_scales) {
                let sums = sums(four_times(planes::<TWO_LEVELS>(block, x)), *sum);
                t = _mm256_fmadd_ps(sums, _mm256_set1_ps(x_scale), t);
            }
            acc = _mm256_fmadd_ps(t, load(scales), acc);
        }
        acc
    });
}
