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
//! On an AMD EPYC (family 25 model 17), 2026-11-29, 6912 x 2560 times 128 tokens, one thread, of the speed of
//! `avx512-vnni` in the same rounds (21, 95% intervals): groups of 128 by token 0.940 [0.933, 0.944], by 128 0.921
//! [0.917, 0.926], by 32 0.830 [0.827, 0.836]; of 256 by token 0.969, of 64 0.912. With 16 tokens a tile 0.93, 0.93 and
//! 0.81: their f32 sums lie in memory. (Before the way through a super-block was counted instead of divided out.)
//!
//! Another tile is 32 rows by 12 tokens, or 8: two panels share each activation, loaded once into a register, and the
//! f32 sums lie in memory. On an Intel Xeon (family 6 model 207), 2026-11-30, one thread, of the speed of `avx512-vnni`
//! in the faster of its tiles (15 rounds): groups of 128 by token 0.936 [0.920, 0.949], by 128 0.906 [0.892, 0.925], of
//! 256 by token 0.951 [0.947, 0.967]; the tile of one panel is at 0.77 to 0.81 there. By 32 both tiles tie: groups of
//! 128 0.702 [0.693, 0.716], of 256 0.725. Which of the two goes over batches, a probe decides.
//!
//! There conversions and `fmadd` take the two ports of the products: for 384 products of 12 tokens with a group of 128
//! and 32 masks 24 more by token, 36 by 128, 108 by 32. So 0.95, 0.92 and 0.79 of a kernel without them is all that a
//! loop of these instructions can reach.
//!
//! From the prototypes of this project. 24 tokens a tile, as without groups, do not leave registers for the f32 sums.

use super::lines::{Line, PREFETCH_BYTES, broadcast, nothing, scale};
use crate::descriptor::{GemmGroups, GemmTile};
use crate::layouts::planes16::{LINE, ROWS, SCALE_BYTES, super_bytes, super_k};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::w2ga8::group_tiles::{self, BLOCKS, Batch, Panel, Plan, Shape, TOKEN, Tile, WITHIN, undo};
use crate::x86_64::lanes::together;
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
    let (start, undo) = (group_tiles::start_in_place, group_tiles::undo_in_place);
    let pairs: [Tile; 2] = [(TOKENS, wide_tile::<TOKENS, MODE, TWO_LEVELS>), (8, wide_tile::<8, MODE, TWO_LEVELS>)];
    let pairs = if args.tile == GemmTile::Wide { &pairs[..] } else { &[] };
    let plan = Plan { panel_rows: ROWS, tiles: &tiles, pairs, gemv: None, most: usize::MAX, start, undo };
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
        for line in bytes.chunks(LINE) {
            ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
        }
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
                    add_lines(&mut sums, &lines[of_piece], own, p);
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

