//! `harness`: runs ternary kernels through microbenchmarks and real generation.
#[allow(dead_code)]
mod error;
#[allow(dead_code)]
mod files;
#[allow(dead_code, unused_imports)]
mod receipt;
#[allow(dead_code, unused_imports)]
mod report;
fn main() {}
