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
    /// Whether the cell's output is compared with the oracle's.
    pub oracle: bool,
    /// The gate's orders: the control block, and the gate's process id.
    pub turns: &'a Turns<'a>,
    /// Tells the gate that the cell is ready, with the hash of its output.
    pub prepared: &'a mut dyn FnMut(String) -> Result<()>,
}

impl Visit<'_> {
    /// Says that the cell is ready, and runs `epoch`, which gets a number of calls, whenever the gate orders it.
    pub fn run(self, output: String, mut epoch: impl FnMut(u32) -> Result<Spent>) -> Result<()> {
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

/// How a worker takes its turns: the control block, the gate's process, and the planted slowdown.
pub struct Turns<'c> {
    pub control: &'c Control,
    /// Process id of the gate: the worker ends when the gate is gone.
    pub parent: Option<u32>,
    pub inject: Option<receipt::Injection>,
}

/// One epoch. A planted slowdown is measured with it.
fn epoch_of(calls: u32, epoch: &mut impl FnMut(u32) -> Result<Spent>, percent: f64) -> Result<Spent> {
    let mut spent = epoch(calls)?;
    if percent > 0.0 {
        let planted = timed(|| {
            let (start, long) = (Instant::now(), Duration::from_nanos(spent.ns).mul_f64(percent / 100.0));
            while start.elapsed() < long {
                std::hint::spin_loop();
            }
            Ok::<(), crate::error::Error>(())
        })?;
        spent.ns += planted.ns;
        spent.cpu_ns += planted.cpu_ns;
        spent.involuntary_switches += planted.involuntary_switches;
    }
    Ok(spent)
}

/// Id of the parent process; it changes when the parent ends.
#[cfg(unix)]
pub fn parent() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

/// `None`: this platform has no parent process ids.
#[cfg(not(unix))]
pub fn parent() -> Option<u32> {
    None
}