/// As [`tile`], for the 32 rows of two panels: each activation is broadcast once, into a register, and multiplied with
/// both. The integer sums take the registers; those of f32 lie in memory, where a unit's end finds them.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn wide_tile<const T: usize, const MODE: u8, const TWO_LEVELS: bool>(
    panels: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    at_cache_line!();
    let Shape { k, group, unit } = panels.shape;
    let (whole, units) = (super_k(group), group / unit);
    let mut x = batch.x.as_chunks::<T>().0;
    let (mut starts, mut factors) = (batch.starts.as_chunks::<T>().0.iter(), batch.factors.as_chunks::<T>().0.iter());
    let (upper, lower) = panels.bytes.split_at(panels.bytes.len() / 2);
    let mut rows = [[_mm512_setzero_ps(); T]; 2];
    let mut chains = [[nothing(); T]; 2];
    let blocks = upper.chunks(super_bytes(whole, group)).zip(lower.chunks(super_bytes(whole, group)));
    for ((upper, lower), from) in blocks.zip((0..k).step_by(whole)) {
        let plane = whole.min(k - from) / 4;
        let ((upper, upper_scales), (lower, lower_scales)) =
            (upper.split_at(plane / 4 * LINE), lower.split_at(plane / 4 * LINE));
        let (upper, lower) = (upper.as_chunks::<LINE>().0, lower.as_chunks::<LINE>().0);
        let mut way = Way::new(unit, plane);
        let groups = 4 * plane / group;
        let share = upper.len() / groups;
        let scales = upper_scales.as_chunks::<SCALE_BYTES>().0.iter().zip(lower_scales.as_chunks::<SCALE_BYTES>().0);
        for (g, (a, b)) in scales.enumerate().take(groups) {
            // A share of the lines with each group: all at once would fill the buffers that loads wait in.
            for (a, b) in upper[g * share..].iter().zip(&lower[g * share..]).take(share) {
                ahead::<TWO_LEVELS>(a.as_ptr(), PREFETCH_BYTES);
                ahead::<TWO_LEVELS>(b.as_ptr(), PREFETCH_BYTES);
            }
            let mut weights = [scale(a), scale(b)];
            for u in 0..units {
                let (Some(start), factor) = (starts.next(), factors.next()) else { return };
                let mut sums = [broadcast(start), broadcast(start)];
                for piece in 0..way.pieces {
                    let (own, rest) = x.split_at(way.piece);
                    x = rest;
                    if piece > 0 {
                        // The next plane's are four times as large.
                        for sum in sums.as_flattened_mut() {
                            *sum = _mm512_slli_epi32::<2>(*sum);
                        }
                    }
                    let (p, of_piece) = way.next();
                    add_both(&mut sums, (&upper[of_piece.clone()], &lower[of_piece]), own, p);
                }
                if MODE == TOKEN {
                    let undo = _mm512_set1_ps(UNDO[way.last]);
                    weights = [_mm512_mul_ps(weights[0], undo), _mm512_mul_ps(weights[1], undo)];
                }
                for r in 0..2 {
                    if MODE == WITHIN && u == 0 {
                        chains[r] = [nothing(); T];
                    }
                    end_unit::<T, MODE>(&sums[r], weights[r], factor, &mut rows[r], &mut chains[r]);
                }
            }
            if MODE == WITHIN {
                for r in 0..2 {
                    for t in 0..T {
                        rows[r][t] = _mm512_fmadd_ps(chains[r][t], weights[r], rows[r][t]);
                    }
                }
            }
        }
    }
    for (t, (first, second)) in rows[0].into_iter().zip(rows[1]).enumerate() {
        let y = &mut y.token(batch.first + t)[panels.row..panels.row + panels.rows];
        let (upper, lower) = y.split_at_mut(y.len().min(ROWS));
        store(upper, first);
        store(lower, second);
    }
}

/// Adds plane `p` of lines of two panels, 4^p times too large, times their activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_both<const T: usize>(sums: &mut [[__m512i; T]; 2], lines: (&[Line], &[Line]), x: &[[i32; T]], p: usize) {
    let mask = _mm512_set1_epi8((3u8 << (2 * p)).cast_signed());
    for ((a, b), x) in lines.0.iter().zip(lines.1).zip(x) {
        // SAFETY: lines have 64 bytes; the loads need no alignment.
        let (a, b) = unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
        let (a, b) = (_mm512_and_si512(a, mask), _mm512_and_si512(b, mask));
        for t in 0..T {
            let mut both = _mm512_set1_epi32(x[t]);
            // Else it becomes a memory operand of each product, and two loads a cycle are all there is.
            together!(zmm_reg: both);
            sums[0][t] = _mm512_dpbusd_epi32(sums[0][t], a, both);
            sums[1][t] = _mm512_dpbusd_epi32(sums[1][t], b, both);
        }
    }
}

/// Adds plane `p` of an even number of lines, 4^p times too large, times their activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_lines<const T: usize>(sums: &mut [__m512i; T], lines: &[Line], x: &[[i32; T]], p: usize) {
    let mask = _mm512_set1_epi8((3u8 << (2 * p)).cast_signed());
    let mut odd = [_mm512_setzero_si512(); T];
    for (lines, x) in lines.as_chunks::<2>().0.iter().zip(x.as_chunks::<2>().0) {
        // SAFETY: lines have 64 bytes; the loads need no alignment.
        let (a, b) =
            unsafe { (_mm512_loadu_si512(lines[0].as_ptr().cast()), _mm512_loadu_si512(lines[1].as_ptr().cast())) };
        let (a, b) = (_mm512_and_si512(a, mask), _mm512_and_si512(b, mask));
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
