//! W2A8 on AVX2, eight rows at a time: `tile8x16`, masks instead of shifts, no horizontal sum.
//!
//! A step is 32 bytes, 8 rows x 16 k. `and` with 3 and with 12 of the bytes and of the bytes shifted right by 4 gives
//! the four planes, two of them four times too large; the int16 sums of those are kept apart and divided once, at the
//! end of a row.
//!
//! Per 64 weights, half a step: 1/2 load of codes, 1/2 shift, 2 `and`, 2 `maddubs`, 2 additions of int16, 2 broadcast
//! loads of activations; every 8 steps 3 `madd` and 4 additions. 7 vector operations on arithmetic ports where
//! [`super::avx2_i8`] has 1.5 shifts + 2 and + 2 maddubs + 2 additions = 7.5, and no 8-lane sum for each row. 2.0 bits
//! a weight.
//!
//! LLVM unrolls the eight steps between two widenings and keeps four sums, the masks and the ones in registers (it
//! prefers reloading one mask from memory in some steps). The loop is bound by its 14 vector operations a step of 128
//! weights against the 15 of [`super::avx2_i8`]. On Zen 5 that is 1.16 times its speed while a matrix is in L2 (1 MB;
//! 135 against 116 Gw/s) and 1.08 where it comes from L3 (6912 x 2560; 126 against 117). Without any widening it would
//! have 13 operations, 1.17 times fewer: no more is to be had from these instructions, for every product of 32 bytes
//! needs its `maddubs` and its addition, and no plane fits `maddubs` without its mask. [`super::avx2_lut8`] gets there
//! by lookups.
//!
//! Tried in L2 against this loop's 1.160 times, all exact: masks pinned in registers by an empty `asm!` 1.157; one sum
//! for both mask-3 planes and products before additions, in order by `asm!` 1.154; widening every 16 steps (exact
//! without code 3) 0.93, for LLVM then spills; two panels a pass that share the broadcast activations, 6 loads instead
//! of 10, 1.174. Loads are not the bound, and two streams cost more from memory than that 1% is worth.
//!
//! From the prototypes of this project. ik_llama.cpp's `_R4` types interleave rows for the same reason.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 9.75 instructions, 9.31 of them vector, 3.62 memory reads.
//! 2.25 of the reads are operands of `and` and `maddubs`, or the mask.
//!
//! # Exact: no int16 can overflow
//! `maddubs` adds two products of a masked byte and an int8 of at least -128. With mask 3 the byte is at most 3 (2
//! where code 3 does not occur), so a sum is within +-2 * 3 * 128 = 768; with mask 12 it is within +-2 *
//! 12 * 128 = 3,072. A lane takes one of them a step and is widened every [`STEPS_PER_FLUSH`] = 8 steps (128 k): at
//! most 24,576, below 32,767, even for code 3. The two mask-3 sums are added in int16 before they are widened: 2 * 8 *
//! 768 = 12,288. The two mask-12 sums are not: their sum could be 49,152. In int32, `fours` holds four times a sum of
//! code * x, hence the shift by 2 drops only zeros.

mod gemm;

use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::tile8;
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::x86_64::lanes::quad;
use crate::x86_64::panel_rows::store_8 as store;
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-i8-tile8",
    isa: "avx2",
    requires: CpuFeatures::AVX2,
    multiply: Some("maddubs-ymm"),
    tile: (8, 1),
    gemm: Some(Gemm::I8(gemm::gemm)),
    builds_on: Some("avx2-i8"),
    summary: "eight rows interleaved: masks for planes, one row a lane, no horizontal sums",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2a8(&tile8::LAYOUT, gemv)
};

/// Steps of 16 k between two widenings, see the module's proof.
const STEPS_PER_FLUSH: usize = 8;
const LARGEST_CODE: usize = 3;
const _: () = assert!(STEPS_PER_FLUSH * 2 * (LARGEST_CODE << 2) * 128 <= i16::MAX as usize);
const _: () = assert!(2 * STEPS_PER_FLUSH * 2 * LARGEST_CODE * 128 <= i16::MAX as usize);

