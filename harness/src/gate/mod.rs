//! The regression gate: two builds in lockstep, exact checks before any timing, fresh process pairs as the sample.

mod baseline;
mod builds;
mod cargo;
mod cells;
mod exact;
mod gaps;
mod git;
mod lockstep;
mod process;
mod program;
mod proof;
mod revision;
mod run;
mod scratch;
mod sides;
pub mod wait;

pub use baseline::{Baseline, Store};
pub use builds::build as build_revision;
pub use program::{Kept, Side};
pub use proof::compute;
pub use revision::{Named, Revision, find};
pub use run::run;
pub use scratch::Scratch;
pub use sides::{Asked, Sides};
