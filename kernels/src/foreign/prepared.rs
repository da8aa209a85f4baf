//! Tokens as a foreign kernel prepares them.

use super::abi::{Activations, ROW, Shape, TENSOR};
use super::canary::{BEHIND_BYTES, CANARY};
use super::fault::Fault;
use super::kernel::ForeignKernel;
use super::watch::Call;
use crate::activation::{ActivationRule, FloatActivations, QuantizedActivations};
use crate::buffer::AlignedBuffer;
use crate::error::{KernelError, fits, same};
use crate::guarded;
use crate::operation::Family;
use crate::packed::PackedWeights;
use std::ptr;

/// Tokens in the form that a foreign kernel prepares, for products with matrices of one shape.
#[derive(Debug)]
pub struct Prepared {
    pub(super) kernel: &'static ForeignKernel,
    pub(super) shape: Shape,
    /// Bytes of a token, and from one to the next.
    bytes: usize,
    pub(super) stride: usize,
    pub(super) tokens: usize,
    /// Version and address of the activations that they were made of, by [`Self::set_unless_same`].
    of: Vec<(u64, usize)>,
    room: usize,
    pub(super) buffer: AlignedBuffer<u8>,
    /// All one, for sums of integers.
    scales: AlignedBuffer<f32>,
    /// What the values of each token are multiplied with, where the kernel applies the scales of the activations and
    /// all of a token share one: an element a token.
    token_scales: AlignedBuffer<f32>,
    /// Whether it does.
    scaled: bool,
}

impl Prepared {
    /// Room for so many tokens. They come with the scales of their activations where the weights were packed with
    /// those of groups, else with scales of 1.
    ///
    /// # Errors
    /// What the library says against it.
    pub fn new(kernel: &'static ForeignKernel, weights: &PackedWeights, room: usize) -> Result<Self, KernelError> {
        let scaled = kernel.family() == Family::W2A8 && weights.group().is_some();
        let token_scales = AlignedBuffer::zeroed(if scaled { room } else { 0 });
        Ok(Self { scaled, token_scales, ..Self::for_shape(kernel, shape_of(weights), room)? })
    }

    pub(super) fn for_shape(kernel: &'static ForeignKernel, shape: Shape, room: usize) -> Result<Self, KernelError> {
        let bytes = kernel.prepared_bytes(shape)?;
        let stride = if kernel.tight_tokens() { bytes } else { bytes.next_multiple_of(BEHIND_BYTES) };
        // The end lies at a protected page, or has bytes behind it that show who wrote there.
        let behind = if guarded::active() { 0 } else { BEHIND_BYTES };
        let mut buffer = AlignedBuffer::zeroed((stride * room).next_multiple_of(BEHIND_BYTES) + behind);
        for between in buffer.chunks_exact_mut(stride.max(1)).take(room) {
            between[bytes..].fill(CANARY);
        }
        buffer[stride * room..].fill(CANARY);
        let scales = AlignedBuffer::from(&vec![1.0; groups(kernel.raw.act_group, shape.k)][..]);
        let (of, token_scales) = (Vec::with_capacity(room), AlignedBuffer::zeroed(0));
        let scaled = false;
        Ok(Self { kernel, shape, bytes, stride, tokens: 0, of, room, buffer, scales, token_scales, scaled })
    }

