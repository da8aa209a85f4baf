//! What is counted, how, and what comes of it.

use super::static_model::StaticModel;
use crate::scenario::Shape;
use kernels::Operation;
use receipt::CountRecord;

/// Which call of a kernel is counted.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The kernel's function: `dequantize`, `gemv` or `gemm`.
    pub op: Operation,
    /// Rows and columns.
    pub shape: Shape,
    /// Tokens of a batch; 1 but for `gemm`.
    pub tokens: usize,
    /// Seed of weights and activations.
    pub seed: u64,
}

/// What one call executed, and what a static model says of its hot loop.
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(dead_code))]
pub struct Counted {
    /// As a receipt keeps it: instructions by class and width, memory traffic, the hot loop.
    pub record: CountRecord,
    /// What a static model says of the hot loop, or why it says nothing; absent without a model or a loop.
    pub static_model: Option<Result<StaticModel, String>>,
}

/// How the child is followed. Both give the same counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Stop at branches only; the instructions between two stops are read from the code.
    Branches,
    /// Stop after every instruction: the simplest way, two to fifty times slower.
    Steps,
}
