//! The prefill half of `avx512-vnni-groups`: the same packed weights times a batch of tokens.
//!
//! A tile is 16 rows (one a lane) by up to [`TOKENS`] tokens. A unit, whose sums are exact, is one plane of some lines,
//! or several planes: a line is loaded and masked once for all tokens of the tile, which cost a product each. Where a
//! unit ends, its sums are converted and multiplied into the f32 sums of the rows. Both kinds of sums are in registers.
//! A line is read once for each of its planes, from the first-level cache: 2 KiB are a super-block.
//!
//! Per 64 weights and token: 1 `vpdpbusd`, whose activations are broadcast by the instruction itself from a copy of the
//! batch in the order of the loop. An `and` with its load a line and plane serves all tokens of the tile: planes stay
//! in place, and 4^-p is in the scales. A group of 128, 32 products a token, ends with 1 conversion and 1 fused
//! multiply-add a token, and with 1 product more where blocks of activations have scales; units of 32 with as many for
//! each 8 products.
//!
//! Rows go through in chunks whose codes stay in the second-level cache, see [`crate::w2ga8::group_tiles`]. The sums of
//! a unit begin at minus the sum of its activations: the zero point costs nothing.
//!
//! On an Intel Xeon (family 6 model 207), 2026-12-01, 6912 x 2560 times 128 tokens, one thread, of the speed of
//! `avx512-vnni` in the same rounds (`group_ratios`, 21, 95% intervals): groups of 128, token 0.950 [0.937, 0.955], by
//! 128 0.916 [0.911, 0.925], of 256 by token 0.967, of 64 0.872. On an AMD EPYC (family 25 model 17), 2026-11-29,
//! before lines were asked for one by one: 0.940, 0.921, 0.969 and 0.912, and by 32 0.830.
//!
//! Lines are asked for where they are loaded, in each of a super-block's four passes anew, although one would do: all
//! of a super-block at once fill the buffers that loads wait in. On the Xeon that was 0.88 for 0.95.
//!
//! Units of 32 have a second tile, [`gemm_by_32`]; which of the two goes over batches, a probe decides.
//!
//! From the prototypes of this project. 24 tokens a tile, as without groups, do not leave registers for the f32 sums;
//! in memory they are no faster than 12 in registers on the Xeon.

use super::gemm_by_32;
use super::lines::{Line, PREFETCH_BYTES, broadcast, nothing, scale};
use crate::ActivationRule;
use crate::descriptor::{GemmGroups, GemmTile};
use crate::layouts::planes16::{LINE, ROWS, SCALE_BYTES, super_bytes, super_k};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::w2ga8::group_tiles::{self, BLOCKS, Batch, Panel, Plan, Shape, TOKEN, Tile, WITHIN, undo};
use crate::x86_64::lanes::based;
use crate::x86_64::panel_rows::store_16_f32 as store;
use std::arch::x86_64::*;
use std::ops::Range;

/// Tokens of the widest tile: 12 sums of integers, 12 of f32, the planes of two lines and constants fill the registers.
const TOKENS: usize = 12;

/// Sums of fewer tokens are too few to keep the dot-product units busy: lines take turns with two sets.
const FEW: usize = 6;

