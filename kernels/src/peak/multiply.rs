//! A loop of one multiply instruction, and what running it takes.

use crate::cpu::CpuFeatures;

/// A multiply-accumulate instruction (or the shortest sequence that makes one) and a loop of it.
pub struct Multiply {
    /// Name of the instruction in receipts, for example `vpdpbusd-zmm`.
    pub id: &'static str,
    /// The instructions of one repetition, in words.
    pub instructions: &'static str,
    /// CPU features that the instruction needs.
    pub requires: CpuFeatures,
    /// Number of products that one repetition adds up.
    pub products: u32,
    /// Repetitions in one pass of the loop.
    pub(crate) unroll: u32,
    pub(crate) run: unsafe fn(u64),
}

impl Multiply {
    /// Runs at least `products` products on this thread and returns how many it ran; `None` where `allowed` or the CPU
    /// lack the instruction.
    pub fn run(&self, allowed: CpuFeatures, products: u64) -> Option<u64> {
        if !CpuFeatures::detect().intersect(allowed).contains(self.requires) {
            return None;
        }
        let a_pass = u64::from(self.products * self.unroll);
        let passes = products.div_ceil(a_pass).max(1);
        // SAFETY: the CPU has the features that the loop enables, and `passes` is at least 1.
        unsafe { (self.run)(passes) };
        Some(passes * a_pass)
    }
}
