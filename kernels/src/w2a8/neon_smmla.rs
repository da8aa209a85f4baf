//! W2A8 on NEON with `smmla` (i8mm): the gemm of CPUs that have it, on the layout and with the gemv of
//! `neon-sdot-tile16`.
//!
//! `smmla` multiplies two rows of eight bytes with two tokens of eight: 32 products an instruction where `sdot` has 16.
//! Planes p and p + 1 of a register hold the same four rows; `zip` by four bytes puts eight k of two rows side by side.
//! A tile is 8 rows by up to 8 tokens: 16 sums of 2 x 2; a step loads two registers of codes (6 operations that unpack
//! and 4 `zip` each) and the tokens in pairs, from a copy of the batch in that order.
//!
//! Exact: a lane adds products of a code (at most 3) and an int8, without saturation.

mod tokens;

use crate::aarch64::dot::{load, load_x, planes, smmla};
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemmI8, KernelDescriptor};
use crate::layouts::vnni16;
use crate::w2a8::neon_sdot_tile16;
use std::arch::aarch64::*;
use tokens::{PAIRS, with_pairs};

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "neon-smmla",
    requires: CpuFeatures::ASIMD.with(CpuFeatures::ASIMDDP).with(CpuFeatures::I8MM),
    tile: (16, 1),
    isa: "neon",
    gemm: Some(Gemm::I8(gemm)),
    builds_on: Some("neon-sdot-tile16"),
    summary: "batches by smmla: two rows by two tokens by eight k an instruction; single tokens as neon-sdot-tile16",
    ..KernelDescriptor::w2a8(&vnni16::LAYOUT, neon_sdot_tile16::gemv)
};

#[target_feature(enable = "neon,i8mm")]
fn gemm(mut args: GemmI8<'_, '_>) {
    let (x, steps) = (args.x, args.panel_bytes / 64);
    for (number, tokens) in x.chunks(2 * PAIRS).enumerate() {
        with_pairs(tokens, steps, |pairs| {
            let first = 2 * PAIRS * number;
            match tokens.len().div_ceil(2) {
                4 => tile::<4>(&mut args, first, pairs),
                3 => tile::<3>(&mut args, first, pairs),
                2 => tile::<2>(&mut args, first, pairs),
                _ => tile::<1>(&mut args, first, pairs),
            }
        });
    }
}

/// All rows with up to 2 P tokens from `first` on. `pairs` has, for each 8 k, those of each pair of tokens: P times 16
/// bytes.
#[target_feature(enable = "neon,i8mm")]
fn tile<const P: usize>(args: &mut GemmI8<'_, '_>, first: usize, pairs: &[i8]) {
    let tokens = (args.x.len() - first).min(2 * P);
    let pairs = pairs.as_chunks::<16>().0.as_chunks::<P>().0.as_chunks::<2>().0;
    for (p, panel) in args.codes.chunks_exact(args.panel_bytes).enumerate() {
        let steps = panel.as_chunks::<64>().0;
        for half in 0..2 {
            // [pair of rows][pair of tokens]
            let mut sums = [[vdupq_n_s32(0); P]; 4];
            for (step, x) in steps.iter().zip(pairs) {
                let registers = step.as_chunks::<16>().0;
                for r in 0..2 {
                    let rows = rows(load(&registers[2 * half + r]));
                    for t in 0..P {
                        for k in 0..2 {
                            let x = load_x(&x[k][t]);
                            sums[2 * r][t] = smmla(sums[2 * r][t], rows[0][k], x);
                            sums[2 * r + 1][t] = smmla(sums[2 * r + 1][t], rows[1][k], x);
                        }
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (t, sums) in sums.iter().enumerate() {
                    let mut four = [0i32; 4];
                    // SAFETY: four elements; the store needs no alignment.
                    unsafe { vst1q_s32(four.as_mut_ptr(), *sums) };
                    for (j, sum) in four.into_iter().enumerate() {
                        let (row, token) = (16 * p + 8 * half + 2 * i + j / 2, 2 * t + j % 2);
                        if token < tokens {
                            let x_sum = args.x[first + token].sum();
                            if let Some(y) = args.y.token(first + token).get_mut(row) {
                                *y = sum - x_sum;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Codes of four rows by 16 k as two pairs of rows, each of the first and of the last eight k.
#[inline]
#[target_feature(enable = "neon")]
fn rows(codes: uint8x16_t) -> [[int8x16_t; 2]; 2] {
    let [p0, p1, p2, p3] = planes(codes);
    let (p0, p1) = (vreinterpretq_s32_s8(p0), vreinterpretq_s32_s8(p1));
    let (p2, p3) = (vreinterpretq_s32_s8(p2), vreinterpretq_s32_s8(p3));
    [
        [vreinterpretq_s8_s32(vzip1q_s32(p0, p1)), vreinterpretq_s8_s32(vzip1q_s32(p2, p3))],
        [vreinterpretq_s8_s32(vzip2q_s32(p0, p1)), vreinterpretq_s8_s32(vzip2q_s32(p2, p3))],
    ]
}

#[cfg(test)]
#[test]
fn the_largest_int32_sums_are_exact() {
    crate::testing::check_largest_sums(&DESCRIPTOR, 16 * 101, &[[-128; 2], [127; 2]]);
}
