//! The regression gate: two builds in lockstep, exact checks before any timing, fresh process pairs as the sample.

mod verdicts;

pub use verdicts::{BASELINE, CURRENT, summarize, title};
