//! What is in a model file, for `model inspect`: as JSON and as tables for people.

mod look;
mod rows;
mod text;

pub use look::inspect;
pub use rows::{Check, Inspection, KeyRow, KnownRow, TensorRow, TernaryRow, Totals};
