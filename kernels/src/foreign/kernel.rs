//! A foreign kernel: what its library said of it, checked, and the plans that it keeps.

use super::abi::{self, F32, Shape, TIGHT, TbKernel, W2A8};
use crate::cpu::CpuFeatures;
use crate::operation::Family;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Mutex, RwLock};

/// A plan of a library for a shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan(pub(super) *mut c_void);

// SAFETY: the library promises that calls on a plan may come from any thread; where it does not promise that they may
// come at once, `call` makes them one at a time.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

/// A kernel of a foreign library whose fields were checked ([`ForeignKernel::read`]).
pub struct ForeignKernel {
    /// Its name.
    pub id: &'static str,
    /// Instruction set by which reports group it.
    pub isa: &'static str,
    /// CPU features that it was compiled for.
    pub requires: CpuFeatures,
    /// The kernel that it improves on.
    pub builds_on: Option<&'static str>,
    /// One sentence about it.
    pub summary: &'static str,
    /// Project, version, licence.
    pub origin: Option<&'static str>,
    /// What built it.
    pub compiler: Option<&'static str>,
    /// Name of the layout of ours that it reads; its own if absent.
    pub ours: Option<&'static str>,
    pub(super) raw: TbKernel,
    pub(super) plans: RwLock<Vec<(Shape, Plan)>>,
    /// Held during a call of a kernel that is not thread safe.
    pub(super) alone: Mutex<()>,
}

// SAFETY: the pointers in `raw` are to constant texts and functions of a library that stays loaded, and calls are made
// as the library's flags allow.
unsafe impl Send for ForeignKernel {}
// SAFETY: as above; what changes is behind locks.
unsafe impl Sync for ForeignKernel {}

impl ForeignKernel {
    /// The kernels with which this one is compared.
    pub fn family(&self) -> Family {
        if self.raw.family == W2A8 { Family::W2A8 } else { Family::W2A32 }
    }

    /// Whether it has a product for batches.
    pub fn has_gemm(&self) -> bool {
        self.raw.gemm.is_some()
    }

    /// Whether one scale is all that it can apply. What writes integers applies none: whoever calls it does.
    pub fn takes_one_scale(&self) -> bool {
        self.raw.family != W2A8 && self.raw.weight_group == abi::TENSOR
    }

    /// Whether it writes f32 with all scales applied, and not integers.
    pub fn writes_floats(&self) -> bool {
        self.raw.output == F32
    }

    /// Whether it takes matrices of this shape, as far as its fields say.
    pub fn takes(&self, rows: usize, k: usize) -> bool {
        let k_bound = if self.raw.max_k == 0 { u64::MAX } else { self.raw.max_k };
        rows.is_multiple_of(self.rows_multiple())
            && k.is_multiple_of(self.raw.k_multiple as usize)
            && k as u64 <= k_bound
    }

    /// Both ends of a range of rows are multiples of it.
    pub fn rows_multiple(&self) -> usize {
        self.raw.rows_multiple as usize
    }

    /// Columns of a matrix are a multiple of it.
    pub fn k_multiple(&self) -> usize {
        self.raw.k_multiple as usize
    }

    /// Weights of a row that share a scale, in words for records: `tensor`, `row` or their number.
    pub fn weight_group(&self) -> String {
        group_in_words(self.raw.weight_group)
    }

    /// Activations that share a scale, in words for records: `token` or their number.
    pub fn act_group(&self) -> String {
        if self.raw.act_group == abi::TENSOR { "token".into() } else { self.raw.act_group.to_string() }
    }

    /// Weights of a group that has a scale, where it applies scales to int8 sums and knows groups.
    pub(super) fn group(&self) -> Option<usize> {
        let applies = self.raw.family == W2A8 && self.writes_floats();
        let groups = ![abi::TENSOR, abi::ROW].contains(&self.raw.weight_group);
        (applies && groups).then_some(self.raw.weight_group as usize)
    }

    /// Most tokens of one call of gemm; none if any number will do.
    pub fn max_tokens(&self) -> Option<usize> {
        (self.raw.max_tokens > 0).then(|| usize::try_from(self.raw.max_tokens).unwrap_or(usize::MAX))
    }

    pub(super) fn tight_tokens(&self) -> bool {
        self.raw.prepared_stride == TIGHT
    }

    pub(super) fn tight_results(&self) -> bool {
        self.raw.y_stride == TIGHT
    }

    /// Address of the function that computes this operation, for whoever follows its instructions.
    pub fn entry(&self, batch: bool) -> Option<usize> {
        if batch { self.raw.gemm.map(|f| f as usize) } else { self.raw.gemv.map(|f| f as usize) }
    }
}

fn group_in_words(group: u32) -> String {
    match group {
        abi::TENSOR => "tensor".into(),
        abi::ROW => "row".into(),
        group => group.to_string(),
    }
}

impl fmt::Debug for ForeignKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignKernel({})", self.id)
    }
}
