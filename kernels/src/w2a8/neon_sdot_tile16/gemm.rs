//! The prefill half of `neon-sdot-tile16`: the same packed weights times a batch of tokens.
//!
//! A tile is 16 rows by up to four tokens. A step of 16 k loads four registers of codes and brings each plane to the
//! bottom of its bytes (2 shifts with a mask, 1 mask, 1 shift), and every plane meets every token: 4 `sdot` by element
//! a register and token. 16 sums and the activations of four tokens leave registers for the planes.
//!
//! Exact: a lane adds products of a code (at most 3) and an int8, without saturation.

use crate::aarch64::dot::{by_fours, load, load_x, planes, sdot, store_4};
use crate::descriptor::GemmI8;
use std::arch::aarch64::*;

#[target_feature(enable = "neon,dotprod")]
pub(super) fn gemm(mut args: GemmI8<'_, '_>) {
    by_fours!(args, tile);
}

/// All rows with the tokens from `first` on.
#[target_feature(enable = "neon,dotprod")]
fn tile<const T: usize>(args: &mut GemmI8<'_, '_>, first: usize) {
    let x: [&[[i8; 16]]; T] = std::array::from_fn(|t| args.x[first + t].padded().as_chunks::<16>().0);
    let of = &args.x[first..first + T];
    for (p, panel) in args.codes.chunks_exact(args.panel_bytes).enumerate() {
        let mut sums = [[vdupq_n_s32(0); T]; 4];
        for (k, step) in panel.as_chunks::<64>().0.iter().enumerate() {
            let mut at = [vdupq_n_s8(0); T];
            for t in 0..T {
                at[t] = load_x(&x[t][k]);
            }
            for (codes, sums) in step.as_chunks::<16>().0.iter().zip(&mut sums) {
                let [p0, p1, p2, p3] = planes(load(codes));
                for t in 0..T {
                    sums[t] = sdot::<0>(sums[t], p0, at[t]);
                    sums[t] = sdot::<1>(sums[t], p1, at[t]);
                    sums[t] = sdot::<2>(sums[t], p2, at[t]);
                    sums[t] = sdot::<3>(sums[t], p3, at[t]);
                }
            }
        }
        for t in 0..T {
            let y = args.y.token(first + t);
            let rows = 16 * p..(16 * p + 16).min(y.len());
            for (y, sums) in y[rows].chunks_mut(4).zip(&sums) {
                store_4(y, vsubq_s32(sums[t], vdupq_n_s32(of[t].sum())));
            }
        }
    }
}
