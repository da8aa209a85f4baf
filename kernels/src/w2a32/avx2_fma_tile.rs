//! Ladder stage 3 (roadmap phase 2), W2A32: 8 rows share each activation load, one FMA accumulator a row.
//!
//! 32 columns at a time: their activations stay in four registers while eight rows unpack 8 bytes each. Eight
//! independent chains hide the FMA latency that bound the single accumulator of the stage before.
//!
//! `dequantize` has no sum to fuse: of this phase it only takes the wider unrolling (a whole block of 256 between two
//! loop tests).
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 67.00 instructions, 66.25 of them vector, 10.50 memory
//! reads. Of these 16 unpack (8 pshufb, 8 unpack) and 4 are byte shifts that bring upper halves down, 16 widen, 8 are
//! FMAs, and 6.75 are stores to the stack, with as many reloads: eight sums, four activations, two tables and a mask do
//! not leave LLVM enough of 16 registers.

use super::avx2_nibble::NibbleTables;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Dequantize, GemvF32, KernelDescriptor};
use crate::layouts::qk256::{self, for_each_block};
use crate::placement::at_cache_line;
use crate::x86_64::lanes::{i8_to_f32, load_8, load_f32, store_f32, sum_f32};
use std::arch::x86_64::*;
use std::array;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-fma-tile",
    isa: "avx2",
    requires: CpuFeatures::AVX2.with(CpuFeatures::FMA),
    multiply: Some("fma-ymm"),
    tile: (TILE_ROWS, 1),
    dequantize: Some(dequantize),
    builds_on: Some("avx2-nibble"),
    summary: "8 rows share each activation load, fused multiply-add into one accumulator a row",
    ..KernelDescriptor::w2a32(&qk256::LAYOUT, gemv)
};

/// Rows that share an activation load.
pub(super) const TILE_ROWS: usize = 8;

/// Fills a `GemvF32`'s output with `$tile::<ROWS>(codes, scales, x, $tables) -> [f32; ROWS]`: [`TILE_ROWS`] rows at a
/// time, then row by row. A macro and not a function, so that the tiles are compiled with the features of the function
/// around it.
macro_rules! by_tiles {
    ($args:ident, $tile:ident, $tables:ident) => {{
        let blocks = $args.row_bytes / 64;
        let (tiles, rest) = $args.y.as_chunks_mut::<TILE_ROWS>();
        let (tile_codes, rest_codes) = $args.codes.split_at(tiles.len() * TILE_ROWS * $args.row_bytes);
        let (tile_scales, rest_scales) = $args.scales.split_at(tiles.len() * TILE_ROWS * blocks);
        let codes = tile_codes.chunks_exact(TILE_ROWS * $args.row_bytes);
        for ((y, codes), scales) in tiles.iter_mut().zip(codes).zip(tile_scales.chunks_exact(TILE_ROWS * blocks)) {
            *y = $tile(codes, scales, $args.x, $tables);
        }
        let codes = rest_codes.chunks_exact($args.row_bytes);
        for ((y, codes), scales) in rest.iter_mut().zip(codes).zip(rest_scales.chunks_exact(blocks)) {
            [*y] = $tile(codes, scales, $args.x, $tables);
        }
    }};
}
pub(super) use by_tiles;

/// 32 int8 values in order from 8 packed bytes in the low half.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack_32(bytes: __m128i, tables: NibbleTables) -> [__m128i; 2] {
    let nibble = _mm_set1_epi8(0x0F);
    let even = _mm_and_si128(bytes, nibble);
    let odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);
    let a = _mm_unpacklo_epi8(_mm_shuffle_epi8(tables.low, even), _mm_shuffle_epi8(tables.high, even));
    let c = _mm_unpacklo_epi8(_mm_shuffle_epi8(tables.low, odd), _mm_shuffle_epi8(tables.high, odd));
    [_mm_unpacklo_epi16(a, c), _mm_unpackhi_epi16(a, c)]
}

#[target_feature(enable = "avx2,fma")]
fn dequantize(args: Dequantize<'_>) {
    at_cache_line!();
    let tables = NibbleTables::new(args.table);
    for_each_block!(args, |codes, scale, out| {
        let scale = _mm256_set1_ps(scale);
        for at in (0..64).step_by(8) {
            // Indexed, not iterated: an iterator over these lanes went through memory and ran at a tenth of the speed.
            let [a, b] = unpack_32(load_8(codes, at), tables);
            let (a, b) = (i8_to_f32(a), i8_to_f32(b));
            store_f32(out, 4 * at, _mm256_mul_ps(a[0], scale));
            store_f32(out, 4 * at + 8, _mm256_mul_ps(a[1], scale));
            store_f32(out, 4 * at + 16, _mm256_mul_ps(b[0], scale));
            store_f32(out, 4 * at + 24, _mm256_mul_ps(b[1], scale));
        }
    });
}

#[target_feature(enable = "avx2,fma")]
fn gemv(args: GemvF32<'_>) {
    at_cache_line!();
    let tables = NibbleTables::new(args.table);
    by_tiles!(args, tile, tables);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn tile<const ROWS: usize>(codes: &[u8], scales: &[f32], x: &[f32], tables: NibbleTables) -> [f32; ROWS] {
    let (row_bytes, blocks) = (codes.len() / ROWS, scales.len() / ROWS);
    let rows: [&[[u8; 64]]; ROWS] = array::from_fn(|r| codes[r * row_bytes..][..row_bytes].as_chunks().0);
    let mut totals = [_mm256_setzero_ps(); ROWS];
    for (b, x) in x.as_chunks::<256>().0.iter().enumerate() {
        let block: [&[u8; 64]; ROWS] = array::from_fn(|r| &rows[r][b]);
        let mut sums = [_mm256_setzero_ps(); ROWS];
        for at in (0..64).step_by(8) {
            let x: [__m256; 4] = [0, 8, 16, 24].map(|lane| load_f32(x, 4 * at + lane));
            for r in 0..ROWS {
                let [a, b] = unpack_32(load_8(block[r], at), tables);
                let (a, b) = (i8_to_f32(a), i8_to_f32(b));
                sums[r] = _mm256_fmadd_ps(a[0], x[0], sums[r]);
                sums[r] = _mm256_fmadd_ps(a[1], x[1], sums[r]);
                sums[r] = _mm256_fmadd_ps(b[0], x[2], sums[r]);
                sums[r] = _mm256_fmadd_ps(b[1], x[3], sums[r]);
            }
        }
        for r in 0..ROWS {
            totals[r] = _mm256_fmadd_ps(_mm256_set1_ps(scales[r * blocks + b]), sums[r], totals[r]);
        }
    }
    totals.map(|total| sum_f32(total))
}
