//! The prefill half of `avx512-vnni-trit5`: the same packed weights times a batch of tokens, so that a prompt needs no
//! second copy of the model.
//!
//! A tile is 16 rows (one a lane) by up to [`TOKENS`] tokens. A step of 20 k loads one cache line, decodes it as decode
//! does, brings each of its five planes to the bottom of its bytes, and every plane meets every token: 5 x 16
//! `vpdpbusd` whose activations are broadcast by the instruction itself. 13 instructions of decoding serve 80 of
//! arithmetic; token by token they serve 5.
//!
//! Exact: a lane of a sum adds products of a code (at most 2) and an int8, without saturation, over at most 20 more k
//! than the row has, whose activations are 0.

use super::quarters;
use super::tables::{PLANES, TOP_BITS_EVERYWHERE};
use crate::MAX_K_I8;
use crate::descriptor::GemmI8;
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::x86_64::lanes::based;
use crate::x86_64::tiles::{self, Plan, Target, Tile, write_16 as write};
use std::arch::x86_64::*;

/// Tokens of the widest tile: 16 sums, 5 planes, 6 constants and what is being decoded fit the 32 registers.
/// By that count, not swept.
const TOKENS: usize = 16;

/// How far ahead of the loads codes are asked for with one level: as `avx512-vnni`'s batches, not swept apart.
const PREFETCH_BYTES: usize = 8192;

const _: () = assert!(2 * 128 * (MAX_K_I8 + 20) <= i32::MAX as usize);

const fn tiles<const QUARTERS: bool, const TWO_LEVELS: bool>() -> [Tile; 7] {
    [
        (TOKENS, tile::<TOKENS, QUARTERS, TWO_LEVELS>),
        (12, tile::<12, QUARTERS, TWO_LEVELS>),
        (8, tile::<8, QUARTERS, TWO_LEVELS>),
        (4, tile::<4, QUARTERS, TWO_LEVELS>),
        (3, tile::<3, QUARTERS, TWO_LEVELS>),
        (2, tile::<2, QUARTERS, TWO_LEVELS>),
        (1, tile::<1, QUARTERS, TWO_LEVELS>),
    ]
}

/// Products of all panels with all tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
pub(in crate::w2a8) fn gemm<const QUARTERS: bool>(args: GemmI8<'_, '_>) {
    with_prefetch!(args.prefetch, batch[QUARTERS](args));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn batch<const QUARTERS: bool, const TWO_LEVELS: bool>(args: GemmI8<'_, '_>) {
    at_cache_line!();
    let plan = Plan { panel_rows: 16, planes: 5, tiles: &const { tiles::<QUARTERS, TWO_LEVELS>() }, pairs: &[] };
    // SAFETY: this function enables the features that the tiles enable.
    unsafe { tiles::gemm(args, plan) }
}

/// As in decode: four planes of 2-bit codes, and the fifth trit in the top two bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
fn decoded(byte: __m512i) -> (__m512i, __m512i) {
    let matrix = _mm512_set1_epi64(TOP_BITS_EVERYWHERE);
    // SAFETY: the table has 128 bytes; the loads need no alignment.
    let (low, high) =
        unsafe { (_mm512_loadu_si512(PLANES.as_ptr().cast()), _mm512_loadu_si512(PLANES.as_ptr().add(64).cast())) };
    let top = _mm512_avg_epu8(byte, _mm512_avg_epu8(byte, _mm512_setzero_si512()));
    let four = _mm512_sub_epi8(byte, _mm512_gf2p8affine_epi64_epi8::<0>(top, matrix));
    (_mm512_permutex2var_epi8(low, four, high), top)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn tile<const T: usize, const QUARTERS: bool, const TWO_LEVELS: bool>(
    panel: &[u8],
    x: &[i32],
    target: Target<'_>,
    y: &mut Columns<'_, i32>,
) {
    at_cache_line!();
    let mask = _mm512_set1_epi8(3);
    let mut sums = [_mm512_setzero_si512(); T];
    let (x, _) = x.as_chunks::<T>();
    for (step, x) in panel.as_chunks::<64>().0.iter().zip(x.as_chunks::<5>().0) {
        ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        let x = based(x);
        // SAFETY: a step has 64 bytes; the load needs no alignment.
        let byte = unsafe { _mm512_loadu_si512(step.as_ptr().cast()) };
        let (codes, top) = if QUARTERS { quarters::decoded(byte) } else { decoded(byte) };
        let planes = [
            _mm512_and_si512(codes, mask),
            _mm512_and_si512(_mm512_srli_epi16::<2>(codes), mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(codes), mask),
            _mm512_and_si512(_mm512_srli_epi16::<6>(codes), mask),
            _mm512_and_si512(_mm512_srli_epi16::<6>(top), mask),
        ];
        for p in 0..5 {
            for t in 0..T {
                sums[t] = _mm512_dpbusd_epi32(sums[t], planes[p], _mm512_set1_epi32(x[p][t]));
            }
        }
    }
    write(sums, target, y);
}
