//! The calls themselves: each noted before it is made, its result read, and what it left behind looked at.

use super::abi::{Activations, Shape, THREAD_SAFE, Weights};
use super::fault::Fault;
use super::kernel::{ForeignKernel, Plan};
use super::watch::{Call, called, left_behind};
use crate::error::KernelError;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::{MutexGuard, PoisonError};

/// Most bytes of packed weights for each weight, of prepared activations for each activation, and besides.
const MOST_BYTES_A_WEIGHT: u64 = 16;
const MOST_BYTES_AN_ACTIVATION: u64 = 64;
const MOST_BYTES_BESIDES: u64 = 64 << 10;

/// A batch of prepared tokens and where its results go.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub prepared: *const u8,
    pub prepared_stride: usize,
    pub tokens: usize,
    pub y: *mut u8,
    /// In elements of 4 bytes.
    pub y_stride: usize,
}

impl ForeignKernel {
    /// A failure of a call, in words.
    pub(super) fn failed(&self, call: Call, shape: Shape, fault: Fault) -> KernelError {
        let Shape { rows, k } = shape;
        KernelError::Foreign { kernel: self.id, call: call.name(), rows, k, fault }
    }

    /// What a call that is not timed returned, and what it left behind.
    fn outcome(&self, call: Call, shape: Shape, code: i32) -> Result<(), KernelError> {
        if let Some(left) = left_behind() {
            return Err(self.failed(call, shape, Fault::Wrong(left)));
        }
        self.result(call, shape, code)
    }

    #[inline]
    fn result(&self, call: Call, shape: Shape, code: i32) -> Result<(), KernelError> {
        if code == 0 { Ok(()) } else { Err(self.refused(call, shape, code)) }
    }

    #[cold]
    fn refused(&self, call: Call, shape: Shape, code: i32) -> KernelError {
        let what = match code {
            1 => "TB_UNSUPPORTED".into(),
            2 => "TB_SHAPE".into(),
            3 => "TB_CODE".into(),
            4 => "TB_SCALES".into(),
            5 => "TB_MEMORY".into(),
            6 => "TB_INTERNAL".into(),
            other => format!("{other}, which is no result of tritbench.h"),
        };
        self.failed(call, shape, Fault::Refused(what))
    }

