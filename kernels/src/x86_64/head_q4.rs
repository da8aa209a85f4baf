//! The 4-bit head on AVX2 and AVX-512 VNNI. Layout and bounds: `head/q4.rs`.
//!
//! Per 64 weights (half a line), AVX-512: 1/2 load, 1 `and`, 1 `vpdpbusd` with its activations broadcast from memory by
//! the instruction itself, no shift: the high halves are 16 times too large until the group ends. AVX2: 1 load, 1
//! shift, 2 `and`, 2 `vpmaddubsw`, 2 adds and 1 broadcast, and every four lines a `vpmaddwd` and an add. A pair is
//! within 2 * 15 * 128 = 3840, eight pairs (four lines, both halves) within 30720: int16 holds them.
//!
//! What the compiler makes of it (Rust 1.95): with the activations of a line as one array of 8, LLVM loaded 64 bits and
//! took them apart with `shrd`, `shr` and `vpbroadcastd`, eight instructions a line, and the AVX-512 loop read at 0.51
//! to 0.67 of a plain read. As two arrays of 4 they are `{1to16}` memory operands, and it reads at 0.84 to 0.92 of a
//! plain read from memory, one thread.
//!
//! Leaving the high half in place is the idea of the 2-bit kernels in this folder; groups with a scale of their own are
//! ggml's Q4_0, four times as long.

use super::lanes::{quad, together};
use crate::head::{GROUP_LINES, PanelQ4};
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use std::arch::x86_64::*;

/// How far ahead of the loads lines are asked for. Swept on Zen 5 with `ci/sweep-constants.py head`, share of a plain
/// read in the same rounds at one thread and at two: AVX-512 1024 B 0.81 and 0.94, 4096 B 0.95 and 0.85, 8192 B 0.95
/// and 0.92; AVX2 1024 B 0.60 and 0.77, 4096 B 0.68 and 0.64, 8192 B 0.83 and 0.86.
const PREFETCH_BYTES: usize = 8192;

/// Products before the activations' scale, one a row.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(crate) fn avx512_vnni(panel: &PanelQ4<'_>, prefetch: Prefetch) -> [f32; 16] {
    with_prefetch!(prefetch, products_512(panel))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn products_512<const TWO_LEVELS: bool>(panel: &PanelQ4<'_>) -> [f32; 16] {
    let mut products = _mm512_setzero_ps();
    let groups = panel.lines.iter().zip(panel.x).zip(panel.scales.iter().zip(panel.x_sums));
    for ((lines, x), (scales, x_sum)) in groups {
        let mut low = [_mm512_setzero_si512(); 2];
        let mut high = low;
        let (lines, x) = (lines.as_chunks::<2>().0, x.as_chunks::<2>().0);
        for (lines, x) in lines.iter().zip(x) {
            let [mut low0, mut high0] = halves_512::<TWO_LEVELS>(&lines[0]);
            let [mut low1, mut high1] = halves_512::<TWO_LEVELS>(&lines[1]);
            together!(zmm_reg: low0, high0, low1, high1);
            low[0] = _mm512_dpbusd_epi32(low[0], low0, _mm512_set1_epi32(quad(&x[0][0])));
            high[0] = _mm512_dpbusd_epi32(high[0], high0, _mm512_set1_epi32(quad(&x[0][1])));
            low[1] = _mm512_dpbusd_epi32(low[1], low1, _mm512_set1_epi32(quad(&x[1][0])));
            high[1] = _mm512_dpbusd_epi32(high[1], high1, _mm512_set1_epi32(quad(&x[1][1])));
        }
        let low = _mm512_add_epi32(low[0], low[1]);
        let high = _mm512_srai_epi32::<4>(_mm512_add_epi32(high[0], high[1]));
        let sum = _mm512_sub_epi32(_mm512_add_epi32(low, high), _mm512_set1_epi32(8 * x_sum));
        // SAFETY: 16 f16 are 32 bytes; the load needs no alignment.
        let scales = _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) });
        products = _mm512_add_ps(products, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scales));
    }
    let mut out = [0.0; 16];
    // SAFETY: `out` has room for 16 f32; the store needs no alignment.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), products) };
    out
}

/// Low halves, and high halves 16 times too large.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves_512<const TWO_LEVELS: bool>(line: &[u8; 64]) -> [__m512i; 2] {
    ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
    // SAFETY: a line has 64 bytes; the load needs no alignment.
    let codes = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
    [0x0F, 0xF0u8.cast_signed()].map(|mask| _mm512_and_si512(codes, _mm512_set1_epi8(mask)))
}

/// Products before the activations' scale, one a row.
#[target_feature(enable = "avx2,f16c")]
pub(crate) fn avx2(panel: &PanelQ4<'_>, prefetch: Prefetch) -> [f32; 16] {
    with_prefetch!(prefetch, products_256(panel))
}

#[target_feature(enable = "avx2,f16c")]
fn products_256<const TWO_LEVELS: bool>(panel: &PanelQ4<'_>) -> [f32; 16] {
    let mut products = [_mm256_setzero_ps(); 2];
    let (mask, ones) = (_mm256_set1_epi8(0x0F), _mm256_set1_epi16(1));
    let groups = panel.lines.iter().zip(panel.x).zip(panel.scales.iter().zip(panel.x_sums));
    for ((lines, x), (scales, x_sum)) in groups {
        let mut sums = [_mm256_set1_epi32(-8 * x_sum); 2];
        for (lines, x) in lines.as_chunks::<FLUSH_LINES>().0.iter().zip(x.as_chunks::<FLUSH_LINES>().0) {
            let mut pairs = [_mm256_setzero_si256(); 2];
            for (line, [low, high]) in lines.iter().zip(x) {
                ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
                let (x_low, x_high) = (_mm256_set1_epi32(quad(low)), _mm256_set1_epi32(quad(high)));
                for (pairs, half) in pairs.iter_mut().zip(line.as_chunks::<32>().0) {
                    // SAFETY: half a line has 32 bytes; the load needs no alignment.
                    let codes = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
                    let low = _mm256_and_si256(codes, mask);
                    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), mask);
                    *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(low, x_low));
                    *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(high, x_high));
                }
            }
            for (sum, pairs) in sums.iter_mut().zip(pairs) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        let scales = scales.as_chunks::<16>().0;
        for ((product, sum), scales) in products.iter_mut().zip(sums).zip(scales) {
            // SAFETY: 8 f16 are 16 bytes; the load needs no alignment.
            let scales = _mm256_cvtph_ps(unsafe { _mm_loadu_si128(scales.as_ptr().cast()) });
            *product = _mm256_add_ps(*product, _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scales));
        }
    }
    let mut out = [0.0; 16];
    for (out, product) in out.as_chunks_mut::<8>().0.iter_mut().zip(products) {
        // SAFETY: 8 f32; the store needs no alignment.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), product) };
    }
    out
}

/// Lines whose pairs are added in int16.
const FLUSH_LINES: usize = 4;
const _: () = assert!(GROUP_LINES.is_multiple_of(FLUSH_LINES) && FLUSH_LINES * 2 * 2 * 15 * 128 <= i16::MAX as usize);
