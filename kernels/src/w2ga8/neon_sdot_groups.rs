//! W2gA8 on NEON with `sdot`: sixteen rows at a time, `planes16`, the layout of `avx512-vnni-groups`, byte for byte,
//! and its bits.
//!
//! A line is 64 bytes, four registers of four rows, as in [`crate::w2a8::neon_sdot_tile16`]; plane p of line i meets
//! four activations, and those of four lines are one register, of which `sdot` takes one element. Sums of planes end
//! where units do: with a super-block, or every eight lines where units are of 32. Then they become f32 and are added
//! up in the order that [`GemvGroups`] lays down, four rows at a time.
//!
//! # Exact
//! Sum p of a unit is 4^p times the exact sum for planes 1 and 2, which stay in place: within 16 * 3 * 128 * 128, so
//! that a shift drops only zeros. Exact sums are below 2^24: f32 holds them.

mod gemm;

use crate::K_SLACK;
use crate::aarch64::dot::{fcvtl, load, load_x, plane_in_place, sdot, store_4_f32, undo_in_place};
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvGroups, KernelDescriptor};
use crate::layouts::planes16::{self, LINE, SCALE_BYTES, super_k};
use std::arch::aarch64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "neon-sdot-groups",
    isa: "neon",
    requires: CpuFeatures::ASIMD.with(CpuFeatures::ASIMDDP),
    tile: (16, 1),
    gemm: Some(Gemm::Groups(gemm::gemm)),
    builds_on: Some("scalar-groups"),
    summary: "sixteen rows interleaved, planes that are groups or parts of them: sdot by element, fmla where units end",
    ..KernelDescriptor::w2ga8(&planes16::LAYOUT, gemv)
};

/// Lines after which units of 32 end.
const LINES_OF_32: usize = 8;
/// Runs of lines of a super-block, at most.
const RUNS: usize = 4;

/// Of 16 rows, four a register.
type Rows = [int32x4_t; 4];

#[target_feature(enable = "neon,dotprod")]
fn gemv(mut args: GemvGroups<'_>) {
    let all = std::mem::take(&mut args.y);
    let (k, whole, unit) = (args.x.len() - K_SLACK, super_k(args.group), args.rule.unit(args.group));
    for (y, panel) in all.chunks_mut(16).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let mut acc = [vdupq_n_f32(0.0); 4];
        let mut rest = panel;
        for from in (0..k).step_by(whole) {
            let here = whole.min(k - from);
            let (lines, behind) = rest.split_at(here / 16 * LINE);
            let groups = here / args.group;
            let (scales, later) = behind.split_at((groups * SCALE_BYTES).next_multiple_of(LINE));
            rest = later;
            // Of each run the sums of the planes.
            let mut sums = [[[vdupq_n_s32(0); 4]; 4]; RUNS];
            let run = if unit == 32 { LINES_OF_32 } else { here / 16 };
            for (r, lines) in lines.chunks(run * LINE).enumerate() {
                sums[r] = add(lines, &args.x[from..from + here], r * run);
            }
            let block = Block { args: &args, from, plane: here / 4, unit, runs: here / 16 / run, sums: &sums };
            for g in 0..groups {
                let scales = &scales[g * SCALE_BYTES..][..SCALE_BYTES];
                for q in 0..4 {
                    acc[q] = block.add_group(acc[q], g, q, fcvtl(&scales[8 * q..]));
                }
            }
        }
        for (y, acc) in y.chunks_mut(4).zip(acc) {
            store_4_f32(y, acc);
        }
    }
}

/// Exact sums of code * x of lines that begin at line `first` of a super-block, whose activations are `x`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add(lines: &[u8], x: &[i8], first: usize) -> [Rows; 4] {
    let plane = x.len() / 4;
    let mut sums = [[vdupq_n_s32(0); 4]; 4];
    let planes = [0, 1, 2, 3].map(|p| x[p * plane + 4 * first..].as_chunks::<16>().0);
    for (i, four) in lines.as_chunks::<{ 4 * LINE }>().0.iter().enumerate() {
        let x = [load_x(&planes[0][i]), load_x(&planes[1][i]), load_x(&planes[2][i]), load_x(&planes[3][i])];
        let registers = four.as_chunks::<16>().0;
        macro_rules! line {
            ($l:literal) => {
                for q in 0..4 {
                    let codes = load(&registers[4 * $l + q]);
                    sums[0][q] = sdot::<$l>(sums[0][q], plane_in_place::<0>(codes), x[0]);
                    sums[1][q] = sdot::<$l>(sums[1][q], plane_in_place::<1>(codes), x[1]);
                    sums[2][q] = sdot::<$l>(sums[2][q], plane_in_place::<2>(codes), x[2]);
                    sums[3][q] = sdot::<$l>(sums[3][q], plane_in_place::<3>(codes), x[3]);
                }
            };
        }
        line!(0);
        line!(1);
        line!(2);
        line!(3);
    }
    for q in 0..4 {
        sums[1][q] = undo_in_place::<1>(sums[1][q]);
        sums[2][q] = undo_in_place::<2>(sums[2][q]);
    }
    sums
}

/// A super-block whose planes are summed.
struct Block<'a> {
    args: &'a GemvGroups<'a>,
    /// Its first weight in a row.
    from: usize,
    /// Weights of a plane.
    plane: usize,
    unit: usize,
    /// Runs of lines.
    runs: usize,
    sums: &'a [[Rows; 4]; RUNS],
}

impl Block<'_> {
    /// Adds group `g` of the rows of register `q`, whose scales are given.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn add_group(&self, acc: float32x4_t, g: usize, q: usize, scales: float32x4_t) -> float32x4_t {
        let Self { args, unit, .. } = *self;
        let begin = self.from + g * args.group;
        let factor = |at: usize| args.rule.block().map(|block| args.x_scales[at / block]);
        if unit == args.group {
            let sum = vcvtq_f32_s32(self.unit(begin, q));
            let scales = match factor(begin) {
                Some(factor) => vmulq_n_f32(scales, factor),
                None => scales,
            };
            return vfmaq_f32(acc, sum, scales);
        }
        let mut chain = vdupq_n_f32(0.0);
        for at in (begin..begin + args.group).step_by(unit) {
            let (sum, factor) = (vcvtq_f32_s32(self.unit(at, q)), factor(at).unwrap_or(1.0));
            chain = if at == begin { vmulq_n_f32(sum, factor) } else { vfmaq_f32(chain, sum, vdupq_n_f32(factor)) };
        }
        vfmaq_f32(acc, chain, scales)
    }

    /// The exact sum of (code - 1) * x of the unit that begins at `at`.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn unit(&self, at: usize, q: usize) -> int32x4_t {
        let within = at - self.from;
        let first = within / self.plane;
        let mut sum = vdupq_n_s32(-self.args.sums[at / self.unit]);
        if self.runs > 1 || self.unit < self.plane {
            let run = within % self.plane / self.unit;
            return vaddq_s32(sum, self.sums[run][first][q]);
        }
        for p in first..first + self.unit / self.plane {
            sum = vaddq_s32(sum, self.sums[0][p][q]);
        }
        sum
    }
}
