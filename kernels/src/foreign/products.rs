//! Operands of foreign kernels: weights that the library packs, and products with tokens that it prepares.

use super::abi::Shape;
use super::call::Batch;
use super::canary::{BEHIND_BYTES, CANARY, Output, POISON};
use super::fault::Fault;
use super::kernel::ForeignKernel;
use super::prepared::{Prepared, shape_of};
use super::watch::{Call, is_in_series};
use crate::activation::{FloatActivations, QuantizedActivations};
use crate::buffer::AlignedBuffer;
use crate::error::{KernelError, fits, same};
use crate::guarded;
use crate::packed::PackedWeights;
use crate::parallel::{Columns, StridedStart, Team, row_range};
use std::ops::Range;
use std::ptr;

/// Weights and the tokens that they are multiplied with, both of one foreign kernel.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The matrix, as the kernel's library packed it.
    pub weights: &'a PackedWeights,
    /// The tokens, as it prepared them.
    pub prepared: &'a Prepared,
}

impl ForeignKernel {
    /// The weights as the library packs them, with these scales, or one for each unit that it has; all are 1 where
    /// none are given, so that sums of int8 are integers.
    pub(crate) fn packed(
        &self,
        [rows, k]: [usize; 2],
        codes: &[u8],
        scales: Option<&[f32]>,
    ) -> Result<PackedCodes, KernelError> {
        let shape = Shape { rows: rows as u64, k: k as u64 };
        let used = self.packed_bytes(rows, k)?;
        let align = self.raw.packed_align as usize;
        // From there on a buffer lies on pages of its own, at a multiple of every alignment.
        let least = if align > BEHIND_BYTES { 2 << 20 } else { 0 };
        let room = if guarded::active() { used.next_multiple_of(align) } else { used.max(least) };
        let mut bytes = AlignedBuffer::<u8>::zeroed(room);
        let wrong = |fault| self.failed(Call::Pack, shape, fault);
        if used > 0 && !bytes.as_ptr().addr().is_multiple_of(align) {
            return Err(wrong(Fault::Refused(format!("not called: no memory at a multiple of {align} bytes"))));
        }
        let scales = match scales {
            None => vec![1.0; self.weight_scales(shape)],
            Some([one]) => vec![*one; self.weight_scales(shape)],
            Some(all) => all.to_vec(),
        };
        same("scales", self.weight_scales(shape), scales.len())?;
        let (scales, codes) = (AlignedBuffer::from(&scales[..]), AlignedBuffer::from(codes));
        bytes[used..].fill(CANARY);
        self.pack(shape, &codes, &scales, &mut bytes)?;
        if bytes[used..].iter().any(|&byte| byte != CANARY) {
            return Err(wrong(Fault::Wrong(format!("writes behind the {used} bytes of the packed weights"))));
        }
        Ok(PackedCodes { bytes, used })
    }

    /// Exact integer products of these rows. Prepares `x` for this call alone; whoever times it keeps a [`Prepared`].
    pub(crate) fn gemv_i8(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &QuantizedActivations,
        y: &mut [i32],
    ) -> Result<(), KernelError> {
        if is_in_series()
            && let Some(done) = self.gemv_in_series(weights, rows.clone(), x, y)
        {
            return done;
        }
        let mut prepared = Prepared::new(self, weights, 1)?;
        // SAFETY: the activations are borrowed until this function returns.
        unsafe { prepared.set([x])? };
        prepared.check()?;
        let words = self.words(weights, rows, &prepared)?;
        self.integers(weights, Call::Gemv, &words, y)
    }

    /// Products of f32 activations.
    pub(crate) fn gemv_f32(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &FloatActivations,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let mut prepared = Prepared::new(self, weights, 1)?;
        // SAFETY: the activations are borrowed until this function returns.
        unsafe { prepared.set_float(x)? };
        prepared.check()?;
        let words = self.words(weights, rows, &prepared)?;
        as_floats(&words, y);
        Ok(())
    }

    /// Products of int8 activations with all scales, of weights that were packed with those of groups.
    pub(crate) fn gemv_groups(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &QuantizedActivations,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let mut prepared = Prepared::new(self, weights, 1)?;
        // SAFETY: the activations are borrowed until this function returns.
        unsafe { prepared.set([x])? };
        prepared.check()?;
        let words = self.words(weights, rows, &prepared)?;
        as_floats(&words, y);
        Ok(())
    }

