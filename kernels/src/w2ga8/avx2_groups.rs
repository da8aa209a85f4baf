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
//! Counted (`tritbench count`), inner loop, per 64 weights: 10.00 instructions, 9.50 of them vector, 2.69 memory reads.
//! That is with groups of 128. `avx2-i8-tile8` has 9.75 and 9.31. On an AMD EPYC (family 25 model 17) it runs at 0.97
//! of that kernel's speed in L2 (1024 x 2560, medians of five runs in turn on a loaded machine), and from memory at
//! 0.90 (6912 x 2560): it reads 1.125 times the bytes.
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
//! at its end; 11.06 instructions and 5.0 reads. `together!` on the four sums after each register keeps the order: no
//! spill, and masks in registers.
//!
//! # Exact: no int16 can overflow
//! `maddubs` adds two products of a masked byte and an int8 of at least -128. With mask 3 the byte is at most 3, so a
//! sum is within +-2 * 3 * 128 = 768; with mask 12 it is within +-2 * 12 * 128 = 3,072. A lane takes one of them a
//! register and is widened after [`STEPS`] = 8: at most 24,576, below 32,767, code 3 and -128 included. The two mask-3
//! sums of a group of 128 are added in int16: 2 * 8 * 768 = 12,288. In int32, four times a sum of a group is within 4 *
//! 3 * 128 * 256, and the sum less that of the activations is below 2^24: f32 holds it exactly.

use crate::activation::ActivationRule;
use crate::cpu::CpuFeatures;
use crate::descriptor::{GemvGroups, KernelDescriptor};
use crate::layouts::groups8::{BLOCK_BYTES, BLOCK_K, LAYOUT, ROWS};
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::x86_64::lanes::{quad, together};
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-groups",
    isa: "avx2",
    requires: CpuFeatures::AVX2.with(CpuFeatures::FMA),
    multiply: Some("maddubs-ymm"),
    tile: (ROWS, 1),
    builds_on: Some("scalar-groups"),
    summary: "eight rows interleaved, planes that belong to one group: scaled where int16 sums are widened anyway",
    rules: &[ActivationRule::Token],
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2ga8(&LAYOUT, gemv)
};

/// Registers of codes in a block, between two widenings, see the module's proof.
const STEPS: usize = BLOCK_BYTES / 32;
const LARGEST_CODE: usize = 3;
const _: () = assert!(STEPS * 2 * (LARGEST_CODE << 2) * 128 <= i16::MAX as usize);
const _: () = assert!(2 * STEPS * 2 * LARGEST_CODE * 128 <= i16::MAX as usize);

/// How far ahead of the loads codes are fetched into the cache: the best of 512 to 6144 B in the prototypes (Zen 4).
const PREFETCH_BYTES: usize = 4096;

type Block = [u8; BLOCK_BYTES];
type BlockX = [i8; BLOCK_K];
/// Scales of a group of the eight rows.
type Scales = [f32; ROWS];

#[target_feature(enable = "avx2,fma")]
fn gemv(args: GemvGroups<'_>) {
    match args.group {
        64 => with_prefetch!(args.prefetch, halves(args)),
        128 => with_prefetch!(args.prefetch, wholes(args)),
        _ => with_prefetch!(args.prefetch, pairs(args)),
    }
}

/// Runs `$row` for each panel of the operands, with `$blocks` of codes and of activations, `$scales` and `$sums` of the
/// groups, and stores the sums of the rows that it gives. A macro and not a function, so that the body is compiled with
/// the features of the function around it.
macro_rules! for_each_panel {
    ($args:ident, |$blocks:ident, $x:ident, $scales:ident, $sums:ident| $row:block) => {{
        let ($x, $sums) = ($args.x.as_chunks::<BLOCK_K>().0, $args.sums);
        let panels = $args.codes.chunks_exact($args.panel_bytes).zip($args.scales.chunks_exact($args.groups * ROWS));
        for (y, (codes, scales)) in $args.y.chunks_mut(ROWS).zip(panels) {
            let ($blocks, $scales) = (codes.as_chunks::<BLOCK_BYTES>().0, scales.as_chunks::<ROWS>().0);
            store(y, $row);
        }
    }};
}

/// Groups of 128: a block each.
#[target_feature(enable = "avx2,fma")]
fn wholes<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales, sums| {
        let mut acc = _mm256_setzero_ps();
        for (((block, x), scales), sum) in blocks.iter().zip(x).zip(scales).zip(sums) {
            acc = add_group(acc, four_times(planes::<TWO_LEVELS>(block, x)), *sum, scales);
        }
        acc
    });
}

