//! The machine as this process sees it: flags, host facts, memory.

mod flags;
pub mod host;
pub mod memory;

pub use flags::{Machine, MachineArgs};
pub use host::cpus as all_cpus;
