//! Choices that are made by a probe at start-up.

pub mod decode_kernel;
pub mod prefill_kernel;
pub mod probe;