/// How far ahead of the loads codes are fetched into the cache.
///
/// Swept at one thread and at two, see [`prefetch`](crate::x86_64::lanes::prefetch): 256 B 0.71 and 0.93, 512 B 0.67
/// and 0.82, 1024 B 0.67 and 0.90, 2048 B 0.69 and 0.82, 3072 B 0.74 and 0.84, 4096 B 0.77 and 0.84, 6144 B 0.72 and
/// 0.98, 8192 B 0.73 and 0.95: one thread is held back by its arithmetic (117 Gw/s), two by memory.
const PREFETCH_BYTES: usize = 8192;

#[target_feature(enable = "avx2")]
fn gemv(args: GemvI8<'_>) {
    with_prefetch!(args.prefetch, rows(args));
}

#[target_feature(enable = "avx2")]
fn rows<const TWO_LEVELS: bool>(args: GemvI8<'_>) {
    at_cache_line!();
    let (steps_x, _) = args.x.as_chunks::<16>();
    let (groups_x, _) = steps_x.as_chunks::<STEPS_PER_FLUSH>();
    for (y, panel) in args.y.chunks_mut(8).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let steps = panel.as_chunks::<32>().0;
        let (groups, rest) = steps.as_chunks::<STEPS_PER_FLUSH>();
        let mut sums = Sums { units: _mm256_setzero_si256(), fours: _mm256_setzero_si256() };
        for (group, x) in groups.iter().zip(groups_x) {
            add_steps::<TWO_LEVELS>(&mut sums, group, x);
        }
        add_steps::<TWO_LEVELS>(&mut sums, rest, &steps_x[steps.len() - rest.len()..]);
        let rows = _mm256_add_epi32(sums.units, _mm256_srai_epi32(sums.fours, 2));
        store(y, _mm256_sub_epi32(rows, _mm256_set1_epi32(args.x_sum)));
    }
}

/// Sums of code * x of 8 rows, from the planes at even and at odd positions of a nibble: those are four times too
/// large.
struct Sums {
    units: __m256i,
    fours: __m256i,
}

/// Adds at most [`STEPS_PER_FLUSH`] steps. Inlined twice: with a length that is a constant, hence unrolled, and for
/// what is left.
#[inline]
#[target_feature(enable = "avx2")]
fn add_steps<const TWO_LEVELS: bool>(sums: &mut Sums, steps: &[[u8; 32]], x: &[[i8; 16]]) {
    let (mask3, mask12) = (_mm256_set1_epi8(3), _mm256_set1_epi8(12));
    let (zero, ones) = (_mm256_setzero_si256(), _mm256_set1_epi16(1));
    let (mut p0, mut p1, mut p2, mut p3) = (zero, zero, zero, zero);
    for (i, (step, x)) in steps.iter().zip(x).enumerate() {
        if i % 2 == 0 {
            // Two steps are a cache line.
            ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        }
        // SAFETY: a step has 32 bytes; the load needs no alignment.
        let low = unsafe { _mm256_loadu_si256(step.as_ptr().cast()) };
        let high = _mm256_srli_epi16(low, 4);
        let x = x.as_chunks::<4>().0;
        p0 = add_products(p0, _mm256_and_si256(low, mask3), &x[0]);
        p1 = add_products(p1, _mm256_and_si256(low, mask12), &x[1]);
        p2 = add_products(p2, _mm256_and_si256(high, mask3), &x[2]);
        p3 = add_products(p3, _mm256_and_si256(high, mask12), &x[3]);
    }
    sums.units = _mm256_add_epi32(sums.units, _mm256_madd_epi16(_mm256_add_epi16(p0, p2), ones));
    let fours = _mm256_add_epi32(_mm256_madd_epi16(p1, ones), _mm256_madd_epi16(p3, ones));
    sums.fours = _mm256_add_epi32(sums.fours, fours);
}

/// `sums` plus the pairwise products of a plane and four activations, the same four for each row.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products(sums: __m256i, plane: __m256i, x: &[i8; 4]) -> __m256i {
    _mm256_add_epi16(sums, _mm256_maddubs_epi16(plane, _mm256_set1_epi32(quad(x))))
}

#[cfg(test)]
#[test]
fn the_largest_int16_sums_are_exact() {
    crate::testing::check_largest_sums(&DESCRIPTOR, 16 * (STEPS_PER_FLUSH * 6 + 5), &[[-128; 2], [127; 2]]);
}
