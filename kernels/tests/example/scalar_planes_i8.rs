//! W2A8 in plain Rust, one bit plane of a block after the other, so that the inner loop has one shift and no branches.
//!
//! No overflow: |sum(code * x)| <= 2 * 128 * k, below 2^31 for k up to 8 million.

use crate::{GemvI8, KernelDescriptor, layouts};

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "scalar-planes-i8",
    builds_on: Some("scalar-i8"),
    summary: "one bit plane of 32 codes after the other",
    ..KernelDescriptor::w2a8(&layouts::I2S, gemv)
};

fn gemv(args: GemvI8<'_>) {
    for (y, codes) in args.y.iter_mut().zip(args.codes.chunks_exact(args.panel_bytes)) {
        let mut sum = 0i32;
        for (bytes, x) in codes.as_chunks::<32>().0.iter().zip(args.x.as_chunks::<128>().0) {
            for (plane, x) in x.as_chunks::<32>().0.iter().enumerate() {
                // Element j of a block is in byte j % 32, the first 32 elements in the top bits.
                let shift = 6 - 2 * plane;
                sum += bytes.iter().zip(x).map(|(&byte, &x)| i32::from(byte >> shift & 3) * i32::from(x)).sum::<i32>();
            }
        }
        // Codes 0, 1, 2 stand for -1, 0, +1.
        *y = sum - args.x_sum;
    }
}
