//! What fits the second-level cache.

use super::shape::Shape;
use kernels::Operation;

/// The second-level caches that a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2 {
    /// Bytes of one core's.
    pub bytes: u64,
    /// Threads, on a core each.
    pub threads: usize,
}

impl L2 {
    /// Bytes that the weights of a cell may take: half, so that activations, results and the system have room too.
    pub fn room(self, op: Operation) -> u64 {
        // Dequantising runs on one thread, whatever the team.
        let threads = if op == Operation::Dequantize { 1 } else { self.threads };
        self.bytes.saturating_mul(threads as u64) / 2
    }

    /// Most rows of `k` weights that fit, at 2 bits a weight, and for `dequantize` 32 more that are written: a multiple
    /// of 256, or of 16 where fewer fit; none where not even 16 do.
    pub fn rows(self, op: Operation, k: usize) -> usize {
        let rows = usize::try_from(8 * self.room(op) / Self::bits(op)).unwrap_or(usize::MAX) / k.max(1);
        rows / 256 * 256 + if rows < 256 { rows / 16 * 16 } else { 0 }
    }

    /// Whether all of a matrix fits.
    pub fn holds(self, op: Operation, shape: Shape) -> bool {
        (shape.m as u64).saturating_mul(shape.k as u64).saturating_mul(Self::bits(op)) <= 8 * self.room(op)
    }

    /// Bits that a weight takes, read and written.
    pub fn bits(op: Operation) -> u64 {
        if op == Operation::Dequantize { 34 } else { 2 }
    }
}
