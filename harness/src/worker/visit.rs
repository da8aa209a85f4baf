//! A cell in a worker, from its preparation until the gate leaves it.

use super::control::{Control, Order};
use super::protocol::JobCell;
use crate::error::Result;
use crate::measure::rounds::{Spent, timed};
use kernels::Kernel;
use receipt::Residency;
use std::time::{Duration, Instant};

/// How long a worker waits for an order before it checks that its parent still runs.
const PATIENCE: Duration = Duration::from_millis(500);

/// A cell from its preparation to the order to leave it.
pub struct Visit<'a> {
    pub cell: &'a JobCell,
    pub kernel: Kernel,
    /// Whether the output is compared with the oracle's.
    pub oracle: bool,
    /// Orders, and who gives them.
    pub turns: &'a Turns,
    /// Says that all is ready, with the hash of the output.
    pub prepared: &'a mut dyn FnMut(String) -> Result<()>,
}

impl Visit<'_> {
    /// Says that all is ready, and runs `epoch` (so many calls) whenever it is ordered.
    pub fn run(self, output: String, mut epoch: impl FnMut(u32) -> Result<()>) -> Result<()> {
        (self.prepared)(output)?;
        let Turns { control, parent, inject } = self.turns;
        let planted = inject.as_ref().filter(|i| i.kernel == self.kernel.id()).map_or(0.0, |i| i.percent);
        loop {
            match control.next(PATIENCE) {
                Some(Order::Run(calls)) => {
                    if self.cell.residency != Residency::Dram && calls > 1 {
                        // The caches hold the other processes' weights: one call brings this process's weights back.
                        epoch(1)?;
                    }
                    control.done(epoch_of(calls, &mut epoch, planted)?);
                }
                Some(Order::Leave) => return Ok(()),
                None if self::parent() != *parent => return Ok(()),
                None => {}
            }
        }
    }
}

/// The control block, and what is planted.
pub struct Turns {
    pub control: Control,
    /// Process id of the gate: the worker ends when the gate is gone.
    pub parent: Option<u32>,
    pub inject: Option<receipt::Injection>,
}

/// One epoch. A planted slowdown is inside the measured time.
fn epoch_of(calls: u32, epoch: &mut impl FnMut(u32) -> Result<()>, percent: f64) -> Result<Spent> {
    timed(|| {
        let start = Instant::now();
        epoch(calls)?;
        if percent > 0.0 {
            let until = start.elapsed().mul_f64(1.0 + percent / 100.0);
            while start.elapsed() < until {
                std::hint::spin_loop();
            }
        }
        Ok(())
    })
}

/// Parent process id; it changes when the parent ends.
#[cfg(unix)]
pub fn parent() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
pub fn parent() -> Option<u32> {
    None
}
