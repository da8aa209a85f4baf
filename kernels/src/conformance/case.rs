//! A case of the suite, what its results may differ by, and what is wrong with one.

use super::compare::{Errors, Expected, compare};
use super::pattern::Pattern;
use crate::buffer::{AlignedBuffer, Plain};
use crate::error::KernelError;
use crate::foreign::fault::Fault;
use crate::packed::CodeTable;

/// Allowed error of f32 kernels relative to the row's sum of absolute terms. The longest chain of f32 additions in any
/// stage is 64 within a block and 27 over the blocks of k = 6912, which bounds the error by 91 half-ulps, 5.5e-6.
pub const F32_BOUND: f64 = 1e-5;

/// What one call of a kernel is tried with.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rows: usize,
    pub(crate) k: usize,
    pub(crate) pattern: Pattern,
    pub(crate) table: CodeTable,
    /// Random scales by block instead of one for the tensor.
    pub(crate) block_scales: bool,
    /// Of everything random.
    pub(crate) seed: u64,
}

/// What is wrong with a case, and the differences that were found.
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(super) errors: Errors,
    /// Whether it is no result at all: a foreign kernel said that it cannot.
    pub(super) refused: bool,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, errors: Errors::default(), refused: false }
    }
}

impl From<KernelError> for Wrong {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Foreign { fault: Fault::Refused(_), .. } => {
                Self { refused: true, ..Self::from(format!("refused: {error}")) }
            }
            // It says itself what is wrong.
            KernelError::Foreign { .. } => error.to_string().into(),
            error => format!("refused: {error}").into(),
        }
    }
}

/// Compares as [`compare()`] does; `place` names the element of an index.
pub(super) fn compare_named<T: Copy + Into<f64>>(
    got: &[T],
    bound: f64,
    oracle: impl Fn(usize) -> Expected,
    place: impl Fn(usize) -> String,
) -> Result<Errors, Wrong> {
    compare(got, bound, oracle).map_err(|mismatch| {
        let what = format!("{}: {mismatch}", place(mismatch.index));
        Wrong { what, errors: mismatch.errors, refused: false }
    })
}

/// Room for a result, poisoned: what is not written is noticed.
pub(super) fn filled<T: Plain>(len: usize, poison: T) -> AlignedBuffer<T> {
    AlignedBuffer::from(&vec![poison; len][..])
}
