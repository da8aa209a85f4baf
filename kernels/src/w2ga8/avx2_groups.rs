//! W2gA8 on AVX2, eight rows at a time, on `groups8x128`: masks instead of shifts as in [`crate::w2a8::avx2_i8_tile8`],
//! and the widening that its int16 sums need anyway is where a group ends.
//!
//! A block is 8 rows x 128 k in eight registers, each with four planes; plane p is 32 consecutive weights. `and` with 3
//! and with 12 of the bytes and of the bytes shifted right by 4 gives the planes, two of them four times too large.
//! Their int16 sums last exactly one block. Then a `madd` by 4 or by 1 widens them so that all are four times the sum;
//! one shift takes the 4 out, the sum of the activations comes off, and a group is one conversion and one fused
//! multiply-add with the scales of its eight rows. No horizontal sum.
//!
//! Per 64 weights, half a register: 1/2 load of codes, 1/2 shift, 2 `and`, 2 `maddubs`, 2 additions of int16, 2
//! broadcast loads of activations. Beside that, for a group of 128 of 8 rows, 1,024 weights: 1 addition of int16, 3
//! `madd`, 2 additions, 1 shift, 1 subtraction with a broadcast load, 1 conversion, 1 `fmadd` with a load of scales: 11
//! operations beside the 104 of shifts, `and`, `maddubs` and additions, where `avx2-i8-tile8` has 7. A group of 64 is
//! half a block (two planes, 2 `madd`), one of 256 is two blocks, whose int32 sums are added. Scales are f32: 2.25 bits
//! a weight with groups of 128.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 9.94 instructions, 9.44 of them vector, 2.62 memory reads.
//! That is with groups of 128. `avx2-i8-tile8` has 9.75 and 9.31. On an AMD EPYC (family 25 model 17) it runs at 0.97
//! of that kernel's speed in L2 (1024 x 2560, medians of five runs in turn on a loaded machine), and from memory at
//! 0.90 (6912 x 2560): it reads 1.125 times the bytes.
//!
//! Where 256 or 128 activations have a scale and a block of them has whole groups, both scales are multiplied first: a
//! broadcast load and a product a group of 8 rows. Share of `avx2-i8-tile8` in the same rounds there, with groups of
//! 64, 128 and 256: 0.90, 0.97 and 0.96 by blocks of 256, 0.90 and 0.97 by blocks of 128.
//!
//! From the prototypes of this project (layout A2, 0.907 there). llama.cpp's path for such weights is a scalar loop.
//!
//! Not taken: the order of k of `tile8x16`, where a group of 64 has weights in all four planes, which then are all
//! widened twice as often. Leaving the 4 in the scales instead of shifting it out is one operation less, and wrong in
//! the last bit where a sum is subnormal, which f32 scales allow.
//!
//! # What the compiler makes of it
//! As written, LLVM (Rust 1.95) adds the products of a block in an order of its own, a plane at a time: it keeps the
//! shifted bytes of five registers on the stack meanwhile, reads masks from memory, and asks ahead for the whole block
//! at its end; 11.06 instructions and 5.0 reads. `in_order!` on the four sums after each register keeps the order: no
//! spill, and masks in registers. `together!`, which lets loads pass, is enough here and not where a loop has more to
//! keep: by blocks of 128 activations it left 0.65 of `avx2-i8-tile8` where this has 0.96. Each loop is a function of
//! its own, for the same reason.
//!
//! # Exact: no int16 can overflow
//! `maddubs` adds two products of a masked byte and an int8 of at least -128. With mask 3 the byte is at most 3, so a
//! sum is within +-2 * 3 * 128 = 768; with mask 12 it is within +-2 * 12 * 128 = 3,072. A lane takes one of them a
//! register and is widened after [`STEPS`] = 8: at most 24,576, below 32,767, code 3 and -128 included. The two mask-3
//! sums of a group of 128 are added in int16: 2 * 8 * 768 = 12,288. In int32, four times a sum of a group is within 4 *
//! 3 * 128 * 256, and the sum less that of the activations is below 2^24: f32 holds it exactly.

mod block;
mod gemm;
mod per128;
mod per32;

use self::block::{Scales, for_each_panel, four_times, load, planes, sums};
use crate::activation::ActivationRule;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemmGroups, GemvGroups, KernelDescriptor};
use crate::layouts::groups8::{BLOCK_BYTES, BLOCK_K, LAYOUT, ROWS};
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, with_prefetch};
use crate::x86_64::panel_rows::store_8_f32 as store;
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-groups",
    isa: "avx2",
    requires: CpuFeatures::AVX2.with(CpuFeatures::FMA),
    multiply: Some("maddubs-ymm"),
    tile: (ROWS, 1),
    gemm: Some(Gemm::Groups(gemm)),
    builds_on: Some("scalar-groups"),
    summary: "eight rows interleaved, planes that belong to one group: scaled where int16 sums are widened anyway",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2ga8(&LAYOUT, gemv)
};

