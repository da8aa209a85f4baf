//! Bytes that may not change, and results that were not written.

use super::abi::Shape;
use super::fault::Fault;
use super::kernel::ForeignKernel;
use super::watch::Call;
use crate::buffer::AlignedBuffer;
use crate::error::KernelError;
use crate::guarded;

/// Bytes behind a buffer that may not change, where no protected page lies there.
pub(super) const BEHIND_BYTES: usize = 64;
/// What those bytes hold.
pub(super) const CANARY: u8 = 0xA7;
/// What outputs hold before they are written: below every sum of int8; as f32 nearer to 0 than any sum but 0.
pub(super) const POISON: u32 = 0x8000_BEEF;

/// Room for an output, poisoned, its end at a protected page or with bytes behind it that show who wrote there.
pub(super) struct Output {
    words: AlignedBuffer<i32>,
    len: usize,
}

impl Output {
    pub(super) fn poisoned(len: usize) -> Self {
        let beside = if guarded::active() { 0 } else { BEHIND_BYTES / size_of::<i32>() };
        let mut words = AlignedBuffer::zeroed(len + beside);
        words[..len].fill(POISON.cast_signed());
        words[len..].fill(i32::from_ne_bytes([CANARY; 4]));
        Self { words, len }
    }

    pub(super) fn words(&mut self) -> &mut [i32] {
        &mut self.words[..self.len]
    }

    pub(super) fn check(&self, kernel: &ForeignKernel, call: Call, shape: Shape) -> Result<(), KernelError> {
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
