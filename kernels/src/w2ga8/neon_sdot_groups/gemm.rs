//! The prefill half of `neon-sdot-groups`: the same packed weights times a batch of tokens, with the bits of its gemv.
//!
//! A tile is 16 rows by up to four tokens, one plane after the other: a register of codes is loaded once for each of
//! its planes, masked in place (or shifted, plane 3), and meets every token by `sdot` by element. 16 sums and the
//! activations of four tokens for four lines leave registers for codes and mask. A unit ends where its activations do;
//! then its sums are undone, become f32 and are added in the order that [`GemmGroups`] lays down.
//!
//! Exact: as the gemv, whose sums of planes these are, a piece of a unit at a time.

use crate::K_SLACK;
use crate::aarch64::dot::{by_fours, fcvtl, load, load_x, plane_in_place, sdot, store_4_f32, undo_in_place};
use crate::descriptor::GemmGroups;
use crate::layouts::planes16::{LINE, SCALE_BYTES, super_bytes, super_k};
use std::arch::aarch64::*;

/// Of 16 rows, four a register.
type Rows = [int32x4_t; 4];

#[target_feature(enable = "neon,dotprod")]
pub(super) fn gemm(mut args: GemmGroups<'_, '_>) {
    by_fours!(args, tile);
}

/// All rows with the tokens from `first` on.
#[target_feature(enable = "neon,dotprod")]
fn tile<const T: usize>(args: &mut GemmGroups<'_, '_>, first: usize) {
    let tokens = &args.x[first..first + T];
    let x: [&[i8]; T] = std::array::from_fn(|t| tokens[t].padded());
    let (group, rule) = (args.group, tokens[0].rule());
    let (unit, k) = (rule.unit(group), x[0].len() - K_SLACK);
    let starts: [&[i32]; T] = std::array::from_fn(|t| tokens[t].sums(unit).unwrap_or_default());
    let whole = super_k(group);
    for (p, panel) in args.codes.chunks_exact(args.panel_bytes).enumerate() {
        // [token][four rows]
        let mut acc = [[vdupq_n_f32(0.0); 4]; T];
        for (block, from) in panel.chunks(super_bytes(whole, group)).zip((0..k).step_by(whole)) {
            let here = whole.min(k - from);
            let (lines, scales) = block.split_at(here / 16 * LINE);
            for (scales, begin) in scales.chunks_exact(SCALE_BYTES).zip((0..here).step_by(group)) {
                let scales: [float32x4_t; 4] =
                    [fcvtl(scales), fcvtl(&scales[8..]), fcvtl(&scales[16..]), fcvtl(&scales[24..])];
                let mut chains = [[vdupq_n_f32(0.0); 4]; T];
                for at in (begin..begin + group).step_by(unit) {
                    let mut sums = [[vdupq_n_s32(0); 4]; T];
                    for t in 0..T {
                        sums[t] = [vdupq_n_s32(-starts[t][(from + at) / unit]); 4];
                    }
                    add_unit(&mut sums, lines, &x, (from, at), (here / 4, unit));
                    for t in 0..T {
                        let factor = rule.block().map(|block| tokens[t].block_scales()[(from + at) / block]);
                        for q in 0..4 {
                            let sum = vcvtq_f32_s32(sums[t][q]);
                            if unit == group {
                                let scales = match factor {
                                    Some(factor) => vmulq_n_f32(scales[q], factor),
                                    None => scales[q],
                                };
                                acc[t][q] = vfmaq_f32(acc[t][q], sum, scales);
                                continue;
                            }
                            let factor = vdupq_n_f32(factor.unwrap_or(1.0));
                            let chain = chains[t][q];
                            chains[t][q] =
                                if at == begin { vmulq_f32(sum, factor) } else { vfmaq_f32(chain, sum, factor) };
                        }
                    }
                }
                if unit < group {
                    for t in 0..T {
                        for q in 0..4 {
                            acc[t][q] = vfmaq_f32(acc[t][q], chains[t][q], scales[q]);
                        }
                    }
                }
            }
        }
        for (t, acc) in acc.into_iter().enumerate() {
            let y = args.y.token(first + t);
            let rows = 16 * p..(16 * p + 16).min(y.len());
            for (y, acc) in y[rows].chunks_mut(4).zip(acc) {
                store_4_f32(y, acc);
            }
        }
    }
}

/// Adds the exact sums of a unit that begins at `at` of the super-block at `from` of a row.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_unit<const T: usize>(
    sums: &mut [Rows; T],
    lines: &[u8],
    x: &[&[i8]; T],
    (from, at): (usize, usize),
    (plane, unit): (usize, usize),
) {
    // Of a unit, the part within a plane: all of it, or as much as a plane has.
    let piece = unit.min(plane);
    for at in (at..at + unit).step_by(piece) {
        let lines = &lines[at % plane / 4 * LINE..][..piece / 4 * LINE];
        let mut of_piece = [&[[0; 16]; 0][..]; T];
        for t in 0..T {
            of_piece[t] = x[t][from + at..][..piece].as_chunks::<16>().0;
        }
        match at / plane {
            0 => add_piece::<0, T>(sums, lines, &of_piece),
            1 => add_piece::<1, T>(sums, lines, &of_piece),
            2 => add_piece::<2, T>(sums, lines, &of_piece),
            _ => add_piece::<3, T>(sums, lines, &of_piece),
        }
    }
}

/// Adds plane `P` of lines times their activations.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_piece<const P: u32, const T: usize>(sums: &mut [Rows; T], lines: &[u8], x: &[&[[i8; 16]]; T]) {
    let mut own = [[vdupq_n_s32(0); 4]; T];
    for (i, four) in lines.as_chunks::<{ 4 * LINE }>().0.iter().enumerate() {
        let mut at = [vdupq_n_s8(0); T];
        for t in 0..T {
            at[t] = load_x(&x[t][i]);
        }
        let registers = four.as_chunks::<16>().0;
        macro_rules! line {
            ($l:literal) => {
                for q in 0..4 {
                    let codes = plane_in_place::<P>(load(&registers[4 * $l + q]));
                    for t in 0..T {
                        own[t][q] = sdot::<$l>(own[t][q], codes, at[t]);
                    }
                }
            };
        }
        line!(0);
        line!(1);
        line!(2);
        line!(3);
    }
    for t in 0..T {
        for q in 0..4 {
            sums[t][q] = vaddq_s32(sums[t][q], undo_in_place::<P>(own[t][q]));
        }
    }
}
