//! What is in a model file, for `model inspect`: as JSON and as tables for people.

mod facts;
mod look;
mod rows;
mod ternary;
mod text;

pub use look::inspect;
pub use rows::{Check, Fact, Inspection, KeyRow, KnownRow, TensorRow, TernaryRow, Totals, Trap};