    /// What gemv writes for these rows, as it lies there: to a whole number of the library's rows.
    fn words(&self, weights: &PackedWeights, rows: Range<usize>, prepared: &Prepared) -> Result<Output, KernelError> {
        let whole = rows.start..rows.end.next_multiple_of(self.rows_multiple()).min(weights.rows());
        let before = prepared.buffer.to_vec();
        let mut output = Output::poisoned(whole.len());
        self.gemv_words(&Work { weights, prepared }, whole, output.words())?;
        self.look(Call::Gemv, shape_of(weights))?;
        output.check(self, Call::Gemv, shape_of(weights))?;
        prepared.unchanged(&before, Call::Gemv)?;
        Ok(output)
    }

    /// What gemv writes for these rows and the first prepared token. Timed: it allocates nothing.
    ///
    /// # Errors
    /// What the library says, or operands that do not belong together.
    #[inline]
    pub fn gemv_words(&self, work: &Work<'_>, rows: Range<usize>, y: &mut [i32]) -> Result<(), KernelError> {
        let Work { weights, prepared } = *work;
        let shape = shape_of(weights);
        self.belong(shape, &rows, prepared)?;
        same("output", rows.len(), y.len())?;
        fits("prepared tokens", prepared.tokens, 1)?;
        let batch = Batch {
            prepared: prepared.buffer.as_ptr(),
            prepared_stride: prepared.stride,
            tokens: 1,
            y: y.as_mut_ptr().cast(),
            y_stride: rows.len(),
        };
        // SAFETY: the token was prepared for this shape, the rows were checked to be whole multiples within it, and `y`
        // has an element for each.
        unsafe { self.gemv(shape, weights.codes_start(), rows, batch) }
    }

    /// What gemm writes for these rows and all prepared tokens, `y_stride` elements apart, in calls of no more tokens
    /// than the library takes. Timed: it allocates nothing.
    ///
    /// # Errors
    /// As [`Self::gemv_words`].
    #[inline]
    pub fn gemm_words(
        &self,
        work: &Work<'_>,
        rows: Range<usize>,
        y: &mut [i32],
        y_stride: usize,
    ) -> Result<(), KernelError> {
        let prepared = work.prepared;
        same("output", y_stride * prepared.tokens, y.len())?;
        fits("elements of a token", y_stride, rows.len())?;
        // SAFETY: every token has room for the rows, as was just checked.
        unsafe { self.gemm_to(work, rows, y.as_mut_ptr(), y_stride) }
    }

    /// As [`Self::gemm_words`] for all rows, which the team shares where the library takes any stride.
    ///
    /// # Errors
    /// As [`Self::gemv_words`].
    pub fn gemm_by(&self, team: &mut Team, work: &Work<'_>, y: &mut [i32]) -> Result<(), KernelError> {
        let Work { weights, prepared } = *work;
        let (rows, tokens) = (weights.rows(), prepared.tokens);
        if team.threads() == 1 || self.tight_results() {
            return self.gemm_words(work, 0..rows, y, rows);
        }
        same("output", rows * tokens, y.len())?;
        let (threads, panel_rows, start) = (team.threads(), weights.layout().rows, StridedStart::new(y, rows));
        team.try_run(|number| {
            let range = row_range(rows, panel_rows, threads, number);
            if range.is_empty() {
                return Ok(());
            }
            // SAFETY: ranges of different numbers are disjoint and each number runs once; `y` is borrowed until
            // `try_run` returns.
            let mut columns = unsafe { start.columns(range.clone(), tokens) };
            let (y, y_stride) = columns.start_and_stride();
            // SAFETY: these columns of every token are this thread's.
            unsafe { self.gemm_to(work, range, y, y_stride) }
        })
    }

    /// # Safety
    /// At `y`, `rows.len()` elements of each token, `y_stride` apart, may be written.
    pub(super) unsafe fn gemm_to(
        &self,
        work: &Work<'_>,
        rows: Range<usize>,
        y: *mut i32,
        y_stride: usize,
    ) -> Result<(), KernelError> {
        let Work { weights, prepared } = *work;
        let shape = shape_of(weights);
        self.belong(shape, &rows, prepared)?;
        let most = self.max_tokens().unwrap_or(usize::MAX);
        let mut first = 0;
        while first < prepared.tokens {
            let tokens = most.min(prepared.tokens - first);
            let from = prepared.buffer[first * prepared.stride..].as_ptr();
            let y = y.wrapping_add(first * y_stride).cast();
            let batch = Batch { prepared: from, prepared_stride: prepared.stride, tokens, y, y_stride };
            // SAFETY: as in `gemv_words`, for each of these tokens.
            unsafe { self.gemm(shape, weights.codes_start(), rows.clone(), batch)? };
            first += tokens;
        }
        Ok(())
    }

