//! Operands of foreign kernels: weights that the library packs, tokens that it prepares, and products of both.

use super::abi::{Activations, ROW, Shape, TENSOR, W2A8};
use super::call::Batch;
use super::fault::Fault;
use super::kernel::ForeignKernel;
use crate::activation::{FloatActivations, QuantizedActivations};
use crate::buffer::AlignedBuffer;
use crate::error::{KernelError, fits, same};
use crate::guarded;
use crate::packed::PackedWeights;
use crate::parallel::{Columns, StridedStart, Team, row_range};
use std::ops::Range;
use std::ptr;

/// Bytes behind a buffer that may not change, where no protected page lies there.
const CANARY_BYTES: usize = 64;
/// What those bytes hold.
const CANARY: u8 = 0xA7;
/// What outputs hold before they are written: below every sum of int8; as f32 nearer to 0 than any sum but 0.
const POISON: u32 = 0x8000_BEEF;

/// Tokens in the form that a foreign kernel prepares, for products with matrices of one shape.
#[derive(Debug)]
pub struct Prepared {
    kernel: &'static ForeignKernel,
    shape: Shape,
    /// Bytes of a token, and from one to the next.
    bytes: usize,
    stride: usize,
    tokens: usize,
    room: usize,
    buffer: AlignedBuffer<u8>,
    /// All one: the kernels' sums are of integers.
    scales: AlignedBuffer<f32>,
}

impl Prepared {
    /// Room for so many tokens.
    ///
    /// # Errors
    /// What the library says against it.
    pub fn new(kernel: &'static ForeignKernel, weights: &PackedWeights, room: usize) -> Result<Self, KernelError> {
        Self::for_shape(kernel, shape_of(weights), room)
    }

    fn for_shape(kernel: &'static ForeignKernel, shape: Shape, room: usize) -> Result<Self, KernelError> {
        let bytes = kernel.prepared_bytes(shape)?;
        let stride = if kernel.tight_tokens() { bytes } else { bytes.next_multiple_of(CANARY_BYTES) };
        // The end lies at a protected page, or has bytes behind it that show who wrote there.
        let behind = if guarded::active() { 0 } else { CANARY_BYTES };
        let mut buffer = AlignedBuffer::zeroed((stride * room).next_multiple_of(CANARY_BYTES) + behind);
        for between in buffer.chunks_exact_mut(stride.max(1)).take(room) {
            between[bytes..].fill(CANARY);
        }
        buffer[stride * room..].fill(CANARY);
        let scales = AlignedBuffer::from(&vec![1.0; groups(kernel.raw.act_group, shape.k)][..]);
        Ok(Self { kernel, shape, bytes, stride, tokens: 0, room, buffer, scales })
    }

    /// Prepares these tokens. Timed: it allocates nothing.
    ///
    /// # Errors
    /// What the library says, or a wrong length.
    #[inline]
    pub fn set<'x>(&mut self, x: impl IntoIterator<Item = &'x QuantizedActivations>) -> Result<(), KernelError> {
        self.tokens = 0;
        for x in x {
            same("activations", self.shape.k as usize, x.len())?;
            let (i8, scales, sum) = (x.padded().as_ptr(), self.scales.as_ptr(), x.sum());
            self.push(&Activations { i8, scales, f32: ptr::null(), sum })?;
        }
        Ok(())
    }

    /// As [`Self::set`], for one token of f32.
    ///
    /// # Errors
    /// As there.
    pub fn set_float(&mut self, x: &FloatActivations) -> Result<(), KernelError> {
        self.tokens = 0;
        same("activations", self.shape.k as usize, x.len())?;
        self.push(&Activations { i8: ptr::null(), scales: self.scales.as_ptr(), f32: x.padded().as_ptr(), sum: 0 })
    }

    #[inline]
    fn push(&mut self, x: &Activations) -> Result<(), KernelError> {
        fits("prepared tokens", self.room, self.tokens + 1)?;
        let to = self.buffer[self.tokens * self.stride..].as_mut_ptr();
        // SAFETY: `for_shape` made room for `room` tokens; the activations were checked to have this k, and are padded
        // as the header says.
        unsafe { self.kernel.prepare(self.shape, x, to)? };
        self.tokens += 1;
        Ok(())
    }

    /// That a product did not change what it reads.
    fn unchanged(&self, before: &[u8], call: &'static str) -> Result<(), KernelError> {
        if self.buffer[..] == *before {
            return Ok(());
        }
        let fault = Fault::Wrong("writes to a prepared token, which it may only read".into());
        Err(self.kernel.failed(call, self.shape, fault))
    }

    /// That nothing was written behind a token.
    ///
    /// # Errors
    /// Where something was.
    pub fn check(&self) -> Result<(), KernelError> {
        self.kernel.look("prepare", self.shape)?;
        let between =
            (0..self.room).flat_map(|t| self.buffer[t * self.stride + self.bytes..(t + 1) * self.stride].iter());
        if between.chain(&self.buffer[self.room * self.stride..]).all(|&byte| byte == CANARY) {
            return Ok(());
        }
        let fault = Fault::Wrong(format!("writes behind the {} bytes of a prepared token", self.bytes));
        Err(self.kernel.failed("prepare", self.shape, fault))
    }
}

