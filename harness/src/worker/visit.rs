//! One cell in a worker, from its preparation to the order to leave it: epochs run when the gate orders them.

use super::control::{Control, Order, Spent};
use super::protocol::JobCell;
use crate::error::Result;
use crate::measure::clock::ThreadUsage;
use kernels::Kernel;
use receipt::{Injection, Residency};
use std::time::{Duration, Instant};

/// How long a worker waits for an order before it checks that its parent still runs.
const PATIENCE: Duration = Duration::from_millis(500);

/// A cell from its preparation to the order to leave it.
pub struct Visit<'a> {
    /// What was asked for.
    pub cell: &'a JobCell,
    /// Its kernel.
    pub kernel: Kernel,
    /// Whether the output is compared with the oracle's.
    pub oracle: bool,
    /// Who orders epochs.
    pub turns: &'a Turns,
    /// Takes the hash of the output when all is ready.
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
                Some(Order::Run { calls, .. }) => {
                    if self.cell.residency != Residency::Dram && calls > 1 {
                        // The caches hold the other processes' weights: one call brings this process's weights back.
                        epoch(1)?;
                    }
                    control.done(timed(&mut epoch, calls, planted)?);
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
    control: Control,
    /// Process id of the gate: the worker ends when the gate is gone.
    parent: Option<u32>,
    inject: Option<Injection>,
}

impl Turns {
    /// With the gate that started this process.
    pub fn new(control: Control, inject: Option<Injection>) -> Self {
        Self { control, parent: parent(), inject }
    }
}

/// One epoch. A planted slowdown is inside the measured time.
fn timed(epoch: &mut impl FnMut(u32) -> Result<()>, calls: u32, percent: f64) -> Result<Spent> {
    let before = ThreadUsage::now();
    let start = Instant::now();
    epoch(calls)?;
    if percent > 0.0 {
        let until = start.elapsed().mul_f64(1.0 + percent / 100.0);
        while start.elapsed() < until {
            std::hint::spin_loop();
        }
    }
    let ns = start.elapsed().as_nanos() as u64;
    let used = ThreadUsage::now().since(before);
    Ok(Spent { ns, cpu_ns: used.cpu_ns, involuntary_switches: used.involuntary_switches as u32 })
}

/// Parent process id; it changes when the parent ends.
#[cfg(unix)]
fn parent() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
fn parent() -> Option<u32> {
    None
}
