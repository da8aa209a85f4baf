//! One kernel timed on its own, without rounds to compare it in.

use super::check;
use super::epochs::Shared;
use super::operands::Operands;
use crate::error::{Error, Result};
use crate::measure::rounds::{self, Turn, clocked, orders};
use crate::scenario::Cell;
use kernels::parallel::Team;
use kernels::{CpuFeatures, Kernel};
use receipt::judge::stats::median;
use std::convert::Infallible;
use std::sync::atomic::AtomicBool;

/// Epochs of about a millisecond.
const EPOCHS: usize = 60;

/// Median nanoseconds of one call by one thread, to stand beside a static model's cycles, never another kernel.
pub fn time_alone(
    cell: Cell,
    kernel: Kernel,
    seed: u64,
    features: CpuFeatures,
    interrupted: &AtomicBool,
) -> Result<f64> {
    let operands = Operands::new(cell, &[kernel], 0, features, seed)?;
    let mut team = Team::single();
    check::check(cell, &operands, &[kernel], &mut team)?;
    let shared = Shared::new(cell, &operands, &mut team, features);
    let mut turns: [Turn<'_, Infallible>; 1] = [clocked(shared.epoch(kernel))];
    let Ok(calls) = rounds::calibrate(&mut turns, 1e6);
    let Ok(rounds) = rounds::run(&mut turns, calls, orders(1, EPOCHS, seed), interrupted, |_| false);
    let per_call: Vec<f64> = rounds.iter().map(|round| round.ns[0] as f64 / f64::from(calls)).collect();
    if per_call.is_empty() { Err(Error::interrupted("interrupted while timing")) } else { Ok(median(&per_call)) }
}
