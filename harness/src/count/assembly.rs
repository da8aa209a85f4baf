//! The instructions of a counted call, each with how often it ran.

use receipt::{AsmLine, Mix};
use std::ops::Range;

/// Every instruction that a call executed, in order of address: their executions add up to the call's count.
pub struct Assembly {
    /// The instructions.
    pub lines: Vec<AsmLine>,
    /// Those of the hot loop, by index; empty without a loop.
    pub in_loop: Range<usize>,
    /// The path through the loop that most passes take: where its instructions are.
    pub pass: Vec<i64>,
    /// The same as text, which a static model is asked about.
    pub text: String,
}

/// An instruction at an address, in a function that begins at `entry`: of so many bytes, executed so often, of which
/// `once` is what one execution does.
pub fn line((entry, at): (u64, u64), (bytes, executions): (u64, u64), once: &Mix<u64>, text: String) -> AsmLine {
    let class = once.classes.named().find(|(_, count)| *count > 0).map_or("other", |(name, _)| name);
    let memory_bytes = once.memory.bytes_loaded + once.memory.bytes_stored;
    AsmLine { offset: offset(entry, at), bytes, executions, class: class.into(), memory_bytes, text }
}

/// Where an address is in a function that begins at `entry`.
pub fn offset(entry: u64, at: u64) -> i64 {
    at.wrapping_sub(entry).cast_signed()
}
