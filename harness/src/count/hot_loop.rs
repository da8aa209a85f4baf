//! Finds the loop that multiplies, from the counts alone: the innermost loop (code from the target of a backward jump
//! to the jump) that reads packed weights and ran the most instructions.

use super::trace::{Executed, Instruction, Trace};
use std::ops::Range;

/// The hot loop: the instructions of one pass, in order of address, and the number of passes.
pub struct HotLoop<I> {
    /// Addresses of the first and the last instruction.
    range: (u64, u64),
    /// Instructions on the path that most passes take, each with count 1.
    pub pass: Vec<Executed<I>>,
    /// Number of passes: how often the jump back to the loop's start was reached.
    pub passes: u64,
    /// Instructions that the loop ran in all.
    pub instructions: u64,
}

impl<I> HotLoop<I> {
    /// Its instructions in a trace, by their numbers.
    pub fn within(&self, trace: &Trace<I>) -> Range<usize> {
        let (first, last) = self.range;
        trace.range(..first).count()..trace.range(..=last).count()
    }

    /// Weights a pass: from the packed codes that it reads, of `code_bytes` in all, which hold `weights` (those of a
    /// matrix). A batch reads the codes once for each tile of `tokens`. A loop that reads none of them is taken to be
    /// where all weights are multiplied.
    pub fn weights_per_pass(&self, weights: u64, code_bytes: u64, tokens: usize) -> f64 {
        let bytes: u64 = self.pass.iter().map(|e| e.code_bytes).sum();
        if bytes == 0 || code_bytes == 0 {
            return weights as f64 * tokens as f64 / self.passes as f64;
        }
        let share = bytes as f64 / code_bytes as f64;
        let sweeps = (share * self.passes as f64).round().max(1.0);
        weights as f64 * share * tokens as f64 / sweeps
    }
}

/// Finds the hot loop; `None` when no loop ran twice.
pub fn find<I: Instruction>(trace: &Trace<I>) -> Option<HotLoop<I>> {
    // A backward jump that was taken: it and its target ran more than once.
    let back = |(&at, e): (&u64, &Executed<I>)| {
        let to = e.instruction.jump().filter(|to| *to <= at && e.count > 1)?;
        trace.get(&to).is_some_and(|target| target.count > 1).then_some((to, at))
    };
    let regions: Vec<(u64, u64)> = trace.iter().filter_map(back).collect();
    // A loop may jump back from several places: it ends at the last one.
    let closing = |&(from, to): &(u64, u64)| !regions.iter().any(|&(f, t)| f == from && t > to);
    let loops: Vec<(u64, u64)> = regions.iter().copied().filter(closing).collect();
    let innermost =
        |&(from, to): &(u64, u64)| !loops.iter().any(|&(f, t)| (f, t) != (from, to) && f >= from && t <= to);
    let ran = |&(from, to): &(u64, u64)| trace.range(from..=to).map(|(_, e)| e.count).sum::<u64>();
    // Loops that only prepare activations come last, even when a small matrix leaves most instructions to them.
    let reads_codes = |&(from, to): &(u64, u64)| trace.range(from..=to).any(|(_, e)| e.code_bytes > 0);
    let (from, to) = loops.iter().copied().filter(innermost).max_by_key(|l| (reads_codes(l), ran(l)))?;
    let passes = trace[&to].count;
    // Instructions that fewer than half of the passes reach are left out.
    let pass = trace.range(from..=to).filter(|(_, e)| 2 * e.count > passes);
    let pass = pass.map(|(_, e)| Executed { count: 1, repeats: u64::from(e.repeats > 0), ..*e }).collect();
    Some(HotLoop { range: (from, to), pass, passes, instructions: ran(&(from, to)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    struct Jump(Option<u64>);

    impl Instruction for Jump {
        fn jump(&self) -> Option<u64> {
            self.0
        }
    }

    /// Instructions four bytes apart from 0x1000 on: where each jumps, as the index of an instruction, and its count.
    fn trace(code: &[(Option<u64>, u64)]) -> Trace<Jump> {
        let at = |i: u64| 0x1000 + 4 * i;
        let executed = |&(to, count): &(Option<u64>, u64)| Executed {
            instruction: Jump(to.map(at)),
            count,
            repeats: 0,
            code_bytes: 0,
        };
        code.iter().enumerate().map(|(i, instruction)| (at(i as u64), executed(instruction))).collect()
    }

    #[test]
    fn the_inner_loop_is_found_inside_the_outer() {
        let hot = find(&trace(&[(None, 10), (None, 1000), (Some(1), 1000), (Some(0), 10), (None, 1)])).expect("a loop");
        assert_eq!((hot.passes, hot.instructions, hot.pass.len()), (1000, 2000, 2));
        assert_eq!(hot.pass[1].instruction.0, Some(0x1004));
    }

    #[test]
    fn straight_code_has_no_loop() {
        assert!(find(&trace(&[(None, 1), (None, 1)])).is_none());
    }

    #[test]
    fn a_path_that_few_passes_take_is_left_out() {
        let code = [(None, 100), (Some(3), 100), (None, 3), (Some(0), 100), (None, 1)];
        let hot = find(&trace(&code)).expect("a loop");
        assert_eq!((hot.passes, hot.instructions, hot.pass.len()), (100, 303, 3));
    }
}