#[target_feature(enable = "avx2,fma")]
fn gemv(args: GemvGroups<'_>) {
    match args.rule {
        ActivationRule::Token => by_group::<false>(args),
        ActivationRule::Per128 if args.group == 256 => per128::gemv(args),
        ActivationRule::Per128 | ActivationRule::Per256 => by_group::<true>(args),
        ActivationRule::Per32 => per32::gemv(args),
    }
}

#[target_feature(enable = "avx2,fma")]
fn gemm(args: GemmGroups<'_, '_>) {
    gemm::gemm(args, gemv);
}

/// Units that are whole groups, whose activations have a scale of their own if `SCALED`.
#[target_feature(enable = "avx2,fma")]
fn by_group<const SCALED: bool>(args: GemvGroups<'_>) {
    match args.group {
        64 => with_prefetch!(args.prefetch, halves[SCALED](args)),
        128 => with_prefetch!(args.prefetch, wholes[SCALED](args)),
        _ => with_prefetch!(args.prefetch, pairs[SCALED](args)),
    }
}

/// Scales of activations of each block of codes: the rule's own by 128, each twice by 256. None of a token.
#[inline(always)]
fn by_block<'a, const SCALED: bool>(args: &GemvGroups<'a>) -> impl Fn(usize) -> f32 + use<'a, SCALED> {
    let (scales, shift) = (args.x_scales, u32::from(args.rule == ActivationRule::Per256));
    move |block| if SCALED { scales[block >> shift] } else { 1.0 }
}

/// Groups of 128: a block each.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn wholes<const SCALED: bool, const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    let x_scale = by_block::<SCALED>(&args);
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        for (b, (((block, x), scales), sum)) in blocks.iter().zip(x).zip(scales).zip(args.sums).enumerate() {
            let sums = sums(four_times(planes::<TWO_LEVELS>(block, x)), *sum);
            acc = add_group::<SCALED>(acc, sums, scales, x_scale(b));
        }
        acc
    });
}

/// Groups of 256: two blocks each, the last one perhaps one.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn pairs<const SCALED: bool, const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    let x_scale = by_block::<SCALED>(&args);
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        let groups = blocks.chunks(2).zip(x.chunks(2)).zip(scales).zip(args.sums);
        for (g, (((pair, x), scales), sum)) in groups.enumerate() {
            let mut fours = _mm256_setzero_si256();
            for (block, x) in pair.iter().zip(x) {
                fours = _mm256_add_epi32(fours, four_times(planes::<TWO_LEVELS>(block, x)));
            }
            acc = add_group::<SCALED>(acc, sums(fours, *sum), scales, x_scale(2 * g));
        }
        acc
    });
}

/// Groups of 64: half a block each, the last one perhaps alone in its block.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn halves<const SCALED: bool, const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    let x_scale = by_block::<SCALED>(&args);
    for_each_panel!(args, |blocks, x, scales| {
        let mut acc = _mm256_setzero_ps();
        let (four, one) = (_mm256_set1_epi16(4), _mm256_set1_epi16(1));
        let groups = scales.chunks(2).zip(args.sums.chunks(2));
        for (b, ((block, x), (scales, x_sums))) in blocks.iter().zip(x).zip(groups).enumerate() {
            let ([p0, p1, p2, p3], x_scale) = (planes::<TWO_LEVELS>(block, x), x_scale(b));
            let first = _mm256_add_epi32(_mm256_madd_epi16(p0, four), _mm256_madd_epi16(p1, one));
            acc = add_group::<SCALED>(acc, sums(first, x_sums[0]), &scales[0], x_scale);
            if let ([_, scales], [_, sum]) = (scales, x_sums) {
                let second = _mm256_add_epi32(_mm256_madd_epi16(p2, four), _mm256_madd_epi16(p3, one));
                acc = add_group::<SCALED>(acc, sums(second, *sum), scales, x_scale);
            }
        }
        acc
    });
}

/// Adds a group: its exact sums, its scales, and that of its activations if they have one.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_group<const SCALED: bool>(acc: __m256, sums: __m256, scales: &Scales, x_scale: f32) -> __m256 {
    let scales = load(scales);
    let scales = if SCALED { _mm256_mul_ps(scales, _mm256_set1_ps(x_scale)) } else { scales };
    _mm256_fmadd_ps(sums, scales, acc)
}
