//! The regression gate: two builds in lockstep, exact checks before any timing, fresh process pairs as the sample.

mod baseline;
mod child;
mod control;
mod exact;
mod job;
mod lockstep;
mod process;
mod revision;
mod run;
mod scratch;

pub use baseline::{Baseline, Store};
pub use child::run as run_child;
pub use revision::build_revision;
pub use run::{Asked, compute, run};
pub use scratch::Scratch;
