//! W2A8 on plain NEON, which every 64-bit Arm CPU has: `vnni16x16`, products in int16, widened every [`STEPS`] steps.
//!
//! A step is 64 bytes, 16 rows x 16 k: four registers of four rows, each row four bytes, whose plane p meets the same
//! four activations. A plane is brought to the bottom of its bytes, multiplied by `smlal` into int16, eight at a time;
//! pairs of int16 become int32 by `sadalp`, and pairs of those rows at the end.
//!
//! Per 64 weights, a quarter of a step: 1 load, 6 operations that unpack, 8 `smlal`, and a quarter of 4 `dup` of
//! activations. For CPUs without `sdot` (Cortex-A53 to A73).
//!
//! # Exact: no int16 can overflow
//! A product is at most 3 * 128 = 384 in magnitude, and a lane of int16 takes one of each plane a step: 16 steps of 4
//! are 64 * 384 = 24,576, below 32,767.

use crate::aarch64::dot::{load, load_x, planes, store_4};
use crate::cpu::CpuFeatures;
use crate::descriptor::{GemvI8, KernelDescriptor};
use crate::layouts::vnni16;
use std::arch::aarch64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "neon-i8",
    isa: "neon",
    requires: CpuFeatures::ASIMD,
    tile: (16, 1),
    builds_on: Some("scalar-i8"),
    summary: "sixteen rows interleaved: planes shifted down, products in int16 by smlal, widened every 16 steps",
    ..KernelDescriptor::w2a8(&vnni16::LAYOUT, gemv)
};

/// Steps of 16 k between two widenings.
const STEPS: usize = 16;
const _: () = assert!(STEPS * 4 * 3 * 128 <= i16::MAX as usize);

#[target_feature(enable = "neon")]
fn gemv(args: GemvI8<'_>) {
    let steps_x = args.x.as_chunks::<16>().0;
    for (y, panel) in args.y.chunks_mut(16).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let steps = panel.as_chunks::<64>().0;
        // Two lanes of int32 a row, four rows a register, four registers.
        let mut wide = [[vdupq_n_s32(0); 2]; 4];
        for (steps, xs) in steps.chunks(STEPS).zip(steps_x.chunks(STEPS)) {
            let mut narrow = [[vdupq_n_s16(0); 2]; 4];
            for (step, x) in steps.iter().zip(xs) {
                let x = vreinterpretq_s32_s8(load_x(x));
                let x = [
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<0>(x)),
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<1>(x)),
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<2>(x)),
                    vreinterpretq_s8_s32(vdupq_laneq_s32::<3>(x)),
                ];
                for (codes, sums) in step.as_chunks::<16>().0.iter().zip(&mut narrow) {
                    let planes = planes(load(codes));
                    for p in 0..4 {
                        sums[0] = vmlal_s8(sums[0], vget_low_s8(planes[p]), vget_low_s8(x[p]));
                        sums[1] = vmlal_high_s8(sums[1], planes[p], x[p]);
                    }
                }
            }
            for (wide, narrow) in wide.iter_mut().zip(narrow) {
                wide[0] = vpadalq_s16(wide[0], narrow[0]);
                wide[1] = vpadalq_s16(wide[1], narrow[1]);
            }
        }
        for (y, sums) in y.chunks_mut(4).zip(wide) {
            store_4(y, vsubq_s32(vpaddq_s32(sums[0], sums[1]), vdupq_n_s32(args.x_sum)));
        }
    }
}

#[cfg(test)]
#[test]
fn the_largest_int16_sums_are_exact() {
    crate::testing::check_largest_sums(&DESCRIPTOR, 16 * (STEPS * 6 + 5), &[[-128; 2], [127; 2]]);
}
