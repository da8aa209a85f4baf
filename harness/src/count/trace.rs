//! What one call executed, of any architecture: each instruction by its address, and how often it ran.

use std::collections::BTreeMap;

/// A decoded instruction, as far as loops and sums need it.
pub trait Instruction: Copy {
    /// Where it may jump within its function: neither a call nor a return.
    fn jump(&self) -> Option<u64>;
}

/// An instruction and how often it ran.
#[derive(Clone, Copy, Debug)]
pub struct Executed<I> {
    /// The instruction, as decoded from the code that ran.
    pub instruction: I,
    /// How often the instruction ran.
    pub count: u64,
    /// Accesses that a string instruction of x86 made in all; 0 for others.
    pub repeats: u64,
    /// Bytes of the packed weights that it reads and that no instruction before it in its block has read; determined
    /// once.
    pub code_bytes: u64,
}

/// The executed instructions by their address.
pub type Trace<I> = BTreeMap<u64, Executed<I>>;
