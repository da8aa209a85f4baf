//! W2gA8 reference kernel: groups with a scale each in plain Rust, for every architecture, one bit plane of 16 weights
//! after the other so that the inner loop has one shift and no branches.
//!
//! The order of [`GemvGroups`] is the obvious one: the exact sum of a group, then one fused multiply-add. `mul_add` is
//! rounded once everywhere; without FMA in the build's base it is a call of the C library a group, which is little
//! beside 64 weights. llama.cpp's loop over Q2_0 does the same work with a float sum a group that is rounded twice, so
//! its results depend on the compiler.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 82.00 instructions, 75.00 of them vector, 5.00 memory
//! reads. With what is around it, which a group of 128 passes twice, it is 113. LLVM vectorises a plane with SSE2: 24
//! of the instructions are shuffles that widen bytes.
//!
//! No overflow: |sum(code * x)| of a group <= 3 * 128 * 256, code 3 and -128 included.

use crate::descriptor::{GemvGroups, KernelDescriptor};
use crate::layouts::groups1::{BLOCK_BYTES, BLOCK_K, LAYOUT};
use crate::placement::at_cache_line;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "scalar-groups",
    summary: "exact int32 sums of groups, each scaled and added with one rounding, in plain Rust",
    ..KernelDescriptor::w2ga8(&LAYOUT, gemv)
};

fn gemv(args: GemvGroups<'_>) {
    match args.rule.block() {
        None => tokens(args),
        Some(block) => blocks(args, block),
    }
}

/// One scale for all activations.
fn tokens(args: GemvGroups<'_>) {
    at_cache_line!();
    let blocks = args.group / BLOCK_K;
    let rows = args.codes.chunks_exact(args.panel_bytes).zip(args.scales.chunks_exact(args.groups));
    for (y, (codes, scales)) in args.y.iter_mut().zip(rows) {
        let groups = codes.chunks(blocks * BLOCK_BYTES).zip(args.x.chunks(args.group));
        let mut acc = 0f32;
        for ((codes, x), (&scale, &x_sum)) in groups.zip(scales.iter().zip(args.sums)) {
            let mut sum = 0i32;
            for (bytes, x) in codes.as_chunks::<BLOCK_BYTES>().0.iter().zip(x.as_chunks::<BLOCK_K>().0) {
                for (plane, x) in x.as_chunks::<16>().0.iter().enumerate() {
                    sum += plane_sum(bytes, x, plane);
                }
            }
            // Codes are weights plus one.
            acc = ((sum - x_sum) as f32).mul_add(scale, acc);
        }
        *y = acc;
    }
}

/// A scale for each block of so many activations.
fn blocks(args: GemvGroups<'_>, block: usize) {
    let (group, unit) = (args.group, args.rule.unit(args.group));
    let rows = args.codes.chunks_exact(args.panel_bytes).zip(args.scales.chunks_exact(args.groups));
    for (y, (codes, scales)) in args.y.iter_mut().zip(rows) {
        let (codes, planes) = (codes.as_chunks::<BLOCK_BYTES>().0, args.x.as_chunks::<16>().0);
        // The exact sum of the unit that begins at `from`; the last one of a row may end early.
        let sum_of = |from: usize| {
            let to = (from + unit).min(codes.len() * BLOCK_K);
            let planes = (from / 16..to / 16).map(|at| plane_sum(&codes[at / 4], &planes[at], at % 4));
            (planes.sum::<i32>() - args.sums[from / unit]) as f32
        };
        let mut acc = 0f32;
        for (g, &scale) in scales.iter().enumerate() {
            let from = g * group;
            if unit == group {
                acc = sum_of(from).mul_add(scale * args.x_scales[from / block], acc);
                continue;
            }
            let mut whole = sum_of(from) * args.x_scales[from / block];
            for at in (from + unit..(from + group).min(codes.len() * BLOCK_K)).step_by(unit) {
                whole = sum_of(at).mul_add(args.x_scales[at / block], whole);
            }
            acc = whole.mul_add(scale, acc);
        }
        *y = acc;
    }
}

/// The sum of code * x over 16 weights, a plane of a block.
#[inline(always)]
fn plane_sum(bytes: &[u8; BLOCK_BYTES], x: &[i8; 16], plane: usize) -> i32 {
    let code = |byte: u8| i32::from(byte >> (2 * plane) & 3);
    bytes.iter().zip(x).map(|(&byte, &x)| code(byte) * i32::from(x)).sum()
}
