//! Kernels of a library that somebody else wrote, as `kernels/include/tritbench.h` describes them. Nothing here loads a
//! library: whoever did hands over what its `tb_kernels` gave.
//!
//! A foreign kernel becomes an ordinary [`KernelDescriptor`] whose gemv is [`Gemv::Foreign`], so [`crate::Kernel`] stays
//! the only caller, and suite, measurements and models take it as any other. What differs is here: weights are packed by
//! the library, activations are prepared once a token, and every call may fail.

pub mod abi;
mod call;
mod check;
mod products;
#[cfg(test)]
mod tests;
mod watch;

pub use check::BadField;
pub use products::{Prepared, Work};
pub use watch::{CALLS, Note, look_after_each, note_in, noted};

use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemv, KernelDescriptor};
use crate::layout::Layout;
use crate::operation::Family;
use abi::{F32, Shape, TIGHT, TbKernel, W2A8};
use std::ffi::c_void;
use std::fmt;
use std::sync::{Mutex, RwLock};

/// A plan of a library for a shape.
#[derive(Clone, Copy, Debug)]
struct Plan(*mut c_void);

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
    /// The layout of ours that it reads; its own if absent.
    pub ours: Option<&'static Layout>,
    raw: TbKernel,
    plans: RwLock<Vec<(Shape, Plan)>>,
    /// Held during a call of a kernel that is not thread safe.
    alone: Mutex<()>,
}

// SAFETY: the pointers in `raw` are to constant texts and functions of a library that stays loaded, and calls are made
// as the library's flags allow.
unsafe impl Send for ForeignKernel {}
// SAFETY: as above; what changes is behind locks.
unsafe impl Sync for ForeignKernel {}

/// What a foreign call did that is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It said that it cannot.
    Refused(String),
    /// It did what the header forbids.
    Wrong(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(what) | Self::Wrong(what)) = self;
        f.write_str(what)
    }
}

impl ForeignKernel {
    /// The kernels with which this one is compared.
    pub fn family(&self) -> Family {
        if self.raw.family == W2A8 { Family::W2A8 } else { Family::W2A32 }
    }

    /// Whether it has a product for batches.
    pub fn has_gemm(&self) -> bool {
        self.raw.gemm.is_some()
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

    /// Most tokens of one call of gemm; none if any number will do.
    pub fn max_tokens(&self) -> Option<usize> {
        (self.raw.max_tokens > 0).then(|| usize::try_from(self.raw.max_tokens).unwrap_or(usize::MAX))
    }

    fn tight_tokens(&self) -> bool {
        self.raw.prepared_stride == TIGHT
    }

    fn tight_results(&self) -> bool {
        self.raw.y_stride == TIGHT
    }

    /// The kernel as the rest of the program takes it. It stays until the process ends, as its library does.
    pub fn describe(self) -> &'static KernelDescriptor {
        let this: &'static Self = Box::leak(Box::new(self));
        let layout = this.ours.unwrap_or_else(|| {
            let (rows, block_k) = (this.rows_multiple(), this.k_multiple());
            let own = Layout { name: this.id, rows, block_k, foreign: Some(this), ..Layout::PLAIN };
            Box::leak(Box::new(own))
        });
        Box::leak(Box::new(KernelDescriptor {
            id: this.id,
            isa: this.isa,
            requires: this.requires,
            builds_on: this.builds_on,
            summary: this.summary,
            ..KernelDescriptor::foreign(layout, Gemv::Foreign(this))
        }))
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
