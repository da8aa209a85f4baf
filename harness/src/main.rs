//! `harness`: runs ternary kernels through microbenchmarks and real generation.
mod error;
#[allow(dead_code)]
mod model;
#[allow(dead_code, unused_imports)]
mod receipt;
fn main() {}
