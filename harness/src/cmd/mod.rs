//! The subcommands, one file for each.

pub mod baseline;
pub mod claims;
pub mod compare;
pub mod completions;
pub mod convert;
pub mod count;
mod count_asm;
pub mod doctor;
pub mod engine;
pub mod field_claims;
pub mod gate;
mod gate_output;
pub mod generate;
pub mod inspect;
pub mod kernel_table;
pub mod limits;
pub mod list;
pub mod model;
pub mod model_args;
pub mod perplexity;
pub mod receipt;
pub mod report;
pub mod score;
pub mod verify;
