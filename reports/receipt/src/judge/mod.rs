//! The one judge: whether a kernel is faster or slower than another. It looks at a receipt and at nothing else, and is
//! called when a run is measured, when it is rechecked and when it is shown.
//!
//! Headline, tables, terminal, Markdown, CSV, charts, index, comparison of runs and exports ask [`Verdict::direction`].
//! A pair that is shown without a stored verdict is judged by the same function from the same rounds.
//!
//! [`Verdict::direction`]: crate::Verdict::direction

pub mod amdahl;
pub mod beside;
pub mod bound;
pub mod builds;
pub mod claims;
pub mod columns;
mod comparisons;
pub mod coverage;
pub mod device;
mod direction;
pub mod disturbance;
pub mod doctor;
pub mod engines;
pub mod field;
pub mod findings;
pub mod gate;
mod generation;
pub mod level;
mod machine;
pub mod medians;
mod method;
pub mod micro;
pub mod paired;
mod peaks;
pub mod physics;
mod ports;
mod read;
pub mod reading;
pub mod rows;
pub mod rules;
pub mod sanity;
pub mod sequential;
pub mod stats;
pub mod turns;

pub use columns::Columns;
pub use comparisons::{comparisons, kernels, tally, unstable};
pub use direction::{Direction, Tally};
pub use generation::texts;
pub use machine::Machine;
pub use method::Method;
pub use micro::rule_for;
pub use read::complete;

#[cfg(test)]
mod tests;
