//! The one child process: it runs kernels apart from the program that judges them. `count` follows a call in it
//! instruction by instruction, `gate` lets those of two builds take turns.
//!
//! Foreign code that is loaded here may print, hang or crash. So the protocol is spoken over a descriptor of its own
//! and never over stdout, every request has a patience, and a worker that fails is named with the request it was given.
//!
//! The worker's side is `serve` and what it uses; the program's side is `parent`, `start` and `old`.

pub mod call;
pub mod channel;
pub mod composition;
pub mod control;
#[cfg(target_os = "linux")]
mod guest;
mod libraries;
pub mod log;
mod old;
pub mod parent;
mod product;
pub mod protocol;
mod serve;
mod session;
mod speak;
pub mod start;
#[cfg(unix)]
mod stdio;
#[cfg(all(test, unix))]
mod tests;
mod text;
mod visit;

pub use serve::{WorkerArgs, run};