/// Products of all panels with all tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn gemm(args: GemmGroups<'_, '_>) {
    match group_tiles::mode(&args) {
        TOKEN => with_prefetch!(args.prefetch, batch[TOKEN](args)),
        WITHIN => with_prefetch!(args.prefetch, batch[WITHIN](args)),
        _ => with_prefetch!(args.prefetch, batch[BLOCKS](args)),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn batch<const MODE: u8, const TWO_LEVELS: bool>(args: GemmGroups<'_, '_>) {
    let tiles: [Tile; 6] = [
        (TOKENS, tile::<TOKENS, MODE, TWO_LEVELS>),
        (8, tile::<8, MODE, TWO_LEVELS>),
        (FEW, tile::<FEW, MODE, TWO_LEVELS>),
        (4, tile::<4, MODE, TWO_LEVELS>),
        (2, tile::<2, MODE, TWO_LEVELS>),
        (1, tile::<1, MODE, TWO_LEVELS>),
    ];
    let by_32: [Tile; 5] = [
        (gemm_by_32::TOKENS, gemm_by_32::tile::<{ gemm_by_32::TOKENS }, TWO_LEVELS>),
        (6, gemm_by_32::tile::<6, TWO_LEVELS>),
        (4, gemm_by_32::tile::<4, TWO_LEVELS>),
        (2, gemm_by_32::tile::<2, TWO_LEVELS>),
        (1, gemm_by_32::tile::<1, TWO_LEVELS>),
    ];
    let (start, undo) = (group_tiles::start_in_place, group_tiles::undo_in_place);
    let wide = args.tile == GemmTile::Wide && args.x.first().is_some_and(|x| x.rule() == ActivationRule::Per32);
    let tiles = if wide { &by_32[..] } else { &tiles[..] };
    let plan = Plan { panel_rows: ROWS, tiles, gemv: None, most: usize::MAX, start, undo };
    // SAFETY: this function enables the features that the tiles enable.
    unsafe { group_tiles::gemm(args, plan) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile<const T: usize, const MODE: u8, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    at_cache_line!();
    let Shape { k, group, unit } = panel.shape;
    let (whole, units) = (super_k(group), group / unit);
    let mut x = batch.x.as_chunks::<T>().0;
    let (mut starts, mut factors) = (batch.starts.as_chunks::<T>().0.iter(), batch.factors.as_chunks::<T>().0.iter());
    let mut rows = [_mm512_setzero_ps(); T];
    for (bytes, from) in panel.bytes.chunks(super_bytes(whole, group)).zip((0..k).step_by(whole)) {
        let plane = whole.min(k - from) / 4;
        let (lines, scales) = bytes.split_at(plane / 4 * LINE);
        let lines = lines.as_chunks::<LINE>().0;
        let mut way = Way::new(unit, plane);
        for scales in scales.as_chunks::<SCALE_BYTES>().0.iter().take(4 * plane / group) {
            let mut weights = scale(scales);
            let mut chains = [nothing(); T];
            for _ in 0..units {
                let (Some(start), factor) = (starts.next(), factors.next()) else { return };
                let mut sums = broadcast(start);
                for piece in 0..way.pieces {
                    let (own, rest) = x.split_at(way.piece);
                    x = rest;
                    if piece > 0 {
                        // The next plane's are four times as large.
                        for sum in &mut sums {
                            *sum = _mm512_slli_epi32::<2>(*sum);
                        }
                    }
                    let (p, of_piece) = way.next();
                    add_lines::<T, TWO_LEVELS>(&mut sums, &lines[of_piece], own, p);
                }
                if MODE == TOKEN {
                    weights = _mm512_mul_ps(weights, _mm512_set1_ps(UNDO[way.last]));
                }
                end_unit::<T, MODE>(&sums, weights, factor, &mut rows, &mut chains);
            }
            if MODE == WITHIN {
                for t in 0..T {
                    rows[t] = _mm512_fmadd_ps(chains[t], weights, rows[t]);
                }
            }
        }
    }
    for (t, rows) in rows.into_iter().enumerate() {
        store(&mut y.token(batch.first + t)[panel.row..panel.row + panel.rows], rows);
    }
}

/// Adds the exact sums of a unit to those of the rows, or, where a group has several units, to the group's chain.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn end_unit<const T: usize, const MODE: u8>(
    sums: &[__m512i; T],
    weights: __m512,
    factor: Option<&[f32; T]>,
    rows: &mut [__m512; T],
    chains: &mut [__m512; T],
) {
    for t in 0..T {
        let sum = _mm512_cvtepi32_ps(sums[t]);
        match (MODE, factor) {
            (BLOCKS, Some(factor)) => {
                let both = _mm512_mul_ps(weights, _mm512_set1_ps(factor[t]));
                rows[t] = _mm512_fmadd_ps(sum, both, rows[t]);
            }
            (WITHIN, Some(factor)) => chains[t] = _mm512_fmadd_ps(sum, _mm512_set1_ps(factor[t]), chains[t]),
            _ => rows[t] = _mm512_fmadd_ps(sum, weights, rows[t]),
        }
    }
}

/// What takes the 4^p out of the sums of plane p.
const UNDO: [f32; 4] = [undo(0), undo(1), undo(2), undo(3)];

/// The way of units through a super-block, plane after plane; counted, because divisions would make the loads wait.
struct Way {
    /// Lines of the part of a unit within a plane: all of it, or as much as a plane has.
    piece: usize,
    /// Parts of a unit.
    pieces: usize,
    plane: usize,
    p: usize,
    line: usize,
    /// Plane of the last part.
    last: usize,
}

impl Way {
    /// Of units of so many weights, through planes of so many.
    fn new(unit: usize, plane: usize) -> Self {
        let piece = unit.min(plane);
        Self { piece: piece / 4, pieces: unit / piece, plane: plane / 4, p: 0, line: 0, last: 0 }
    }

    /// Plane and lines of the next part.
    #[inline(always)]
    fn next(&mut self) -> (usize, Range<usize>) {
        let lines = self.line..self.line + self.piece;
        self.last = self.p;
        self.line = lines.end;
        if self.line == self.plane {
            (self.line, self.p) = (0, self.p + 1);
        }
        (self.last, lines)
    }
}

/// Adds plane `p` of an even number of lines, 4^p times too large, times their activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_lines<const T: usize, const TWO_LEVELS: bool>(
    sums: &mut [__m512i; T],
    lines: &[Line],
    x: &[[i32; T]],
    p: usize,
) {
    let mask = _mm512_set1_epi8((3u8 << (2 * p)).cast_signed());
    let mut odd = [_mm512_setzero_si512(); T];
    for (lines, x) in lines.as_chunks::<2>().0.iter().zip(x.as_chunks::<2>().0) {
        ahead::<TWO_LEVELS>(lines[0].as_ptr(), PREFETCH_BYTES);
        ahead::<TWO_LEVELS>(lines[1].as_ptr(), PREFETCH_BYTES);
        // SAFETY: lines have 64 bytes; the loads need no alignment.
        let (a, b) =
            unsafe { (_mm512_loadu_si512(lines[0].as_ptr().cast()), _mm512_loadu_si512(lines[1].as_ptr().cast())) };
        let (a, b) = (_mm512_and_si512(a, mask), _mm512_and_si512(b, mask));
        let x = based(x);
        for t in 0..T {
            sums[t] = _mm512_dpbusd_epi32(sums[t], a, _mm512_set1_epi32(x[0][t]));
        }
        for t in 0..T {
            if T > FEW {
                sums[t] = _mm512_dpbusd_epi32(sums[t], b, _mm512_set1_epi32(x[1][t]));
            } else {
                odd[t] = _mm512_dpbusd_epi32(odd[t], b, _mm512_set1_epi32(x[1][t]));
            }
        }
    }
    if T <= FEW {
        for t in 0..T {
            sums[t] = _mm512_add_epi32(sums[t], odd[t]);
        }
    }
}
