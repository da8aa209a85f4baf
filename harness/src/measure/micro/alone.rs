//! One kernel timed on its own, without rounds to compare it in.

use super::check;
use super::epochs::Shared;
use super::operands::Operands;
use crate::error::{Error, Result};
use crate::guests::{Failed, Guests};
use crate::measure::rounds::{self, Turn, clocked, orders};
use crate::scenario::Cell;
use crate::worker::protocol::JobCell;
use kernels::parallel::Team;
use kernels::{CpuFeatures, Kernel};
use receipt::judge::stats::median;
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
    Ok(a_call(clocked(shared.epoch(kernel)), seed, interrupted)?)
}

/// The same of a kernel of a library, in its process.
pub fn time_guest(guests: &mut Guests, index: usize, cell: &JobCell, interrupted: &AtomicBool) -> Result<f64> {
    let named = |guests: &Guests, failed: Failed| match failed {
        Failed::Row { status, why } => Error::failed(format!("{}: {status}: {why}", guests.record(index).id)),
        Failed::Run(error) => error,
    };
    guests.prepare(index, cell).map_err(|failed| named(guests, failed))?;
    let Some(mut process) = guests.take(index) else {
        return Err(Error::failed("a process was ready and is not there"));
    };
    let ns = a_call(Box::new(|calls| process.run(calls)), guests.seed(), interrupted).map_err(|f| named(guests, f))?;
    process.leave();
    guests.give_back(index, process);
    Ok(ns)
}

/// Median nanoseconds of a call.
fn a_call(turn: Turn<'_, Failed>, seed: u64, interrupted: &AtomicBool) -> std::result::Result<f64, Failed> {
    let turns = &mut [turn];
    let calls = rounds::calibrate(turns, 1e6).map_err(|(_, failed)| failed)?;
    let rounds = rounds::run(turns, calls, orders(1, EPOCHS, seed), interrupted, |_| false).map_err(|(_, e)| e)?;
    let per_call: Vec<f64> = rounds.iter().map(|round| round.ns[0] as f64 / f64::from(calls)).collect();
    let none = || Error::interrupted("interrupted while timing").into();
    if per_call.is_empty() { Err(none()) } else { Ok(median(&per_call)) }
}
