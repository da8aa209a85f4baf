//! Choices that a probe makes at start-up: the kernel that decodes, and the kernel for batches of prompt tokens.

pub mod decode_kernel;
pub mod prefill_kernel;
pub mod probe;
