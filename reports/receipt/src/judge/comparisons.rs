//! The judged comparisons of a run, and what they came to.

use super::direction::{Direction, Tally};
use crate::record::{MicroCell, MicroSummary, Ratio, Receipt, Verdict};

/// The entries of a cell with their summaries, by index, without the self-pair, which is the baseline once more.
pub fn kernels(cell: &MicroCell) -> impl Iterator<Item = (usize, &MicroSummary)> {
    cell.summaries.iter().enumerate().filter(|(i, _)| cell.entries.get(*i).is_none_or(|e| !e.self_pair))
}

/// Whether the A/A pair of a cell itself came out different: nothing in such a cell should be believed.
pub fn unstable(cell: &MicroCell) -> bool {
    let stored = cell.summaries.iter().filter_map(|s| s.verdict.as_ref()).map(Verdict::direction);
    stored.chain(cell.ratios().map(Ratio::direction)).any(|direction| direction == Direction::Unstable)
}

/// Judged comparisons of a run with what each kernel builds on (its family's first row, where that did not run): (cell,
/// entry, verdict).
pub fn comparisons(receipt: &Receipt) -> impl Iterator<Item = (usize, usize, &Verdict)> {
    receipt.micro.iter().enumerate().flat_map(|(c, cell)| {
        kernels(cell).filter_map(move |(e, s)| {
            let ratio = s.vs_previous.as_ref().or(s.vs_baseline.as_ref());
            // Receipts before 1.1 stored none.
            let verdict = s.verdict.as_ref().or_else(|| ratio.and_then(|r| r.verdict.as_deref()))?;
            Some((c, e, verdict))
        })
    })
}

/// Counts how many judged comparisons of a run came to which direction.
pub fn tally(receipt: &Receipt) -> Tally {
    Tally::of(comparisons(receipt).map(|(.., verdict)| verdict.direction()))
}
