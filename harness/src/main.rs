//! `harness`: runs ternary kernels through microbenchmarks and real generation.
mod error;
fn main() {}
