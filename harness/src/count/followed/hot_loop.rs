//! Finds the loop that multiplies, from the counts alone: the innermost loop (code from the target of a backward jump
//! to the jump) that reads packed weights and ran the most instructions.

use super::follow::{Executed, Instructions};
use iced_x86::FlowControl;

/// The hot loop: the instructions of one pass, in order of address, and the number of passes.
pub struct HotLoop {
    /// Addresses of the first and the last instruction.
    pub range: (u64, u64),
    /// Instructions on the path that most passes take, each with count 1.
    pub pass: Vec<Executed>,
    /// Number of passes: how often the jump back to the loop's start was reached.
    pub passes: u64,
    /// Instructions that the loop ran in all.
    pub instructions: u64,
}

impl HotLoop {
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
pub fn find(trace: &Instructions) -> Option<HotLoop> {
    let back = |e: &&Executed| {
        let (at, to) = (e.instruction.ip(), e.instruction.near_branch_target());
        let jump =
            matches!(e.instruction.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch);
        // A backward jump that was taken: it and its target ran more than once.
        jump && to <= at && e.count > 1 && trace.get(&to).is_some_and(|target| target.count > 1)
    };
    let regions: Vec<(u64, u64)> =
        trace.values().filter(back).map(|e| (e.instruction.near_branch_target(), e.instruction.ip())).collect();
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
    use iced_x86::{Decoder, DecoderOptions};

    /// Decodes `code` at 0 and gives each instruction its count.
    fn trace(code: &[u8], counts: &[u64]) -> Instructions {
        let decoded = Decoder::with_ip(64, code, 0x1000, DecoderOptions::NONE).into_iter().collect::<Vec<_>>();
        assert_eq!(decoded.len(), counts.len());
        decoded
            .into_iter()
            .zip(counts)
            .map(|(instruction, &count)| (instruction.ip(), Executed { instruction, count, repeats: 0, code_bytes: 0 }))
            .collect()
    }

    #[test]
    fn the_inner_loop_is_found_inside_the_outer() {
        // 0: inc rax; 3: inc rcx; 6: jne 3; 8: jne 0; a: ret
        let code = [0x48, 0xff, 0xc0, 0x48, 0xff, 0xc1, 0x75, 0xfb, 0x75, 0xf6, 0xc3];
        let hot = find(&trace(&code, &[10, 1000, 1000, 10, 1])).expect("a loop");
        assert_eq!((hot.passes, hot.instructions, hot.pass.len()), (1000, 2000, 2));
        assert_eq!(hot.pass[0].instruction.ip(), 0x1003);
    }

    #[test]
    fn straight_code_has_no_loop() {
        assert!(find(&trace(&[0x48, 0xff, 0xc0, 0xc3], &[1, 1])).is_none());
    }

    #[test]
    fn a_path_that_few_passes_take_is_left_out() {
        // 0: inc rax; 3: jne 8; 5: inc rcx; 8: jne 0; a: ret
        let code = [0x48, 0xff, 0xc0, 0x75, 0x03, 0x48, 0xff, 0xc1, 0x75, 0xf6, 0xc3];
        let hot = find(&trace(&code, &[100, 100, 3, 100, 1])).expect("a loop");
        assert_eq!((hot.passes, hot.instructions, hot.pass.len()), (100, 303, 3));
    }
}
