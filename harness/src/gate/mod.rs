//! The regression gate: two builds in lockstep, exact checks before any timing, fresh process pairs as the sample.

mod baseline;
mod cells;
mod exact;
mod gaps;
mod lockstep;
mod process;
mod proof;
mod revision;
mod run;
mod scratch;
mod sides;

pub use baseline::{Baseline, Store};
pub use proof::compute;
pub use revision::build_revision;
pub use run::run;
pub use scratch::Scratch;
pub use sides::Asked;
