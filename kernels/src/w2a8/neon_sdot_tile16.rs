//! W2A8 on NEON with `sdot` at 2.0 bits: sixteen rows at a time, `vnni16x16`, the layout of `avx512-vnni`, byte for
//! byte.
//!
//! A step is 64 bytes, 16 rows x 16 k: four registers of four rows, each row four bytes, and plane p of a register is
//! multiplied with the four activations p of the step by `sdot` by element, which leaves a row a lane. Planes 1 and 2
//! stay in place, 4 and 16 times too large (they are below 128); plane 3 would be a negative byte and is shifted down.
//! Their sums are divided once, at the end of a row: no horizontal sum, no shift but one.
//!
//! Per 64 weights, a quarter of a step: half a pair of loads, 3 `and`, 1 shift, 4 `sdot`, a quarter of a load of
//! activations. 16 sums, 4 masks and constants, activations and what is in flight fill the 32 registers.
//!
//! # Exact
//! `sdot` adds four products of signed bytes to an int32 without saturation. Sum p of a row is 4^p * sum(code * x) over
//! its plane for p of 1 and 2, within 3 * 16 * 128 * k / 4, below 2^31 for any k that [`crate::Kernel::gemv_i8`] lets
//! through: a multiple of 4^p, so that the shift drops only zeros.
//!
//! From the prototypes of this project.

mod gemm;

use crate::MAX_K_I8;
use crate::aarch64::dot::{load, load_x, plane_in_place, sdot, store_4, undo_in_place};
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::vnni16;
use std::arch::aarch64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "neon-sdot-tile16",
    isa: "neon",
    requires: CpuFeatures::ASIMD.with(CpuFeatures::ASIMDDP),
    tile: (16, 1),
    gemm: Some(Gemm::I8(gemm::gemm)),
    builds_on: Some("neon-i8"),
    summary: "sixteen rows interleaved: three masks, a shift and four sdot by element for four rows",
    ..KernelDescriptor::w2a8(&vnni16::LAYOUT, gemv)
};

const _: () = assert!(3 * 16 * 128 * (MAX_K_I8 / 4) <= i32::MAX as usize);

#[target_feature(enable = "neon,dotprod")]
pub(super) fn gemv(args: GemvI8<'_>) {
    let steps_x = args.x.as_chunks::<16>().0;
    for (y, panel) in args.y.chunks_mut(16).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let mut sums = [[vdupq_n_s32(0); 4]; 4];
        for (step, x) in panel.as_chunks::<64>().0.iter().zip(steps_x) {
            let x = load_x(x);
            for (codes, sums) in step.as_chunks::<16>().0.iter().zip(&mut sums) {
                let codes = load(codes);
                sums[0] = sdot::<0>(sums[0], plane_in_place::<0>(codes), x);
                sums[1] = sdot::<1>(sums[1], plane_in_place::<1>(codes), x);
                sums[2] = sdot::<2>(sums[2], plane_in_place::<2>(codes), x);
                sums[3] = sdot::<3>(sums[3], plane_in_place::<3>(codes), x);
            }
        }
        for (y, [s0, s1, s2, s3]) in y.chunks_mut(4).zip(sums) {
            let low = vaddq_s32(s0, undo_in_place::<1>(s1));
            let all = vaddq_s32(low, vaddq_s32(undo_in_place::<2>(s2), s3));
            store_4(y, vsubq_s32(all, vdupq_n_s32(args.x_sum)));
        }
    }
}

#[cfg(test)]
#[test]
fn the_largest_int32_sums_are_exact() {
    crate::testing::check_largest_sums(&DESCRIPTOR, 16 * 101, &[[-128; 2], [127; 2]]);
}