    /// Held during a call where the library wants one at a time.
    fn alone(&self) -> Option<MutexGuard<'_, ()>> {
        let together = self.raw.flags & THREAD_SAFE != 0;
        (!together).then(|| self.alone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The plan for a shape, opened when it is first asked for. Not timed the first time.
    pub(super) fn plan(&self, shape: Shape) -> Result<Plan, KernelError> {
        let Some(open) = self.raw.open else { return Ok(Plan(ptr::null_mut())) };
        let known = |plans: &[(Shape, Plan)]| plans.iter().find(|(of, _)| *of == shape).map(|(_, plan)| *plan);
        if let Some(plan) = known(&self.plans.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(plan);
        }
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = known(&plans) {
            return Ok(plan);
        }
        let mut plan = ptr::null_mut();
        // SAFETY: the library's own function, given a shape and a place for a pointer, as the header says.
        let code = called(Call::Open, shape.rows, shape.k, 0, || unsafe { open(&shape, &mut plan) });
        self.outcome(Call::Open, shape, code)?;
        plans.push((shape, Plan(plan)));
        Ok(Plan(plan))
    }

    /// Closes all plans: for when no weights of this kernel are left.
    ///
    /// # Errors
    /// What closing left behind.
    pub fn close_plans(&self) -> Result<(), KernelError> {
        let plans = std::mem::take(&mut *self.plans.write().unwrap_or_else(PoisonError::into_inner));
        for (shape, Plan(plan)) in plans {
            if let Some(close) = self.raw.close {
                // SAFETY: a plan that the library's `open` made, closed once.
                called(Call::Close, shape.rows, shape.k, 0, || unsafe { close(plan) });
                self.outcome(Call::Close, shape, 0)?;
            }
        }
        Ok(())
    }

    /// Bytes of the packed weights.
    pub(crate) fn packed_bytes(&self, rows: usize, k: usize) -> Result<usize, KernelError> {
        let shape = Shape { rows: rows as u64, k: k as u64 };
        self.require(shape, Call::PackedBytes)?;
        let Some(packed_bytes) = self.raw.packed_bytes else { return Ok(0) };
        let (plan, mut bytes) = (self.plan(shape)?, 0);
        // SAFETY: the library's own function with its plan, a shape and a place for a number.
        let code =
            called(Call::PackedBytes, shape.rows, shape.k, 0, || unsafe { packed_bytes(plan.0, &shape, &mut bytes) });
        self.outcome(Call::PackedBytes, shape, code)?;
        let most = shape.rows.saturating_mul(shape.k).saturating_mul(MOST_BYTES_A_WEIGHT);
        self.bounded(Call::PackedBytes, shape, bytes, most)
    }

    /// Bytes of a prepared token.
    pub(super) fn prepared_bytes(&self, shape: Shape) -> Result<usize, KernelError> {
        let Some(prepared_bytes) = self.raw.prepared_bytes else { return Ok(0) };
        let (plan, mut bytes) = (self.plan(shape)?, 0);
        // SAFETY: as above.
        let code =
            called(Call::PreparedBytes, 0, shape.k, 0, || unsafe { prepared_bytes(plan.0, shape.k, &mut bytes) });
        self.outcome(Call::PreparedBytes, shape, code)?;
        self.bounded(Call::PreparedBytes, shape, bytes, shape.k.saturating_mul(MOST_BYTES_AN_ACTIVATION))
    }

    fn bounded(&self, call: Call, shape: Shape, bytes: u64, most: u64) -> Result<usize, KernelError> {
        let most = most.saturating_add(MOST_BYTES_BESIDES);
        if bytes <= most {
            return Ok(bytes as usize);
        }
        Err(self.failed(call, shape, Fault::Wrong(format!("gives {bytes} bytes, of at most {most} for this shape"))))
    }

    /// That the fields say nothing against this shape.
    fn require(&self, shape: Shape, call: Call) -> Result<(), KernelError> {
        if self.takes(shape.rows as usize, shape.k as usize) {
            return Ok(());
        }
        let (rows, k, most) = (self.raw.rows_multiple, self.raw.k_multiple, self.raw.max_k);
        let bound = if most == 0 { String::new() } else { format!(", k up to {most}") };
        let what = format!("not called: it takes rows that are a multiple of {rows}, k of {k}{bound}");
        Err(self.failed(call, shape, Fault::Refused(what)))
    }

    /// Packs codes with their scales into `packed`, which has as many bytes as [`Self::packed_bytes`] says.
    pub(super) fn pack(
        &self,
        shape: Shape,
        codes: &[u8],
        scales: &[f32],
        packed: &mut [u8],
    ) -> Result<(), KernelError> {
        let Some(pack) = self.raw.pack else { return Ok(()) };
        let plan = self.plan(shape)?;
        let weights = Weights { codes: codes.as_ptr(), scales: scales.as_ptr() };
        let to = packed.as_mut_ptr().cast::<c_void>();
        // SAFETY: the library's own function; codes, scales and `packed` have the lengths that the header says.
        let code = called(Call::Pack, shape.rows, shape.k, 0, || unsafe { pack(plan.0, &shape, &weights, to) });
        self.outcome(Call::Pack, shape, code)
    }

    /// Prepares one token to `prepared`, which has room for [`Self::prepared_bytes`].
    ///
    /// # Safety
    /// That room; and `x` is as the header says for this family and k.
    #[inline]
    pub(super) unsafe fn prepare(&self, shape: Shape, x: &Activations, prepared: *mut u8) -> Result<(), KernelError> {
        let Some(prepare) = self.raw.prepare else { return Ok(()) };
        let (plan, _alone) = (self.plan(shape)?, self.alone());
        let to = prepared.cast::<c_void>();
        // SAFETY: by the contract above.
        let code = called(Call::Prepare, shape.rows, shape.k, 1, || unsafe { prepare(plan.0, shape.k, x, to) });
        self.result(Call::Prepare, shape, code)
    }

    /// Products of these rows with the one prepared token of a batch: `rows.len()` elements of 4 bytes.
    ///
    /// # Safety
    /// `packed` was packed for this shape, the batch has a prepared token of its k and room for the results, and the
    /// rows are those of the shape and begin and end at a multiple of [`Self::rows_multiple`].
    #[inline]
    pub(super) unsafe fn gemv(
        &self,
        shape: Shape,
        packed: *const u8,
        rows: Range<usize>,
        batch: Batch,
    ) -> Result<(), KernelError> {
        let Some(gemv) = self.raw.gemv else { return Ok(()) };
        let (plan, _alone) = (self.plan(shape)?, self.alone());
        let Batch { prepared, y, .. } = batch;
        let (begin, end) = (rows.start as u64, rows.end as u64);
        // SAFETY: by the contract above.
        let code = called(Call::Gemv, shape.rows, shape.k, 1, || unsafe {
            gemv(plan.0, &shape, packed.cast(), prepared.cast(), begin, end, y.cast())
        });
        self.result(Call::Gemv, shape, code)
    }

    /// Products of these rows with a batch of prepared tokens.
    ///
    /// # Safety
    /// As [`Self::gemv`] for each token of the batch, which has no more than [`Self::max_tokens`].
    #[inline]
    pub(super) unsafe fn gemm(
        &self,
        shape: Shape,
        packed: *const u8,
        rows: Range<usize>,
        batch: Batch,
    ) -> Result<(), KernelError> {
        let Some(gemm) = self.raw.gemm else { return Ok(()) };
        let (plan, _alone) = (self.plan(shape)?, self.alone());
        let Batch { prepared, prepared_stride, tokens, y, y_stride } = batch;
        let (begin, end, tokens) = (rows.start as u64, rows.end as u64, tokens as u64);
        let (packed, prepared, y) = (packed.cast(), prepared.cast(), y.cast());
        let (prepared_stride, y_stride) = (prepared_stride as u64, y_stride as u64);
        // SAFETY: by the contract above.
        let code = called(Call::Gemm, shape.rows, shape.k, tokens, || unsafe {
            gemm(plan.0, &shape, packed, prepared, prepared_stride, tokens, begin, end, y, y_stride)
        });
        self.result(Call::Gemm, shape, code)
    }

    /// What a timed call of this kernel left behind, looked at when nobody takes the time.
    pub(super) fn look(&self, call: Call, shape: Shape) -> Result<(), KernelError> {
        self.outcome(call, shape, 0)
    }
}
