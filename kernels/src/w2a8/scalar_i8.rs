//! W2A8 reference kernel: exact int32 dot products from the I2_S layout in plain Rust, for every architecture.
//!
//! `sum(code * x) - sum(x)` equals `sum((code - 1) * x)`. No overflow: |sum(code * x)| <= 2 * 128 * k, below 2^31 for k
//! up to 8 million.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 176.50 instructions, 175.00 of them vector, 20.00 memory
//! reads. LLVM vectorises this with SSE2, which every x86-64 has: 66 of them are shuffles that widen bytes.

use crate::descriptor::{GemvI8, KernelDescriptor};
use crate::layouts::i2s;
use crate::placement::at_cache_line;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "scalar-i8",
    summary: "exact int32 dot products of codes and int8 activations in plain Rust",
    ..KernelDescriptor::w2a8(&i2s::LAYOUT, gemv)
};

fn gemv(args: GemvI8<'_>) {
    at_cache_line!();
    for (y, codes) in args.y.iter_mut().zip(args.codes.chunks_exact(args.panel_bytes)) {
        let mut sum = 0i32;
        for (bytes, x) in codes.as_chunks::<32>().0.iter().zip(args.x.as_chunks::<128>().0) {
            for (i, &byte) in bytes.iter().enumerate() {
                sum += i32::from(byte >> 6) * i32::from(x[i]);
                sum += i32::from(byte >> 4 & 3) * i32::from(x[32 + i]);
                sum += i32::from(byte >> 2 & 3) * i32::from(x[64 + i]);
                sum += i32::from(byte & 3) * i32::from(x[96 + i]);
            }
        }
        *y = sum - args.x_sum;
    }
}
