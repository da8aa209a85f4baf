//! Ladder stage 4 (roadmap phase 3), W2A32: one 32-byte load where the stage before made four, unpacked in 256-bit
//! registers, and a software prefetch of the bytes to come.
//!
//! Per 128 weights and row: 1 load, 2 and, 1 shift, 4 pshufb, 8 unpack (twice the work an instruction of the stage
//! before), then the same 16 sign extensions, conversions and FMAs.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 44.25 instructions, 41.50 of them vector, 11.00 memory
//! reads. Of these 6 unpack, 6 bring upper halves down, 16 widen and 8 are FMAs. LLVM makes a loop over the rows of it,
//! with the activations as memory operands of the FMAs: they are read once a row, not once a tile (11 reads, 313 bytes,
//! for 64 weights).

use super::avx2_fma_tile::{TILE_ROWS, by_tiles};
use crate::cpu::CpuFeatures;
use crate::descriptor::{Dequantize, GemvF32, KernelDescriptor};
use crate::layouts::qk256::{self, for_each_block};
use crate::placement::at_cache_line;
use crate::x86_64::lanes::{i8_to_f32, load_32, load_f32, prefetch, store_f32, sum_f32};
use std::arch::x86_64::*;
use std::array;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-prefetch",
    isa: "avx2",
    requires: CpuFeatures::AVX2.with(CpuFeatures::FMA),
    multiply: Some("fma-ymm"),
    tile: (TILE_ROWS, 1),
    dequantize: Some(dequantize),
    builds_on: Some("avx2-fma-tile"),
    summary: "combined 32-byte loads unpacked in 256-bit registers, and a software prefetch",
    ..KernelDescriptor::w2a32(&qk256::LAYOUT, gemv)
};

/// Bytes ahead of the current one in its row. Eight rows are eight streams, each of which gets one prefetch a cache
/// line. Chosen by sweeps from 64 to 8,192 bytes (`ci/sweep-constants.py w2a32` repeats them). On a Zen 5 with rows of
/// 1,728 bytes, 128 to 512 bytes lost up to a fifth against 1,024 and more, which did not differ. On a Zen 4 (family 25
/// model 17) at 2560x6912 from DRAM, one thread, `avx2-permute` was 1.16 to 1.33 times as fast with 2,048 as with 1,024
/// in three sweeps, and this stage as fast within 3%. On an Intel Xeon (family 6 model 207), one thread, 6 pairs each,
/// both stages read 6912x2560 1.10 and 1.13 times as fast with 4,096 as with 2,048 and 1.12 and 1.18 with 8,192, but
/// 2560x6912 0.97 and 0.96, 0.95 and 0.95: 4,096 costs no shape more than 5% there. Asking for a row's line only when
/// its turn comes, not for all eight rows at the start of the block, lost up to 40% from DRAM.
pub(super) const PREFETCH_BYTES: usize = 4096;

/// 128 int8 values from 32 packed bytes: element 16i..16i+16 in the low half of register i, 64 more in the high half.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack_128(bytes: __m256i, low: __m256i, high: __m256i) -> [__m256i; 4] {
    let nibble = _mm256_set1_epi8(0x0F);
    let even = _mm256_and_si256(bytes, nibble);
    let odd = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    let (w0, w1) = (_mm256_shuffle_epi8(low, even), _mm256_shuffle_epi8(high, even));
    let (w2, w3) = (_mm256_shuffle_epi8(low, odd), _mm256_shuffle_epi8(high, odd));
    let (a, b) = (_mm256_unpacklo_epi8(w0, w1), _mm256_unpackhi_epi8(w0, w1));
    let (c, d) = (_mm256_unpacklo_epi8(w2, w3), _mm256_unpackhi_epi8(w2, w3));
    [_mm256_unpacklo_epi16(a, c), _mm256_unpackhi_epi16(a, c), _mm256_unpacklo_epi16(b, d), _mm256_unpackhi_epi16(b, d)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn tables(table: [i8; 4]) -> (__m256i, __m256i) {
    let tables = super::avx2_nibble::NibbleTables::new(table);
    (_mm256_broadcastsi128_si256(tables.low), _mm256_broadcastsi128_si256(tables.high))
}

#[target_feature(enable = "avx2,fma")]
fn dequantize(args: Dequantize<'_>) {
    at_cache_line!();
    let (low, high) = tables(args.table);
    for_each_block!(args, |codes, scale, out| {
        let scale = _mm256_set1_ps(scale);
        prefetch(codes.as_ptr(), PREFETCH_BYTES);
        for at in [0, 32] {
            for (i, weights) in unpack_128(load_32(codes, at), low, high).into_iter().enumerate() {
                let first = i8_to_f32(_mm256_castsi256_si128(weights));
                let second = i8_to_f32(_mm256_extracti128_si256(weights, 1));
                store_f32(out, 4 * at + 16 * i, _mm256_mul_ps(first[0], scale));
                store_f32(out, 4 * at + 16 * i + 8, _mm256_mul_ps(first[1], scale));
                store_f32(out, 4 * at + 16 * i + 64, _mm256_mul_ps(second[0], scale));
                store_f32(out, 4 * at + 16 * i + 72, _mm256_mul_ps(second[1], scale));
            }
        }
    });
}

#[target_feature(enable = "avx2,fma")]
fn gemv(args: GemvF32<'_>) {
    at_cache_line!();
    let tables = tables(args.table);
    by_tiles!(args, tile, tables);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn tile<const ROWS: usize>(codes: &[u8], scales: &[f32], x: &[f32], (low, high): (__m256i, __m256i)) -> [f32; ROWS] {
    let (row_bytes, blocks) = (codes.len() / ROWS, scales.len() / ROWS);
    let rows: [&[[u8; 64]]; ROWS] = array::from_fn(|r| codes[r * row_bytes..][..row_bytes].as_chunks().0);
    let mut totals = [_mm256_setzero_ps(); ROWS];
    for (b, x) in x.as_chunks::<256>().0.iter().enumerate() {
        // All rows at once, before the first is read: their misses then overlap.
        for row in rows {
            prefetch(row[b].as_ptr(), PREFETCH_BYTES);
        }
        for r in 0..ROWS {
            let block = &rows[r][b];
            // Two chains a row: with a whole half-block a row in flight, one would be bound by its latency again.
            let mut sums = [_mm256_setzero_ps(); 2];
            for at in [0, 32] {
                for (i, weights) in unpack_128(load_32(block, at), low, high).into_iter().enumerate() {
                    let first = i8_to_f32(_mm256_castsi256_si128(weights));
                    let second = i8_to_f32(_mm256_extracti128_si256(weights, 1));
                    let column = 4 * at + 16 * i;
                    sums[0] = _mm256_fmadd_ps(first[0], load_f32(x, column), sums[0]);
                    sums[1] = _mm256_fmadd_ps(first[1], load_f32(x, column + 8), sums[1]);
                    sums[0] = _mm256_fmadd_ps(second[0], load_f32(x, column + 64), sums[0]);
                    sums[1] = _mm256_fmadd_ps(second[1], load_f32(x, column + 72), sums[1]);
                }
            }
            let sum = _mm256_add_ps(sums[0], sums[1]);
            totals[r] = _mm256_fmadd_ps(_mm256_set1_ps(scales[r * blocks + b]), sum, totals[r]);
        }
    }
    totals.map(|total| sum_f32(total))
}