    #[inline]
    fn belong(&self, shape: Shape, rows: &Range<usize>, prepared: &Prepared) -> Result<(), KernelError> {
        let ours = ptr::eq(prepared.kernel, self) && prepared.shape == shape;
        same("shape of the prepared tokens", 1, usize::from(ours))?;
        fits("rows", shape.rows as usize, rows.end)?;
        let multiple = self.rows_multiple();
        same("rows beyond a multiple", 0, rows.start % multiple + rows.end % multiple)
    }

    /// Integer products of a batch.
    pub(crate) fn gemm_i8(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &[QuantizedActivations],
        y: &mut Columns<'_, i32>,
    ) -> Result<(), KernelError> {
        if is_in_series()
            && let Some(done) = self.gemm_in_series(weights, rows.clone(), x, y)
        {
            return done;
        }
        self.batch_words(weights, rows, x, |token, words| self.integers(weights, Call::Gemm, words, y.token(token)))
    }

    /// Products of a batch with all scales, as [`Self::gemv_groups`].
    pub(crate) fn gemm_groups(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &[QuantizedActivations],
        y: &mut Columns<'_, f32>,
    ) -> Result<(), KernelError> {
        self.batch_words(weights, rows, x, |token, words| {
            as_floats(words, y.token(token));
            Ok(())
        })
    }

    /// What gemm writes for these rows, token by token.
    fn batch_words(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &[QuantizedActivations],
        mut take: impl FnMut(usize, &[i32]) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let whole = rows.start..rows.end.next_multiple_of(self.rows_multiple()).min(weights.rows());
        let mut prepared = Prepared::new(self, weights, x.len())?;
        // SAFETY: the activations are borrowed until this function returns.
        unsafe { prepared.set(x)? };
        prepared.check()?;
        // With room between the tokens where the library takes that: it may not be written.
        let stride = if self.tight_results() { whole.len() } else { whole.len() + 3 };
        let before = prepared.buffer.to_vec();
        let mut output = Output::poisoned(stride * x.len());
        self.gemm_words(&Work { weights, prepared: &prepared }, whole.clone(), output.words(), stride)?;
        self.look(Call::Gemm, shape_of(weights))?;
        output.check(self, Call::Gemm, shape_of(weights))?;
        prepared.unchanged(&before, Call::Gemm)?;
        for (t, words) in output.chunks_exact(stride.max(1)).enumerate() {
            if words[whole.len()..].iter().any(|word| word.cast_unsigned() != POISON) {
                let fault = Fault::Wrong(format!("writes behind the results of token {t}"));
                return Err(self.failed(Call::Gemm, shape_of(weights), fault));
            }
            take(t, &words[..rows.len()])?;
        }
        Ok(())
    }

    /// What was written as the integers that it stands for: of f32 with all scales one, those are integers too.
    ///
    /// # Errors
    /// A value that is none.
    pub fn integers(
        &self,
        weights: &PackedWeights,
        call: Call,
        words: &[i32],
        y: &mut [i32],
    ) -> Result<(), KernelError> {
        y.iter_mut().zip(words).for_each(|(y, word)| *y = *word);
        self.integers_in_place(weights, call, y)
    }

    /// The same of words that lie where the integers go.
    pub(super) fn integers_in_place(
        &self,
        weights: &PackedWeights,
        call: Call,
        y: &mut [i32],
    ) -> Result<(), KernelError> {
        if !self.writes_floats() {
            return Ok(());
        }
        for (row, y) in y.iter_mut().enumerate() {
            let float = f64::from(f32::from_bits(y.cast_unsigned()));
            if float.fract() != 0.0 || float.abs() > f64::from(i32::MAX) {
                let what = format!("gives {float} in row {row}, where every scale is 1 and every sum an integer");
                return Err(self.failed(call, shape_of(weights), Fault::Wrong(what)));
            }
            *y = float as i32;
        }
        Ok(())
    }
}

fn as_floats(words: &[i32], y: &mut [f32]) {
    y.iter_mut().zip(words).for_each(|(y, word)| *y = f32::from_bits(word.cast_unsigned()));
}

/// Packed weights of a library: its bytes, and how many of them it uses.
pub(crate) struct PackedCodes {
    pub bytes: AlignedBuffer<u8>,
    pub used: usize,
}
