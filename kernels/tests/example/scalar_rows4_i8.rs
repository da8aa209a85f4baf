//! W2A8 in plain Rust on `rows4`: each activation is loaded once for four rows.
//!
//! No overflow: |sum(code * x)| <= 2 * 128 * k, below 2^31 for k up to 8 million.

use crate::layouts::rows4;
use crate::{GemvI8, KernelDescriptor};

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "scalar-rows4-i8",
    tile: (4, 1),
    builds_on: Some("scalar-i8"),
    summary: "four rows share each activation",
    ..KernelDescriptor::w2a8(&rows4::LAYOUT, gemv)
};

fn gemv(args: GemvI8<'_>) {
    // The last panel may have rows that nobody asked for.
    for (y, codes) in args.y.chunks_mut(4).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let mut sums = [0i32; 4];
        for (&byte, &x) in codes.iter().zip(args.x) {
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum += i32::from(byte >> (2 * r) & 3) * i32::from(x);
            }
        }
        // Codes 0, 1, 2 stand for -1, 0, +1.
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = sum - args.x_sum);
    }
}
