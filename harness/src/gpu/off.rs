//! What a program without GPUs does where others use one: nothing, because no adapter is ever found.

use super::none::{Adapter, without};
use crate::cmd::compare::{CompareArgs, MeasureArgs};
use crate::cmd::generate::GenerateArgs;
use crate::cmd::limits::LimitsArgs;
use crate::cmd::perplexity::PerplexityArgs;
use crate::cmd::verify::VerifyArgs;
use crate::error::Result;
use crate::output::Output;

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
pub fn perplexity(adapter: &Adapter, _: &PerplexityArgs, _: &Output) -> Result<()> {
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
