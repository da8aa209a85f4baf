//! The one judge: whether a kernel is faster or slower than another. It looks at a receipt and at nothing else, and is called when a run is
//! measured, when it is rechecked and when it is shown.
//!
//! Headline, tables, terminal, Markdown, CSV, charts, index, comparison of runs and exports ask [`Verdict::direction`]. A pair that is shown
//! without a stored verdict is judged by the same function from the same rounds.

mod cells;
mod direction;
mod generation;
mod method;
mod read;

pub use cells::{fill, pairs, rule_for};
pub use direction::{Direction, Tally};
pub use generation::{Blocks, blocks, sparse, sweep};
pub use method::Method;
pub use read::complete;

#[cfg(test)]
mod tests;
