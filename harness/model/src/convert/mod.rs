//! Converting the ternary matrices of a file to another encoding. Codes never change; scales only where fp16 cannot
//! hold them, and then it is said how much, or refused.
//!
//! Each matrix is read twice: to find out what its scales allow before the first byte is written, and to write it. A
//! few rows are in memory at a time, whatever the size of the file.

mod halves;
mod header;
mod matrix;
mod order;
mod part;
mod plan;
mod report;
mod survey;
#[cfg(test)]
mod tests;
mod units;
mod write;

pub use plan::{Conversion, Target};
pub use report::{Report, ternary_bytes};