    /// Prepares these tokens. Timed: it allocates nothing.
    ///
    /// # Errors
    /// What the library says, a wrong length, or activations that share scales in another way than the kernel says.
    ///
    /// # Safety
    /// The tokens stay as they are until the last product with them: a library may keep their addresses.
    #[inline]
    pub unsafe fn set<'x>(&mut self, x: impl IntoIterator<Item = &'x QuantizedActivations>) -> Result<(), KernelError> {
        self.tokens = 0;
        for x in x {
            same("activations", self.shape.k as usize, x.len())?;
            let (i8, scales, sum) = (x.padded().as_ptr(), self.scales_of(x)?, x.sum());
            // SAFETY: by the contract above; the scales are this one's own or the token's, one for each block.
            unsafe { self.push(&Activations { i8, scales, f32: ptr::null(), sum })? };
        }
        Ok(())
    }

    /// Where the scales of the next token lie, until the last product with it.
    #[inline]
    fn scales_of(&mut self, x: &QuantizedActivations) -> Result<*const f32, KernelError> {
        if !self.scaled {
            return Ok(self.scales.as_ptr());
        }
        if self.kernel.rule() != Some(x.rule()) {
            return Err(KernelError::Activations { kernel: self.kernel.id, rule: x.rule() });
        }
        if x.rule().block().is_some() {
            return Ok(x.block_scales().as_ptr());
        }
        fits("prepared tokens", self.room, self.tokens + 1)?;
        let scale = &mut self.token_scales[self.tokens];
        *scale = x.factor(0);
        Ok(scale)
    }

    /// As [`Self::set`], unless these very tokens are prepared, where they lay then.
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn set_unless_same(&mut self, x: &[QuantizedActivations]) -> Result<(), KernelError> {
        let identity = |x: &QuantizedActivations| (x.version(), x.padded().as_ptr().addr());
        if self.of.len() == x.len() && self.of.iter().zip(x).all(|(of, x)| *of == identity(x)) {
            return Ok(());
        }
        // Nothing is taken for prepared if this is cut short.
        self.of.clear();
        // SAFETY: as this function's.
        unsafe { self.set(x)? };
        self.of.extend(x.iter().map(identity));
        Ok(())
    }

    /// Bytes that a token takes.
    pub fn bytes_per_token(&self) -> usize {
        self.bytes
    }

    /// Whether tokens are prepared for this kernel and shape here.
    pub(super) fn is_for(&self, kernel: &ForeignKernel, shape: Shape) -> bool {
        ptr::eq(self.kernel, kernel) && self.shape == shape
    }

    /// Whether so many tokens have room.
    pub(super) fn has_room(&self, tokens: usize) -> bool {
        tokens <= self.room
    }

    /// As [`Self::set`], for one token of f32.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn set_float(&mut self, x: &FloatActivations) -> Result<(), KernelError> {
        self.tokens = 0;
        same("activations", self.shape.k as usize, x.len())?;
        let (scales, f32) = (self.scales.as_ptr(), x.padded().as_ptr());
        // SAFETY: by the contract above; the scales are this one's own.
        unsafe { self.push(&Activations { i8: ptr::null(), scales, f32, sum: 0 }) }
    }

    /// # Safety
    /// The activations are as the header says for this family and k, and stay until the last product with them.
    #[inline]
    pub(super) unsafe fn push(&mut self, x: &Activations) -> Result<(), KernelError> {
        fits("prepared tokens", self.room, self.tokens + 1)?;
        let to = self.buffer[self.tokens * self.stride..].as_mut_ptr();
        // SAFETY: `for_shape` made room for `room` tokens; for the activations by the contract above.
        unsafe { self.kernel.prepare(self.shape, x, to)? };
        self.tokens += 1;
        Ok(())
    }

    /// That a product did not change what it reads.
    pub(super) fn unchanged(&self, before: &[u8], call: Call) -> Result<(), KernelError> {
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
        self.kernel.look(Call::Prepare, self.shape)?;
        let between =
            (0..self.room).flat_map(|t| self.buffer[t * self.stride + self.bytes..(t + 1) * self.stride].iter());
        if between.chain(&self.buffer[self.room * self.stride..]).all(|&byte| byte == CANARY) {
            return Ok(());
        }
        let fault = Fault::Wrong(format!("writes behind the {} bytes of a prepared token", self.bytes));
        Err(self.kernel.failed(Call::Prepare, self.shape, fault))
    }
}

impl ForeignKernel {
    /// The rule of ours by which its activations share scales; none of 64.
    pub(super) fn rule(&self) -> Option<ActivationRule> {
        let blocks = |rule: &ActivationRule| rule.block() == Some(self.raw.act_group as usize);
        if self.raw.act_group == TENSOR {
            return Some(ActivationRule::Token);
        }
        ActivationRule::ALL.into_iter().find(blocks)
    }
}

/// The shape of a matrix.
pub(super) fn shape_of(weights: &PackedWeights) -> Shape {
    Shape { rows: weights.rows() as u64, k: weights.k() as u64 }
}

/// Number of scales along k.
pub(super) fn groups(group: u32, k: u64) -> usize {
    match group {
        TENSOR | ROW => 1,
        group => k.div_ceil(u64::from(group)) as usize,
    }
}
