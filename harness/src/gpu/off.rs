//! A program without GPUs.

use crate::cmd::compare::{CompareArgs, MeasureArgs};
use crate::cmd::limits::LimitsArgs;
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

/// `verify --device`.
pub fn verify(adapter: &Adapter, _: &VerifyArgs, _: &Output) -> Result<()> {
    match *adapter {}
}

/// `compare --device`.
pub fn compare(adapter: &Adapter, _: &CompareArgs, _: &Output) -> Result<()> {
    match *adapter {}
}

/// `micro --device`.
pub fn micro(adapter: &Adapter, _: &MeasureArgs, _: &Output) -> Result<()> {
    match *adapter {}
}

/// `limits --device`.
pub fn limits(adapter: &Adapter, _: &LimitsArgs, _: &Output) -> Result<()> {
    match *adapter {}
}
