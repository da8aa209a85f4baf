//! Ladder stage 0, W2A32: shifts, masks, a table in memory, a multiplication by the scale, one weight after the other.
//!
//! `dequantize` is written as section 2.2 of the BitNet.rs analysis shows it. `gemv` fuses the same steps with the dot
//! product. Each of the four codes of a byte has its own accumulator, and blocks are summed apart, so the longest chain
//! of additions is 64 long: the error stays below (64 + 2 + k/256) half-ulps of the row's absolute sum, about 6e-6 at
//! k = 6912.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 384.00 instructions, 112.00 of them vector, 96.00 memory
//! reads. LLVM packs the four sums into xmm registers: 48 of the vector instructions are shuffles that bring table
//! entries together.
//!
//! The speed of these loops depends on where they lie, by up to 1.5 on Zen 5: see [`crate::placement`], which gives
//! them the same place in every build. Of four places this is the fastest for both loops, so that no kernel looks
//! faster because this one is placed badly.

use crate::descriptor::{Dequantize, GemvF32, KernelDescriptor};
use crate::layouts::qk256::{self, for_each_block};
use crate::placement::at_cache_line;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "scalar",
    dequantize: Some(dequantize),
    summary: "shift, mask, array table and multiply, one weight at a time, as the analysis shows it",
    ..KernelDescriptor::w2a32(&qk256::LAYOUT, gemv)
};

fn dequantize(args: Dequantize<'_>) {
    at_cache_line!(plus 32);
    let table = args.table.map(f32::from);
    for_each_block!(args, |codes, scale, out| {
        for (quad, &byte) in out.as_chunks_mut::<4>().0.iter_mut().zip(codes) {
            quad[0] = table[usize::from(byte & 3)] * scale;
            quad[1] = table[usize::from(byte >> 2 & 3)] * scale;
            quad[2] = table[usize::from(byte >> 4 & 3)] * scale;
            quad[3] = table[usize::from(byte >> 6 & 3)] * scale;
        }
    });
}

fn gemv(args: GemvF32<'_>) {
    at_cache_line!(plus 32);
    let table = args.table.map(f32::from);
    let blocks = args.row_bytes / 64;
    let rows = args.codes.chunks_exact(args.row_bytes).zip(args.scales.chunks_exact(blocks));
    for (y, (codes, scales)) in args.y.iter_mut().zip(rows) {
        let mut total = 0.0;
        for ((codes, &scale), x) in codes.as_chunks::<64>().0.iter().zip(scales).zip(args.x.as_chunks::<256>().0) {
            let mut sums = [0f32; 4];
            for (&byte, x) in codes.iter().zip(x.as_chunks::<4>().0) {
                sums[0] += table[usize::from(byte & 3)] * scale * x[0];
                sums[1] += table[usize::from(byte >> 2 & 3)] * scale * x[1];
                sums[2] += table[usize::from(byte >> 4 & 3)] * scale * x[2];
                sums[3] += table[usize::from(byte >> 6 & 3)] * scale * x[3];
            }
            total += sums[0] + sums[1] + (sums[2] + sums[3]);
        }
        *y = total;
    }
}
