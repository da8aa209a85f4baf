//! The adapter of a program without GPUs: there is none.

use crate::error::{Error, Result};

/// There is none.
#[derive(Debug)]
pub enum Adapter {}

impl Adapter {
    /// Says how to get a program that has some.
    pub fn find(_: Option<usize>) -> Result<Self> {
        Err(without())
    }
}

/// What to build.
pub fn without() -> Error {
    let next = "build it with `cargo build --release -p harness --features gpu`";
    Error::unsupported(format!("this program was built without GPUs; {next}"))
}
