//! A case of the suite, what its results may differ by, and what is wrong with one.

use super::compare::{Errors, Expected, compare};
use super::pattern::Pattern;
use crate::activation::ActivationRule;
use crate::buffer::{AlignedBuffer, Plain};
use crate::error::KernelError;
use crate::foreign::fault::Fault;
use crate::layout::Layout;
use crate::packed::{CodeTable, Scales};
use crate::random::SplitMix64;
use half::f16;

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
    pub(crate) scales: CaseScales,
    /// Which activations share a scale.
    pub(crate) rule: ActivationRule,
    /// Of everything random.
    pub(crate) seed: u64,
}

/// The scales of a case, all with mantissas as full as random gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaseScales {
    /// One for the tensor.
    Tensor,
    /// One for each row.
    Rows,
    /// One for each so many weights of a row.
    Groups(usize),
    /// The same, in turn: the largest f16, a subnormal f16 and a subnormal f32, both zeros, a negative one, a usual
    /// one.
    Extreme(usize),
}

impl CaseScales {
    /// The scales of so many rows, for a layout that holds f16 alone as such.
    pub(super) fn fill(self, layout: &Layout, [rows, k]: [usize; 2], random: &mut SplitMix64) -> Scales {
        let halves = layout.half_scale.is_some();
        let held = |scale: f32| if halves { f16::from_f32(scale).to_f32() } else { scale };
        let mut usual = |_| held(0.5 + random.signed_unit() / 4.0);
        match self {
            Self::Tensor => Scales::PerTensor(usual(0)),
            Self::Rows => Scales::PerRow((0..rows).map(usual).collect()),
            Self::Groups(group) => {
                Scales::PerGroup { group, values: (0..rows * k.div_ceil(group)).map(usual).collect() }
            }
            Self::Extreme(group) => {
                let least = held(f32::from_bits(3));
                let scale = |i| [65504.0, 5.960_464_5e-8, least, 0.0, -0.0, held(-usual(i) / 3.0), usual(i)][i % 7];
                Scales::PerGroup { group, values: (0..rows * k.div_ceil(group)).map(scale).collect() }
            }
        }
    }
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
