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
//! 0.81: their f32 sums lie in memory.
//!
//! From the prototypes of this project. 24 tokens a tile, as without groups, do not leave registers for the f32 sums.

use super::lines::{Line, PREFETCH_BYTES, broadcast, nothing, scale};
use crate::descriptor::GemmGroups;
use crate::layouts::planes16::{LINE, ROWS, SCALE_BYTES, super_bytes, super_k};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::w2ga8::group_tiles::{self, BLOCKS, Batch, Panel, Plan, Shape, TOKEN, Tile, WITHIN, undo};
use crate::x86_64::panel_rows::store_16_f32 as store;
use std::arch::x86_64::*;

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
    let plan = Plan { panel_rows: ROWS, tiles: &tiles, gemv: None, most: usize::MAX, start, undo };
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
    let whole = super_k(group);
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
        // Of a unit, the part within a plane: all of it, or as much as a plane has.
        let piece = unit.min(plane);
        for (g, scales) in scales.as_chunks::<SCALE_BYTES>().0.iter().enumerate().take(4 * plane / group) {
            let mut weights = scale(scales);
            if MODE == TOKEN {
                weights = _mm512_mul_ps(weights, _mm512_set1_ps(undo(((g + 1) * group - 1) / plane)));
            }
            let mut chains = [nothing(); T];
            for u in 0..group / unit {
                let (Some(start), factor) = (starts.next(), factors.next()) else { return };
                let mut sums = broadcast(start);
                for at in (g * group + u * unit..g * group + (u + 1) * unit).step_by(piece) {
                    let (own, rest) = x.split_at(piece / 4);
                    x = rest;
                    if at > g * group + u * unit {
                        // The next plane's are four times as large.
                        for sum in &mut sums {
                            *sum = _mm512_slli_epi32::<2>(*sum);
                        }
                    }
                    add_lines(&mut sums, &lines[at % plane / 4..][..piece / 4], own, at / plane);
                }
                for t in 0..T {
                    let sum = _mm512_cvtepi32_ps(sums[t]);
                    match (MODE, factor) {
                        (BLOCKS, Some(factor)) => {
                            let both = _mm512_mul_ps(weights, _mm512_set1_ps(factor[t]));
                            rows[t] = _mm512_fmadd_ps(sum, both, rows[t]);
                        }
                        (WITHIN, Some(factor)) => {
                            chains[t] = _mm512_fmadd_ps(sum, _mm512_set1_ps(factor[t]), chains[t]);
                        }
                        _ => rows[t] = _mm512_fmadd_ps(sum, weights, rows[t]),
                    }
                }
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
