//! Several receipts side by side, each against the first, with a direction a cell. Paired ratios from inside each run
//! are what is compared; medians of different runs are divided only when the machines are the same, and even then as a
//! hint. Across machines nothing is.

pub mod change;
mod gate_rows;
mod generation_rows;
mod history_view;
pub mod identity;
mod kernel_rows;
mod markdown;
mod page;
mod parts;
mod side_by_side;
mod status;
mod words;

pub use history_view::{HistoryView, charts_of};
pub use markdown::markdown;
pub use page::page;
pub use parts::Run;
pub use side_by_side::Comparison;
pub use status::status;
pub use words::quoted as shell_quoted;

#[cfg(test)]
mod tests;
