//! What sums over planes begin with, for kernels on [`crate::layouts::planes16`]: the zero point, which then costs no
//! instruction at the end.
//!
//! Codes are weights plus one, so a sum of code * x is too large by the sum of x. A sum that begins at minus that sum,
//! times 4^p where its plane is at bits 2p, is right when it ends: a broadcast load takes the place of a zeroed
//! register. By a rule of blocks each unit has a factor too, the scale of its block; where sums are not shifted, times
//! 4^-p, which is exact.

use crate::descriptor::GemvGroups;
use crate::layouts::planes16::super_k;
use crate::w2ga8::group_tiles::undo;
use std::cell::RefCell;

/// Lines after which units of 32 end.
pub(crate) const FLUSH: usize = 8;

/// What the sums of the four planes begin with, and what they are scaled by: of a super-block, or of [`FLUSH`] lines of
/// it where units are 32.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// 0 for a plane that continues the unit of the one before.
    pub sums: [i32; 4],
    /// Scales of the activations; 1 where a token has one. Of units within groups times 4^-p.
    pub factors: [f32; 4],
}

thread_local! {
    /// Kept, so that a call allocates nothing.
    static STARTS: RefCell<Vec<Start>> = const { RefCell::new(Vec::new()) };
}

/// In the order in which the super-blocks of a row need them.
fn make(starts: &mut Vec<Start>, args: &GemvGroups<'_>, k: usize) {
    let (unit, block, whole) = (args.rule.unit(args.group), args.rule.block(), super_k(args.group));
    let within = unit < args.group;
    // All are powers of two: divisions for each plane of each unit were 2% of a product of 1024 x 2560.
    let (unit_bits, block_bits) = (unit.trailing_zeros(), block.map(usize::trailing_zeros));
    starts.clear();
    for from in (0..k).step_by(whole) {
        // Weights of a plane, and of a part of it that is one unit or belongs to one.
        let plane = whole.min(k - from) / 4;
        let part = if unit == 32 { 4 * FLUSH } else { plane };
        for at in (0..plane).step_by(part) {
            let begins: [usize; 4] = std::array::from_fn(|p| from + p * plane + at);
            let mut start = Start { sums: [0; 4], factors: [1.0; 4] };
            for (p, begins) in begins.into_iter().enumerate() {
                if begins & (unit - 1) == 0 {
                    start.sums[p] = -args.sums[begins >> unit_bits] << (2 * p);
                }
                if let Some(bits) = block_bits {
                    let undo = if within { undo(p) } else { 1.0 };
                    start.factors[p] = args.x_scales[begins >> bits] * undo;
                }
            }
            starts.push(start);
        }
    }
}

/// Runs `product` with the starts of these operands, whose rows have `k` weights, padding included.
pub(crate) fn with_starts(args: GemvGroups<'_>, k: usize, product: impl FnOnce(GemvGroups<'_>, &[Start])) {
    STARTS.with_borrow_mut(|starts| {
        make(starts, &args, k);
        product(args, starts);
    });
}
