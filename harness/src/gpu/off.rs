//! A program without GPUs.

use crate::cmd::generate::GenerateArgs;
use crate::cmd::perplexity::PerplexityArgs;
use crate::cmd::verify::VerifyArgs;
use crate::error::{Error, Result};
use crate::output::Output;

/// There is none.
#[derive(Debug)]
pub enum Adapter {}

impl Adapter {
    /// Says how to get a program that has some.
    pub fn find(_: Option<usize>) -> Result<Self> {
        Err(without())
    }
}

fn without() -> Error {
    let next = "build it with `cargo build --release -p harness --features gpu`";
    Error::unsupported(format!("this program was built without GPUs; {next}"))
}

/// `list devices`.
pub fn devices(_: bool, _: &Output) -> Result<()> {
    Err(without())
}

/// `list kernels --device`.
pub fn kernels(adapter: &Adapter, _: bool, _: &Output) -> Result<()> {
    match *adapter {}
}

/// `generate --device`.
pub fn generate(adapter: &Adapter, _: &GenerateArgs, _: &Output) -> Result<()> {
    match *adapter {}
}

/// `perplexity --device`.
pub fn perplexity(adapter: &Adapter, _: &PerplexityArgs, _: (&str, &str), _: &Output) -> Result<()> {
    match *adapter {}
}

/// `verify --device`.
pub fn verify(adapter: &Adapter, _: &VerifyArgs, _: &Output) -> Result<()> {
    match *adapter {}
}
