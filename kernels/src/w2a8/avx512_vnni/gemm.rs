//! The prefill half of `avx512-vnni`: the same packed weights times a batch of tokens, so there is no second copy of
//! the model.
//!
//! A tile is 16 rows (one a lane) by up to [`TOKENS`] tokens. A step of 16 k loads one cache line of codes and brings
//! each of its four planes to the bottom of its bytes (3 shifts, 4 masks: in place, as in decode, planes would need
//! sums of their own), and every plane meets every token: 4 x 24 `vpdpbusd` whose activations are broadcast by the
//! instruction itself from a copy of the batch in the order that the loop reads. So 7 instructions of unpacking serve
//! 96 of arithmetic.
//!
//! Another tile is 32 rows by 12 tokens, or 10 or 8: two panels share each activation, which is loaded once into a
//! register and used twice, so that the loop asks for half as many loads. On an Intel Xeon (family 6 model 207), 6912 x
//! 2560, over the tile of one panel, in rounds: 1.18 to 1.33 times as fast for 8 and 10 tokens, 1.00 to 1.24 for 24 to
//! 128, the more the busier the core's other thread is. Which of the two goes over batches, a probe decides.
//!
//! Tiles of 6 tokens and fewer have registers to spare, and too few sums to keep the dot-product units busy: they leave
//! the planes in place, as decode does, with four sums a token.
//!
//! Rows go through in chunks whose codes stay in the second-level cache while all tokens pass over them; weights come
//! from memory once.
//!
//! Exact: a lane of a sum adds products of a code (at most 3) and an int8, without saturation, see `avx512_vnni`.

use crate::descriptor::{GemmI8, GemmTile};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::x86_64::lanes::{based, together};
use crate::x86_64::tiles::{self, Plan, Target, Tile, TileFn, write_16 as write};
use std::arch::x86_64::*;

/// How far ahead of the loads codes are asked for with one level. Swept on an Intel Xeon (family 6 model 207) with
/// `avx512-vnni` from memory: against not asking at all, 1.46, 1.53, 1.71, 1.38, 1.02 and 1.09 times as fast for 1, 2,
/// 4, 8, 24 and 128 tokens.
const PREFETCH_BYTES: usize = 8192;

/// Tokens of the widest tile of two panels: 24 sums, 2 planes, 2 of codes, the mask and the activations in flight fill
/// the registers. By that count; 10 were as fast in a prototype in C.
const WIDE_TOKENS: usize = 12;

/// Tokens of the widest tile: 24 sums, 4 planes and 4 constants fill the 32 registers. By that count; 12 instead are no
/// faster on an Intel Xeon (family 6 model 207): 0.98.
const TOKENS: usize = 24;

const fn tiles<const TWO_LEVELS: bool>() -> [Tile; 9] {
    [
        (TOKENS, tile::<TOKENS, TWO_LEVELS>),
        (16, tile::<16, TWO_LEVELS>),
        (12, tile::<12, TWO_LEVELS>),
        (8, tile::<8, TWO_LEVELS>),
        (6, narrow_tile::<6, TWO_LEVELS>),
        (4, narrow_tile::<4, TWO_LEVELS>),
        (3, narrow_tile::<3, TWO_LEVELS>),
        (2, narrow_tile::<2, TWO_LEVELS>),
        (1, narrow_tile::<1, TWO_LEVELS>),
    ]
}

/// Tiles for two panels at once, and for one that is left.
const fn wide<const TWO_LEVELS: bool>() -> ([Tile; 8], [Tile; 3]) {
    let singles = [
        (WIDE_TOKENS, tile::<WIDE_TOKENS, TWO_LEVELS> as TileFn),
        (10, tile::<10, TWO_LEVELS>),
        (8, tile::<8, TWO_LEVELS>),
        (6, narrow_tile::<6, TWO_LEVELS>),
        (4, narrow_tile::<4, TWO_LEVELS>),
        (3, narrow_tile::<3, TWO_LEVELS>),
        (2, narrow_tile::<2, TWO_LEVELS>),
        (1, narrow_tile::<1, TWO_LEVELS>),
    ];
    let pairs = [
        (WIDE_TOKENS, wide_tile::<WIDE_TOKENS, TWO_LEVELS> as TileFn),
        (10, wide_tile::<10, TWO_LEVELS>),
        (8, wide_tile::<8, TWO_LEVELS>),
    ];
    (singles, pairs)
}

