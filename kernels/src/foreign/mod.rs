//! Kernels of a library that somebody else wrote, as `kernels/include/tritbench.h` describes them. Nothing here loads
//! a library: whoever did hands over what its `tb_kernels` gave.
//!
//! A foreign kernel becomes an ordinary [`crate::KernelDescriptor`] whose gemv is [`crate::Gemv::Foreign`], so
//! [`crate::Kernel`] stays the only caller, and suite and measurements take it as any other. What differs is here:
//! weights are packed by the library, activations are prepared once a token, and every call may fail.
//!
//! One that applies scales of groups has a second descriptor, [`crate::KernelDescriptor::with_groups`]: as the first
//! its scales are 1 and its sums integers, as the second it is given scales, beside our kernels of groups.

pub mod abi;
mod call;
mod canary;
mod check;
mod describe;
pub(crate) mod fault;
#[cfg(test)]
mod groups_tests;
pub(crate) mod kernel;
mod prepared;
mod products;
mod scaled;
mod series;
#[cfg(test)]
mod tests;
mod watch;

pub use check::BadField;
pub use fault::Fault;
pub use kernel::ForeignKernel;
pub use prepared::Prepared;
pub use products::Work;
pub use watch::{Call, Note, in_series, look_after_each, note_in, noted};
