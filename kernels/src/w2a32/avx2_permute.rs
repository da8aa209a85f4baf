//! Ladder stage 5 (roadmap phase 4), W2A32: code to weight by `vpermps` on a register table.
//!
//! `vpermps` reads the low 3 bits of each index, and a code has 2, so the table is written twice (modulo 4) and the bit
//! above the code may be anything: no mask. 16 codes are one broadcast dword, and two variable shifts bring each to the
//! bottom of its lane. The values come out as f32, so the sign extensions and conversions of the stages before are
//! gone.
//!
//! Per 64 weights and row: 4 broadcast loads, 8 variable shifts, 8 permutes, 8 FMAs. The 8-row tile and the prefetch
//! are kept.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 30.50 instructions, 29.00 of them vector, 5.00 memory
//! reads. That is the list above, 1 load of activations that the rows share, and the loop itself.

use super::avx2_fma_tile::{TILE_ROWS, by_tiles};
use super::avx2_prefetch::PREFETCH_BYTES;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Dequantize, GemvF32, KernelDescriptor};
use crate::layouts::qk256::{self, for_each_block};
use crate::placement::at_cache_line;
use crate::x86_64::lanes::{load_f32, prefetch, store_f32, sum_f32};
use std::arch::x86_64::*;
use std::array;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-permute",
    isa: "avx2",
    requires: CpuFeatures::AVX2.with(CpuFeatures::FMA),
    multiply: Some("fma-ymm"),
    tile: (TILE_ROWS, 1),
    dequantize: Some(dequantize),
    builds_on: Some("avx2-prefetch"),
    summary: "codes to f32 weights by vpermps on a register table, no masks and no conversions",
    ..KernelDescriptor::w2a32(&qk256::LAYOUT, gemv)
};

/// Shifts that bring code i, and code 8 + i, of a broadcast dword to the bottom of lane i.
#[inline]
#[target_feature(enable = "avx2")]
fn shifts() -> [__m256i; 2] {
    [_mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14), _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn register_table(table: [i8; 4]) -> __m256 {
    let [a, b, c, d] = table.map(f32::from);
    _mm256_setr_ps(a, b, c, d, a, b, c, d)
}

/// 16 codes (4 bytes) in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn broadcast_16(codes: &[u8; 64], at: usize) -> __m256i {
    let [a, b, c, d] = [codes[at], codes[at + 1], codes[at + 2], codes[at + 3]];
    _mm256_set1_epi32(i32::from_le_bytes([a, b, c, d]))
}

#[target_feature(enable = "avx2,fma")]
fn dequantize(args: Dequantize<'_>) {
    at_cache_line!();
    let (table, shifts) = (register_table(args.table), shifts());
    for_each_block!(args, |codes, scale, out| {
        prefetch(codes.as_ptr(), PREFETCH_BYTES);
        // The scale goes into the table: 8 multiplications a block instead of 256.
        let table = _mm256_mul_ps(table, _mm256_set1_ps(scale));
        for at in (0..64).step_by(4) {
            let codes = broadcast_16(codes, at);
            for (i, shift) in shifts.into_iter().enumerate() {
                store_f32(out, 4 * at + 8 * i, _mm256_permutevar8x32_ps(table, _mm256_srlv_epi32(codes, shift)));
            }
        }
    });
}

#[target_feature(enable = "avx2,fma")]
fn gemv(args: GemvF32<'_>) {
    at_cache_line!();
    let table = register_table(args.table);
    by_tiles!(args, tile, table);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn tile<const ROWS: usize>(codes: &[u8], scales: &[f32], x: &[f32], table: __m256) -> [f32; ROWS] {
    let (row_bytes, blocks) = (codes.len() / ROWS, scales.len() / ROWS);
    let rows: [&[[u8; 64]]; ROWS] = array::from_fn(|r| codes[r * row_bytes..][..row_bytes].as_chunks().0);
    let shifts = shifts();
    let mut totals = [_mm256_setzero_ps(); ROWS];
    for (b, x) in x.as_chunks::<256>().0.iter().enumerate() {
        let block: [&[u8; 64]; ROWS] = array::from_fn(|r| &rows[r][b]);
        for row in block {
            prefetch(row.as_ptr(), PREFETCH_BYTES);
        }
        let mut sums = [_mm256_setzero_ps(); ROWS];
        for at in (0..64).step_by(4) {
            let x = [load_f32(x, 4 * at), load_f32(x, 4 * at + 8)];
            for r in 0..ROWS {
                let codes = broadcast_16(block[r], at);
                for i in 0..2 {
                    let weights = _mm256_permutevar8x32_ps(table, _mm256_srlv_epi32(codes, shifts[i]));
                    sums[r] = _mm256_fmadd_ps(weights, x[i], sums[r]);
                }
            }
        }
        for r in 0..ROWS {
            totals[r] = _mm256_fmadd_ps(_mm256_set1_ps(scales[r * blocks + b]), sums[r], totals[r]);
        }
    }
    totals.map(|total| sum_f32(total))
}