/// Weights and the tokens that they are multiplied with, both of one foreign kernel.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The matrix, as the kernel's library packed it.
    pub weights: &'a PackedWeights,
    /// The tokens, as it prepared them.
    pub prepared: &'a Prepared,
}

fn shape_of(weights: &PackedWeights) -> Shape {
    Shape { rows: weights.rows() as u64, k: weights.k() as u64 }
}

/// Number of scales along k.
fn groups(group: u32, k: u64) -> usize {
    match group {
        TENSOR | ROW => 1,
        group => k.div_ceil(u64::from(group)) as usize,
    }
}

impl ForeignKernel {
    /// Number of scales of a matrix.
    fn weight_scales(&self, shape: Shape) -> usize {
        match self.raw.weight_group {
            TENSOR => 1,
            group => shape.rows as usize * groups(group, shape.k),
        }
    }

    /// The weights as the library packs them, their scales one: sums are integers, and whoever wants products of
    /// numbers multiplies afterwards. The kernels of f32 activations get the scales.
    pub(crate) fn packed(
        &self,
        rows: usize,
        k: usize,
        codes: &[u8],
        scales: &[f32],
    ) -> Result<PackedCodes, KernelError> {
        let shape = Shape { rows: rows as u64, k: k as u64 };
        let used = self.packed_bytes(rows, k)?;
        let align = self.raw.packed_align as usize;
        // From there on a buffer lies on pages of its own, at a multiple of every alignment.
        let least = if align > CANARY_BYTES { 2 << 20 } else { 0 };
        let room = if guarded::active() { used.next_multiple_of(align) } else { used.max(least) };
        let mut bytes = AlignedBuffer::<u8>::zeroed(room);
        let wrong = |fault| self.failed("pack", shape, fault);
        if used > 0 && !bytes.as_ptr().addr().is_multiple_of(align) {
            return Err(wrong(Fault::Refused(format!("not called: no memory at a multiple of {align} bytes"))));
        }
        let scales = match (self.raw.family, scales) {
            (W2A8, _) => vec![1.0; self.weight_scales(shape)],
            (_, [one]) => vec![*one; self.weight_scales(shape)],
            (_, all) => all.to_vec(),
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
        let mut prepared = Prepared::new(self, weights, 1)?;
        prepared.set([x])?;
        prepared.check()?;
        let words = self.words(weights, rows, &prepared)?;
        self.integers(weights, "gemv", &words, y)
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
        prepared.set_float(x)?;
        prepared.check()?;
        let words = self.words(weights, rows, &prepared)?;
        y.iter_mut().zip(words.iter()).for_each(|(y, word)| *y = f32::from_bits(word.cast_unsigned()));
        Ok(())
    }

    /// What gemv writes for these rows, as it lies there: to a whole number of the library's rows.
    fn words(&self, weights: &PackedWeights, rows: Range<usize>, prepared: &Prepared) -> Result<Output, KernelError> {
        let whole = rows.start..rows.end.next_multiple_of(self.rows_multiple()).min(weights.rows());
        let before = prepared.buffer.to_vec();
        let mut output = Output::poisoned(whole.len());
        self.gemv_words(&Work { weights, prepared }, whole, output.words())?;
        self.look("gemv", shape_of(weights))?;
        output.check(self, "gemv", shape_of(weights))?;
        prepared.unchanged(&before, "gemv")?;
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
    unsafe fn gemm_to(
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
        let whole = rows.start..rows.end.next_multiple_of(self.rows_multiple()).min(weights.rows());
        let mut prepared = Prepared::new(self, weights, x.len())?;
        prepared.set(x)?;
        prepared.check()?;
        // With room between the tokens where the library takes that: it may not be written.
        let stride = if self.tight_results() { whole.len() } else { whole.len() + 3 };
        let before = prepared.buffer.to_vec();
        let mut output = Output::poisoned(stride * x.len());
        self.gemm_words(&Work { weights, prepared: &prepared }, whole.clone(), output.words(), stride)?;
        self.look("gemm", shape_of(weights))?;
        output.check(self, "gemm", shape_of(weights))?;
        prepared.unchanged(&before, "gemm")?;
        for (t, words) in output.chunks_exact(stride.max(1)).enumerate() {
            if words[whole.len()..].iter().any(|word| word.cast_unsigned() != POISON) {
                let fault = Fault::Wrong(format!("writes behind the results of token {t}"));
                return Err(self.failed("gemm", shape_of(weights), fault));
            }
            self.integers(weights, "gemm", &words[..rows.len()], y.token(t))?;
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
        call: &'static str,
        words: &[i32],
        y: &mut [i32],
    ) -> Result<(), KernelError> {
        for (row, (y, word)) in y.iter_mut().zip(words).enumerate() {
            let float = f64::from(f32::from_bits(word.cast_unsigned()));
            *y = match self.writes_floats() {
                false => *word,
                true if float.fract() == 0.0 && float.abs() <= f64::from(i32::MAX) => float as i32,
                true => {
                    let what = format!("gives {float} in row {row}, where every scale is 1 and every sum an integer");
                    return Err(self.failed(call, shape_of(weights), Fault::Wrong(what)));
                }
            };
        }
        Ok(())
    }
}

/// Packed weights of a library: its bytes, and how many of them it uses.
pub(crate) struct PackedCodes {
    pub bytes: AlignedBuffer<u8>,
    pub used: usize,
}

/// Room for an output, poisoned, its end at a protected page or with bytes behind it that show who wrote there.
struct Output {
    words: AlignedBuffer<i32>,
    len: usize,
}

impl Output {
    fn poisoned(len: usize) -> Self {
        let beside = if guarded::active() { 0 } else { CANARY_BYTES / size_of::<i32>() };
        let mut words = AlignedBuffer::zeroed(len + beside);
        words[..len].fill(POISON.cast_signed());
        words[len..].fill(i32::from_ne_bytes([CANARY; 4]));
        Self { words, len }
    }

    fn words(&mut self) -> &mut [i32] {
        &mut self.words[..self.len]
    }

    fn check(&self, kernel: &ForeignKernel, call: &'static str, shape: Shape) -> Result<(), KernelError> {
        if self.words[self.len..].iter().all(|&word| word == i32::from_ne_bytes([CANARY; 4])) {
            return Ok(());
        }
        let fault = Fault::Wrong("writes behind its output".into());
        Err(kernel.failed(call, shape, fault))
    }
}

impl std::ops::Deref for Output {
    type Target = [i32];
    fn deref(&self) -> &[i32] {
        &self.words[..self.len]
    }
}

/// What the suite tries with every scale another, for kernels that apply them: products of these weights and
/// activations, and for each row the sum, and the sum of the magnitudes of its activations with all scales.
pub(crate) struct Scaled {
    pub products: Vec<f32>,
    pub expected: Vec<(f64, f64)>,
}

impl ForeignKernel {
    /// One matrix and one token with random scales of its groups.
    pub(crate) fn scaled(
        &'static self,
        [rows, k]: [usize; 2],
        codes: &[u8],
        x: &QuantizedActivations,
        mut scale: impl FnMut() -> f32,
    ) -> Result<Scaled, KernelError> {
        let shape = Shape { rows: rows as u64, k: k as u64 };
        let weight_scales: Vec<f32> = (0..self.weight_scales(shape)).map(|_| scale()).collect();
        let floats = self.raw.family != W2A8;
        // Activations that are f32 have no scales of their own.
        let act_scale = |_| if floats { 1.0 } else { scale() };
        let act_scales: Vec<f32> = (0..groups(self.raw.act_group, shape.k)).map(act_scale).collect();
        let mut packed = AlignedBuffer::<u8>::zeroed(self.packed_bytes(rows, k)?.max(2 << 20));
        self.pack(shape, codes, &weight_scales, &mut packed)?;
        let mut prepared = Prepared::for_shape(self, shape, 1)?;
        let mut wide = FloatActivations::new(k);
        wide.set(&x.values().iter().map(|&x| f32::from(x)).collect::<Vec<f32>>())?;
        let (i8, f32) = if floats { (ptr::null(), wide.padded().as_ptr()) } else { (x.padded().as_ptr(), ptr::null()) };
        let sum = if floats { 0 } else { x.sum() };
        prepared.push(&Activations { i8, scales: act_scales.as_ptr(), f32, sum })?;
        let mut products = vec![f32::NAN; rows];
        let (from, y) = (prepared.buffer.as_ptr(), products.as_mut_ptr().cast());
        let batch = Batch { prepared: from, prepared_stride: prepared.stride, tokens: 1, y, y_stride: rows };
        // SAFETY: weights and token were made for this shape; `products` has an element a row.
        unsafe { self.gemv(shape, packed.as_ptr(), 0..rows, batch)? };
        let along =
            |group: u32, column: usize| if group == TENSOR || group == ROW { 0 } else { column / group as usize };
        let (wide, narrow) = (groups(self.raw.weight_group, shape.k), self.raw.weight_group);
        let term = |row: usize, column: usize| {
            let first = if narrow == TENSOR { 0 } else { row * wide };
            let weight = f64::from(codes[row * k + column]) - 1.0;
            let scales = f64::from(weight_scales[first + along(narrow, column)])
                * f64::from(act_scales[along(self.raw.act_group, column)]);
            (weight, scales * f64::from(x.values()[column]))
        };
        // A kernel may sum codes and take the activations off at the end: every weight counts as one in the bound.
        let add = |(sum, terms): (f64, f64), (weight, x): (f64, f64)| (sum + weight * x, terms + x.abs());
        let sum = |row| (0..k).map(|column| term(row, column)).fold((0.0, 0.0), add);
        Ok(Scaled { products, expected: (0..rows).map(sum).collect() })
    }

    /// Address of the function that computes this operation, for whoever follows its instructions.
    pub fn entry(&self, batch: bool) -> Option<usize> {
        if batch { self.raw.gemm.map(|f| f as usize) } else { self.raw.gemv.map(|f| f as usize) }
    }
}
