//! Columns on AVX2: two columns interleaved byte by byte, shift and mask, `maddubs` with both activations, int16 sums
//! over [`PASS`] quads, then int32 in cache.
//!
//! Per 256 weights (half a line of two columns): 2 loads, 2 unpacks, 6 shifts, 8 and, 8 maddubs, 8 additions of int16.
//!
//! # No int16 can overflow
//! `maddubs` adds two products of a code (at most 3) and an int8 (at least -128): within +-768. A quad adds two of them
//! to a lane, a pass of [`PASS`] quads 8: 6,144, below 32,767.

use super::call::{Columns, LINE_BYTES, LINE_ROWS};
use std::arch::x86_64::*;

/// Quads between two widenings: swept with the AVX-512 path, which has the figures.
const PASS: usize = 4;
const _: () = assert!(PASS * 2 * (2 * 3 * 128) <= i16::MAX as usize);

/// # Safety
/// Besides AVX2: every column of the quads must be a column of `codes`.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn columns(args: Columns<'_>) {
    let lines = args.y.len() / LINE_ROWS;
    for (number, (pass, q)) in args.quads.chunks(PASS).zip(args.q.chunks(PASS)).enumerate() {
        let next = args.quads.get((number + 1) * PASS..).unwrap_or(&[]);
        let next = &next[..next.len().min(PASS)];
        for line in 0..lines {
            let at = (args.first_line + line) * LINE_BYTES;
            for column in next.iter().flatten() {
                let start = args.codes.as_ptr().wrapping_add(*column as usize * args.stride + at);
                crate::x86_64::lanes::prefetch(start, 0);
            }
            for half in 0..2 {
                let y: &mut [i32] = &mut args.y[line * LINE_ROWS + half * 128..][..128];
                half_line(args.codes, args.stride, at + half * 32, (pass, q), y);
            }
        }
    }
    args.y.iter_mut().for_each(|y| *y -= args.x_sum);
}

/// 32 bytes of every column of a pass: two groups of 64 rows, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn half_line(codes: &[u8], stride: usize, at: usize, pass: (&[[u32; 4]], &[[i8; 4]]), y: &mut [i32]) {
    let mask = _mm256_set1_epi8(3);
    let mut low = [_mm256_setzero_si256(); 4];
    let mut high = low;
    for (quad, q) in pass.0.iter().zip(pass.1) {
        for pair in 0..2 {
            let load = |i: usize| {
                let bytes: &[u8] = &codes[quad[2 * pair + i] as usize * stride + at..][..32];
                // SAFETY: the slice has 32 bytes; the load needs no alignment.
                unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
            };
            let (a, b) = (load(0), load(1));
            let q = [q[2 * pair], q[2 * pair + 1]].map(i8::cast_unsigned);
            let q = _mm256_set1_epi16(i16::from_le_bytes(q));
            let (ab_low, ab_high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let shifted = |v: __m256i| [v, _mm256_srli_epi16(v, 2), _mm256_srli_epi16(v, 4), _mm256_srli_epi16(v, 6)];
            for (sum, codes) in low.iter_mut().zip(shifted(ab_low)).chain(high.iter_mut().zip(shifted(ab_high))) {
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(_mm256_and_si256(codes, mask), q));
            }
        }
    }
    for plane in 0..4 {
        for (eight, sums) in [low[plane], high[plane]].into_iter().enumerate() {
            for (group, sums) in
                [_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)].into_iter().enumerate()
            {
                let y: &mut [i32] = &mut y[group * 64 + plane * 16 + eight * 8..][..8];
                // SAFETY: the slice has 8 int32; neither load nor store needs alignment.
                unsafe {
                    let sum = _mm256_add_epi32(_mm256_loadu_si256(y.as_ptr().cast()), _mm256_cvtepi16_epi32(sums));
                    _mm256_storeu_si256(y.as_mut_ptr().cast(), sum);
                }
            }
        }
    }
}
