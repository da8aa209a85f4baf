//! tritbench with a kernel of one's own: `cargo run -- compare --kernels scalar-i8,own-i8`.
//!
//! A kernel is a function over packed codes and a descriptor that says what it is. This one reads the layout of the
//! published files: 128 columns of a row are 32 bytes, and byte j holds the codes of columns j, j + 32, j + 64 and
//! j + 96, the first in the highest bits. Everything else is the library's: the suite, the rounds, the report.

use kernels::{GemvI8, KernelDescriptor, layouts};
use std::process::ExitCode;

const BLOCK_K: usize = 128;
const BLOCK_BYTES: usize = 32;

/// Four sums for each block, one a plane; the weight of code c is c - 1, so the sum of the activations comes off.
fn own_i8(args: GemvI8<'_>) {
    for (y, row) in args.y.iter_mut().zip(args.codes.chunks_exact(args.panel_bytes)) {
        let mut sum = 0;
        for (codes, x) in row.chunks_exact(BLOCK_BYTES).zip(args.x.chunks_exact(BLOCK_K)) {
            for (plane, x) in x.chunks_exact(BLOCK_BYTES).enumerate() {
                let shift = 6 - 2 * plane;
                let products = codes.iter().zip(x).map(|(&byte, &x)| i32::from(byte >> shift & 3) * i32::from(x));
                sum += products.sum::<i32>();
            }
        }
        *y = sum - args.x_sum;
    }
}

static OWN_I8: KernelDescriptor = KernelDescriptor {
    id: "own-i8",
    builds_on: Some("scalar-i8"),
    summary: "A loop over the planes of a block, which the compiler vectorises",
    ..KernelDescriptor::w2a8(&layouts::I2S, own_i8)
};

fn main() -> ExitCode {
    harness::main(&[&OWN_I8])
}