/// Products of all panels with all tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn gemm(args: GemmI8<'_, '_>) {
    with_prefetch!(args.prefetch, batch(args));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn batch<const TWO_LEVELS: bool>(args: GemmI8<'_, '_>) {
    at_cache_line!();
    let (tiles, wide) = (&const { tiles::<TWO_LEVELS>() }, &const { wide::<TWO_LEVELS>() });
    let plan = match args.tile {
        GemmTile::Tall => Plan { panel_rows: 16, planes: 4, tiles, pairs: &[] },
        GemmTile::Wide => Plan { panel_rows: 16, planes: 4, tiles: &wide.0, pairs: &wide.1 },
    };
    // SAFETY: this function enables the features that the tiles enable.
    unsafe { tiles::gemm(args, plan) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile<const T: usize, const TWO_LEVELS: bool>(panel: &[u8], x: &[i32], target: Target<'_>, y: &mut Columns<'_, i32>) {
    at_cache_line!();
    let mask = _mm512_set1_epi8(3);
    let mut sums = [_mm512_setzero_si512(); T];
    let (x, _) = x.as_chunks::<T>();
    for (step, x) in panel.as_chunks::<64>().0.iter().zip(x.as_chunks::<4>().0) {
        ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        let x = based(x);
        // SAFETY: a step has 64 bytes; the load needs no alignment.
        let codes = unsafe { _mm512_loadu_si512(step.as_ptr().cast()) };
        let planes = [
            _mm512_and_si512(codes, mask),
            _mm512_and_si512(_mm512_srli_epi16::<2>(codes), mask),
            _mm512_and_si512(_mm512_srli_epi16::<4>(codes), mask),
            _mm512_and_si512(_mm512_srli_epi16::<6>(codes), mask),
        ];
        for p in 0..4 {
            for t in 0..T {
                sums[t] = _mm512_dpbusd_epi32(sums[t], planes[p], _mm512_set1_epi32(x[p][t]));
            }
        }
    }
    write(sums, target, y);
}

/// As [`tile`], with planes in place: plane p of a token has a sum of its own, 4^p times too large.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn narrow_tile<const T: usize, const TWO_LEVELS: bool>(
    panel: &[u8],
    x: &[i32],
    target: Target<'_>,
    y: &mut Columns<'_, i32>,
) {
    at_cache_line!();
    let masks = [0x03, 0x0C, 0x30, 0xC0u8.cast_signed()].map(|m| _mm512_set1_epi8(m));
    let mut sums = [[_mm512_setzero_si512(); T]; 4];
    let (x, _) = x.as_chunks::<T>();
    for (step, x) in panel.as_chunks::<64>().0.iter().zip(x.as_chunks::<4>().0) {
        ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        let x = based(x);
        // SAFETY: a step has 64 bytes; the load needs no alignment.
        let codes = unsafe { _mm512_loadu_si512(step.as_ptr().cast()) };
        for p in 0..4 {
            let plane = _mm512_and_si512(codes, masks[p]);
            for t in 0..T {
                sums[p][t] = _mm512_dpbusd_epi32(sums[p][t], plane, _mm512_set1_epi32(x[p][t]));
            }
        }
    }
    let mut exact = [_mm512_setzero_si512(); T];
    for t in 0..T {
        let low = _mm512_add_epi32(sums[0][t], _mm512_srai_epi32::<2>(sums[1][t]));
        let high = _mm512_add_epi32(_mm512_srai_epi32::<4>(sums[2][t]), _mm512_srai_epi32::<6>(sums[3][t]));
        exact[t] = _mm512_add_epi32(low, high);
    }
    write(exact, target, y);
}

/// As [`tile`], for the 32 rows of two panels: each activation is broadcast once, into a register, and multiplied with
/// both.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn wide_tile<const T: usize, const TWO_LEVELS: bool>(
    panels: &[u8],
    x: &[i32],
    target: Target<'_>,
    y: &mut Columns<'_, i32>,
) {
    at_cache_line!();
    let mask = _mm512_set1_epi8(3);
    let (mut upper, mut lower) = ([_mm512_setzero_si512(); T], [_mm512_setzero_si512(); T]);
    let (first, second) = panels.split_at(panels.len() / 2);
    let steps = first.as_chunks::<64>().0.iter().zip(second.as_chunks::<64>().0);
    for ((a, b), x) in steps.zip(x.as_chunks::<T>().0.as_chunks::<4>().0) {
        ahead::<TWO_LEVELS>(a.as_ptr(), PREFETCH_BYTES);
        ahead::<TWO_LEVELS>(b.as_ptr(), PREFETCH_BYTES);
        // SAFETY: steps have 64 bytes; the loads need no alignment.
        let (mut a, mut b) = unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
        for x in x {
            let (plane_a, plane_b) = (_mm512_and_si512(a, mask), _mm512_and_si512(b, mask));
            (a, b) = (_mm512_srli_epi16::<2>(a), _mm512_srli_epi16::<2>(b));
            for t in 0..T {
                let mut both = _mm512_set1_epi32(x[t]);
                // Else it becomes a memory operand of each product, and two loads a cycle are all there is.
                together!(zmm_reg: both);
                upper[t] = _mm512_dpbusd_epi32(upper[t], plane_a, both);
                lower[t] = _mm512_dpbusd_epi32(lower[t], plane_b, both);
            }
        }
    }
    let Target { x, first, row, rows } = target;
    write(upper, Target { x, first, row, rows: rows.min(16) }, y);
    write(lower, Target { x, first, row: row + 16, rows: rows.saturating_sub(16) }, y);
}
