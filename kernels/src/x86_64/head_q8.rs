//! The int8 head on AVX2 and AVX-512 VNNI. Layout and bounds: `head/q8.rs`.
//!
//! Per 64 weights, AVX-512: 1 load, 1 `vpdpbusd` with its activations broadcast from memory by the instruction itself.
//! AVX2, twice: 1 load, 1 `xor` (back to signed), 1 `vpsignb`, 1 `vpmaddubsw`, 1 `vpmaddwd`, 1 add, and for both halves
//! one broadcast and one `vpabsb`. The sign trick is llama.cpp's: |x| is at most 128 and a weight within -127..=127, so
//! that two products are within 2 * 128 * 127 = 32512 and `vpmaddubsw`, which saturates at 32767, is exact. With stored
//! weights up to 255 it would not be.
//!
//! What the compiler makes of the AVX-512 loop (Rust 1.95): load, `vpdpbusd` with a `{1to16}` memory operand, prefetch,
//! four times, and three instructions of loop control. Nothing to fix.
//!
//! Four sums take turns, so that `vpdpbusd`'s latency of 4 or 5 cycles is hidden; loads from memory are the bound by
//! far.

use super::lanes::quad;
use crate::head::PanelQ8;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use std::arch::x86_64::*;

/// How far ahead of the loads lines are asked for. Swept on Zen 5 with `ci/sweep-constants.py head`, share of a plain
/// read in the same rounds at one thread and at two: AVX-512 is within 0.93 and 1.03 at every distance from 256 to 8192
/// B; AVX2 reads 0.76 and 0.93 with 1024 B, 0.95 and 0.92 with 4096 B, 0.99 and 1.01 with 8192 B.
const PREFETCH_BYTES: usize = 8192;

/// Sums of stored weights times activations, one a row.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(crate) fn avx512_vnni(panel: &PanelQ8<'_>, prefetch: Prefetch) -> [i32; 16] {
    with_prefetch!(prefetch, sums_512(panel))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sums_512<const TWO_LEVELS: bool>(panel: &PanelQ8<'_>) -> [i32; 16] {
    let (blocks, rest) = panel.lines.as_chunks::<4>();
    let (x_blocks, x_rest) = panel.x.as_chunks::<4>();
    let mut sums = [_mm512_setzero_si512(); 4];
    for (lines, x) in blocks.iter().zip(x_blocks) {
        for i in 0..4 {
            sums[i] = add_line::<TWO_LEVELS>(sums[i], &lines[i], &x[i]);
        }
    }
    for (line, x) in rest.iter().zip(x_rest) {
        sums[0] = add_line::<TWO_LEVELS>(sums[0], line, x);
    }
    let sum = _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    let mut out = [0; 16];
    // SAFETY: `out` has room for 16 int32; the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_line<const TWO_LEVELS: bool>(sum: __m512i, line: &[u8; 64], x: &[i8; 4]) -> __m512i {
    ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
    // SAFETY: a line has 64 bytes; the load needs no alignment.
    let weights = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
    _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(quad(x)))
}

/// Sums of stored weights times activations, one a row.
#[target_feature(enable = "avx2")]
pub(crate) fn avx2(panel: &PanelQ8<'_>, prefetch: Prefetch) -> [i32; 16] {
    with_prefetch!(prefetch, sums_256(panel))
}

#[target_feature(enable = "avx2")]
fn sums_256<const TWO_LEVELS: bool>(panel: &PanelQ8<'_>) -> [i32; 16] {
    // Sums of signed weights; 128 * sum(x), added at the end, makes them sums of stored ones.
    let mut sums = [_mm256_setzero_si256(); 2];
    let mut x_sum = 0;
    let (offset, ones) = (_mm256_set1_epi8(-128), _mm256_set1_epi16(1));
    for (line, x) in panel.lines.iter().zip(panel.x) {
        ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
        x_sum += x.iter().map(|&x| i32::from(x)).sum::<i32>();
        let x = _mm256_set1_epi32(quad(x));
        let magnitude = _mm256_abs_epi8(x);
        for (sum, half) in sums.iter_mut().zip(line.as_chunks::<32>().0) {
            // SAFETY: half a line has 32 bytes; the load needs no alignment.
            let stored = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
            let weights = _mm256_sign_epi8(_mm256_xor_si256(stored, offset), x);
            let pairs = _mm256_maddubs_epi16(magnitude, weights);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
        }
    }
    let mut out = [0; 16];
    for (out, sum) in out.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
        let sum = _mm256_add_epi32(sum, _mm256_set1_epi32(128 * x_sum));
        // SAFETY: 8 int32; the store needs no alignment.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), sum) };
    }
    out
}
