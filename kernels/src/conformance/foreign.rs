//! What the suite asks of foreign kernels besides: their own multiples, and more sizes of batches.

use super::case::{Case, CaseScales};
use super::pattern::Pattern;
use crate::activation::ActivationRule;
use crate::foreign::kernel::ForeignKernel;
use crate::packed::CodeTable;

/// Sizes of batches that a foreign kernel is tried with, in turn: around the 64 at which one in the field stops.
pub(super) const TOKENS: [usize; 9] = [1, 2, 3, 7, 32, 63, 64, 65, 128];

/// More for a foreign kernel: rows and columns around its own multiples, the shapes of models, and enough cases of one
/// shape for every size of batch.
pub(super) fn cases(foreign: &ForeignKernel, first: u64) -> Vec<Case> {
    let (rows_unit, k_unit) = (foreign.rows_multiple(), foreign.k_multiple());
    let small = [1, 2, 3, 7].into_iter().flat_map(|n| [1, 2, 3, 5].map(|m| (n * rows_unit, m * k_unit)));
    let wide = |k: usize| (4 * rows_unit, k.next_multiple_of(k_unit));
    let batches = (0..2 * TOKENS.len()).map(|_| (8 * rows_unit, 640usize.next_multiple_of(k_unit)));
    let of_models = [(640, 2560), (2560, 6912), (6912, 2560)]
        .map(|(rows, k): (usize, usize)| (rows.next_multiple_of(rows_unit), k.next_multiple_of(k_unit)));
    let shapes = small.chain([wide(1024), wide(6912)]).chain(batches).filter(|(rows, k)| foreign.takes(*rows, *k));
    let of_models = of_models.into_iter().filter(|(rows, k)| foreign.takes(*rows, *k));
    let all = shapes.flat_map(|shape| Pattern::ALL.map(|pattern| (shape, pattern)));
    let all = all.chain(of_models.map(|shape| (shape, Pattern::Random)));
    let case = |(i, ((rows, k), pattern)): (usize, ((usize, usize), Pattern))| {
        let (table, scales, seed) = (CodeTable::TERNARY, CaseScales::Tensor, first + i as u64);
        Case { rows, k, pattern, table, scales, rule: ActivationRule::Token, seed }
    };
    all.enumerate().map(case).collect()
}