/// Groups of 256: two blocks each, the last one perhaps one.
#[target_feature(enable = "avx2,fma")]
fn pairs<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales, sums| {
        let mut acc = _mm256_setzero_ps();
        for (((pair, x), scales), sum) in blocks.chunks(2).zip(x.chunks(2)).zip(scales).zip(sums) {
            let mut fours = _mm256_setzero_si256();
            for (block, x) in pair.iter().zip(x) {
                fours = _mm256_add_epi32(fours, four_times(planes::<TWO_LEVELS>(block, x)));
            }
            acc = add_group(acc, fours, *sum, scales);
        }
        acc
    });
}

/// Groups of 64: half a block each, the last one perhaps alone in its block.
#[target_feature(enable = "avx2,fma")]
fn halves<const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    for_each_panel!(args, |blocks, x, scales, sums| {
        let mut acc = _mm256_setzero_ps();
        let (four, one) = (_mm256_set1_epi16(4), _mm256_set1_epi16(1));
        for (((block, x), scales), sums) in blocks.iter().zip(x).zip(scales.chunks(2)).zip(sums.chunks(2)) {
            let [p0, p1, p2, p3] = planes::<TWO_LEVELS>(block, x);
            let first = _mm256_add_epi32(_mm256_madd_epi16(p0, four), _mm256_madd_epi16(p1, one));
            acc = add_group(acc, first, sums[0], &scales[0]);
            if let ([_, scales], [_, sum]) = (scales, sums) {
                let second = _mm256_add_epi32(_mm256_madd_epi16(p2, four), _mm256_madd_epi16(p3, one));
                acc = add_group(acc, second, *sum, scales);
            }
        }
        acc
    });
}

/// int16 sums of the four planes of a block times its activations, those of planes 1 and 3 four times too large.
#[inline]
#[target_feature(enable = "avx2")]
fn planes<const TWO_LEVELS: bool>(block: &Block, x: &BlockX) -> [__m256i; 4] {
    let (mask3, mask12) = (_mm256_set1_epi8(3), _mm256_set1_epi8(12));
    let zero = _mm256_setzero_si256();
    let (mut p0, mut p1, mut p2, mut p3) = (zero, zero, zero, zero);
    let x = x.as_chunks::<4>().0;
    for (i, step) in block.as_chunks::<32>().0.iter().enumerate() {
        if i % 2 == 0 {
            // Two steps are a cache line.
            ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        }
        // SAFETY: a step has 32 bytes; the load needs no alignment.
        let low = unsafe { _mm256_loadu_si256(step.as_ptr().cast()) };
        let high = _mm256_srli_epi16(low, 4);
        p0 = add_products(p0, _mm256_and_si256(low, mask3), &x[i]);
        p1 = add_products(p1, _mm256_and_si256(low, mask12), &x[STEPS + i]);
        p2 = add_products(p2, _mm256_and_si256(high, mask3), &x[2 * STEPS + i]);
        p3 = add_products(p3, _mm256_and_si256(high, mask12), &x[3 * STEPS + i]);
        together!(ymm_reg: p0, p1, p2, p3);
    }
    [p0, p1, p2, p3]
}

/// `sums` plus the pairwise products of a plane and four activations, the same four for each row.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products(sums: __m256i, plane: __m256i, x: &[i8; 4]) -> __m256i {
    _mm256_add_epi16(sums, _mm256_maddubs_epi16(plane, _mm256_set1_epi32(quad(x))))
}

/// Four times the sums of a block's rows.
#[inline]
#[target_feature(enable = "avx2")]
fn four_times([p0, p1, p2, p3]: [__m256i; 4]) -> __m256i {
    let (four, one) = (_mm256_set1_epi16(4), _mm256_set1_epi16(1));
    let units = _mm256_madd_epi16(_mm256_add_epi16(p0, p2), four);
    _mm256_add_epi32(units, _mm256_add_epi32(_mm256_madd_epi16(p1, one), _mm256_madd_epi16(p3, one)))
}

/// Adds a group: four times its sums of code * x, the sum of its x, and its scales.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_group(acc: __m256, fours: __m256i, x_sum: i32, scales: &Scales) -> __m256 {
    // A multiple of four: the shift drops zeros. Codes are weights plus one.
    let sums = _mm256_sub_epi32(_mm256_srai_epi32(fours, 2), _mm256_set1_epi32(x_sum));
    // SAFETY: there are 8 scales; the load needs no alignment.
    let scales = unsafe { _mm256_loadu_ps(scales.as_ptr()) };
    _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scales, acc)
}

/// Writes the rows of a panel that `y` has: all 8, or fewer at the end of a matrix.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(y: &mut [f32], rows: __m256) {
    let mut buffer = [0f32; ROWS];
    let full = <&mut [f32; ROWS]>::try_from(&mut *y);
    let partial = full.is_err();
    let target = full.unwrap_or(&mut buffer);
    // SAFETY: the target has room for 8 f32; the store needs no alignment.
    unsafe { _mm256_storeu_ps(target.as_mut_ptr(), rows) };
    if partial {
        y.copy_from_slice(&buffer[..y.len()]);
    }
}
