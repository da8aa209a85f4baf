//! Which kernel call `count` counts, how the worker is followed, and the result.

use super::assembly::Assembly;
use super::static_model::StaticModel;
use crate::scenario::{Scaling, Shape};
use kernels::{Kernel, Operation};
use receipt::CountRecord;
use std::path::Path;

/// The kernel that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub id: &'a str,
    /// The library that it is in; none for one of this program's.
    pub library: Option<&'a Path>,
}

impl<'a> From<&'a Kernel> for Subject<'a> {
    fn from(kernel: &'a Kernel) -> Self {
        Self { id: kernel.id(), library: None }
    }
}

/// The kernel call whose instructions are counted: operation, shape, batch and seed.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The kernel's function: `dequantize`, `gemv` or `gemm`.
    pub op: Operation,
    /// Rows and columns of the matrix.
    pub shape: Shape,
    /// Tokens of a batch; 1 but for `gemm`.
    pub tokens: usize,
    /// Seed of weights and activations.
    pub seed: u64,
    /// What shares a scale, of kernels with scales of groups.
    pub scaling: Scaling,
}

/// What one call executed, and what a static model says of its hot loop.
pub struct Counted {
    /// As a receipt keeps it: instructions by class and width, memory traffic, the hot loop.
    pub record: CountRecord,
    /// What each static model says of the hot loop, or why it says nothing; none without a model or a loop.
    pub static_models: Vec<Result<StaticModel, String>>,
    /// Every instruction that the call executed.
    pub assembly: Assembly,
}

/// How the worker is followed while its instructions are counted. Both ways give the same counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Stop at branches only; the instructions between two stops are read from the code.
    Branches,
    /// Stop after every instruction: the simplest way, two to fifty times slower.
    Steps,
}
