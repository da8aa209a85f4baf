//! `harness`: runs ternary kernels through microbenchmarks and real generation.
#![allow(dead_code)] // until every module is reached from the command line
mod error;
mod model;
fn main() {}
