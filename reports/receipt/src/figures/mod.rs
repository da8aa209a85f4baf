//! How numbers are written, in one place, so that the page, the charts and the terminal agree to the last digit.

mod number;
mod ratio;

pub use number::{
    bytes, cut, duration, duration_or_none, integer, label, measured, median, mib, number, percent, plain, prompt,
    ratio, run_time, short_hash,
};
pub use ratio::{SIGNS, interval, judged, ratio_with_interval};
