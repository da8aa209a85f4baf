//! Ladder stage 2 (roadmap phase 1), W2A32: unpacking and look-up by `pshufb`. A nibble holds two codes, so a 16-entry
//! table gives the int8 value of either; three levels of unpack instructions put 64 values back in order.
//!
//! Per 64 weights: 2 and, 1 shift, 4 pshufb, 8 unpack, then 8 sign extensions and 8 conversions to f32: the widening is
//! the larger half, which the analysis does not count. Still one row at a time, one accumulator, multiply and add
//! apart.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 55.50 instructions, 53.50 of them vector, 9.25 memory
//! reads. Beside the unpacking above these are 4 byte shifts that bring upper halves down, 8 multiplications and 8
//! additions with activations from memory; the rest is what a block of 256 needs once.

use crate::cpu::CpuFeatures;
use crate::descriptor::{Dequantize, GemvF32, KernelDescriptor};
use crate::layouts::qk256::{self, for_each_block};
use crate::placement::at_cache_line;
use crate::x86_64::lanes::{i8_to_f32, load_16, load_f32, store_f32, sum_f32};
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-nibble",
    isa: "avx2",
    requires: CpuFeatures::AVX2,
    multiply: Some("mul-add-ymm"),
    dequantize: Some(dequantize),
    builds_on: Some("avx2-foundation"),
    summary: "nibble-table unpack: pshufb turns codes into int8 values, widened to f32",
    ..KernelDescriptor::w2a32(&qk256::LAYOUT, gemv)
};

/// Values of the low and of the high code of every nibble.
#[derive(Clone, Copy)]
pub(super) struct NibbleTables {
    pub(super) low: __m128i,
    pub(super) high: __m128i,
}

impl NibbleTables {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(table: [i8; 4]) -> Self {
        let [a, b, c, d] = table;
        Self {
            low: _mm_setr_epi8(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d),
            high: _mm_setr_epi8(a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d),
        }
    }
}

/// 64 int8 values in order from 16 packed bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack_64(bytes: __m128i, tables: NibbleTables) -> [__m128i; 4] {
    let nibble = _mm_set1_epi8(0x0F);
    let even = _mm_and_si128(bytes, nibble);
    let odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);
    // Byte i of w0..w3 is element 4i + 0..3.
    let (w0, w1) = (_mm_shuffle_epi8(tables.low, even), _mm_shuffle_epi8(tables.high, even));
    let (w2, w3) = (_mm_shuffle_epi8(tables.low, odd), _mm_shuffle_epi8(tables.high, odd));
    let (a, b) = (_mm_unpacklo_epi8(w0, w1), _mm_unpackhi_epi8(w0, w1));
    let (c, d) = (_mm_unpacklo_epi8(w2, w3), _mm_unpackhi_epi8(w2, w3));
    [_mm_unpacklo_epi16(a, c), _mm_unpackhi_epi16(a, c), _mm_unpacklo_epi16(b, d), _mm_unpackhi_epi16(b, d)]
}

#[target_feature(enable = "avx2")]
fn dequantize(args: Dequantize<'_>) {
    at_cache_line!();
    let tables = NibbleTables::new(args.table);
    for_each_block!(args, |codes, scale, out| {
        let scale = _mm256_set1_ps(scale);
        for at in (0..64).step_by(16) {
            for (i, weights) in unpack_64(load_16(codes, at), tables).into_iter().enumerate() {
                let [low, high] = i8_to_f32(weights);
                store_f32(out, 4 * at + 16 * i, _mm256_mul_ps(low, scale));
                store_f32(out, 4 * at + 16 * i + 8, _mm256_mul_ps(high, scale));
            }
        }
    });
}

#[target_feature(enable = "avx2")]
fn gemv(args: GemvF32<'_>) {
    at_cache_line!();
    let tables = NibbleTables::new(args.table);
    let rows = args.codes.chunks_exact(args.row_bytes).zip(args.scales.chunks_exact(args.row_bytes / 64));
    for (y, (codes, scales)) in args.y.iter_mut().zip(rows) {
        let mut total = 0.0;
        for ((codes, &scale), x) in codes.as_chunks::<64>().0.iter().zip(scales).zip(args.x.as_chunks::<256>().0) {
            let mut sum = _mm256_setzero_ps();
            for at in (0..64).step_by(16) {
                for (i, weights) in unpack_64(load_16(codes, at), tables).into_iter().enumerate() {
                    let [low, high] = i8_to_f32(weights);
                    sum = _mm256_add_ps(sum, _mm256_mul_ps(low, load_f32(x, 4 * at + 16 * i)));
                    sum = _mm256_add_ps(sum, _mm256_mul_ps(high, load_f32(x, 4 * at + 16 * i + 8)));
                }
            }
            total += scale * sum_f32(sum);
        }
        *y = total;
    }
}
