//! One file a command.

pub mod baseline;
pub mod compare;
pub mod gate;
pub mod generate;
pub mod list;
pub mod model;
pub mod perplexity;
pub mod report;
pub mod verify;
