//! W2A8 on AVX2, the usual way: I2_S layout, four planes by shift and mask, `maddubs` of codes and activations.
//!
//! Per 128 weights: 1 load of codes, 3 shifts, 4 and, 4 maddubs (activations from memory), 4 additions of int16; every
//! [`BLOCKS_PER_FLUSH`] blocks a widening to int32.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 9.62 instructions, 8.12 of them vector, 2.50 memory reads.
//! That is the list above, a widening for each 1024 weights, and the checks of slices that are not unrolled.
//!
//! # No int16 can overflow
//! `maddubs` adds two products of a code (at most 3) and an int8 (at least
//! -128): each lane is within +-2 * 3 * 128 = 768. A block adds four of them to a lane: 3,072. Eight blocks before each
//! flush: 24,576, below 32,767. The kernel of the reference engine adds 128 such results instead: up to 65,024 for
//! activations of +-127, which wraps.

mod gemm;
mod products;

use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::i2s;
use crate::placement::at_cache_line;
use crate::x86_64::lanes::sum_i32;
use products::{BLOCKS_PER_FLUSH, products};
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-i8",
    isa: "avx2",
    requires: CpuFeatures::AVX2,
    multiply: Some("maddubs-ymm"),
    gemm: Some(Gemm::I8(gemm::gemm)),
    builds_on: Some("scalar-i8"),
    summary: "shift, mask and maddubs on the published layout, widened before int16 can overflow",
    ..KernelDescriptor::w2a8(&i2s::LAYOUT, gemv)
};

#[target_feature(enable = "avx2")]
fn gemv(args: GemvI8<'_>) {
    at_cache_line!();
    let (blocks_x, _) = args.x.as_chunks::<128>();
    let (mask, ones) = (_mm256_set1_epi8(3), _mm256_set1_epi16(1));
    for (y, codes) in args.y.iter_mut().zip(args.codes.chunks_exact(args.panel_bytes)) {
        let blocks = codes.as_chunks::<32>().0;
        let mut sum = _mm256_setzero_si256();
        for (blocks, x) in blocks.chunks(BLOCKS_PER_FLUSH).zip(blocks_x.chunks(BLOCKS_PER_FLUSH)) {
            let mut lanes = _mm256_setzero_si256();
            for (block, x) in blocks.iter().zip(x) {
                // SAFETY: a block has 32 bytes; the load needs no alignment.
                let codes = unsafe { _mm256_loadu_si256(block.as_ptr().cast()) };
                let p0 = products(_mm256_and_si256(_mm256_srli_epi16(codes, 6), mask), x, 0);
                let p1 = products(_mm256_and_si256(_mm256_srli_epi16(codes, 4), mask), x, 32);
                let p2 = products(_mm256_and_si256(_mm256_srli_epi16(codes, 2), mask), x, 64);
                let p3 = products(_mm256_and_si256(codes, mask), x, 96);
                let block_sum = _mm256_add_epi16(_mm256_add_epi16(p0, p1), _mm256_add_epi16(p2, p3));
                lanes = _mm256_add_epi16(lanes, block_sum);
            }
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lanes, ones));
        }
        *y = sum_i32(sum) - args.x_sum;
    }
}

#[cfg(test)]
#[test]
fn the_largest_int16_sums_are_exact() {
    crate::testing::check_largest_sums(&DESCRIPTOR, 128 * (BLOCKS_PER_FLUSH * 6 + 5), &[[-128; 2], [127; 2]]);
}
