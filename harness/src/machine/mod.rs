//! The machine as this process sees it: flags, host facts, memory.

#[cfg(any(test, target_arch = "aarch64"))]
mod arm;
pub mod emulated;
mod flags;
pub mod host;
pub mod memory;

pub use flags::{Machine, MachineArgs};
pub use host::cpus as all_cpus;
