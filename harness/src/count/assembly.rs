//! The instructions of a counted call, each with how often it ran.

use receipt::AsmLine;
use std::ops::Range;

/// Every instruction that a call executed, in order of address: their executions add up to the call's count.
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(dead_code))]
pub struct Assembly {
    /// The instructions.
    pub lines: Vec<AsmLine>,
    /// Those of the hot loop, by index; empty without a loop.
    pub in_loop: Range<usize>,
    /// Address of the function's first instruction.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub entry: u64,
    /// The path through the loop that most passes take, which is what a static model is asked about.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub pass: Vec<iced_x86::Instruction>,
}
