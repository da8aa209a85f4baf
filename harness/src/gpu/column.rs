//! What takes turns on a GPU, and its times: the device's, which count, and the host's beside them.

use crate::measure::rounds::Spent;
use kernels_gpu::{Copies, Device, GpuError, Stream};

/// What a column repeats.
pub enum Source {
    /// A kernel's product.
    Product(Copies),
    /// A plain read.
    Stream(Stream),
}

/// A column of a round.
pub struct Column {
    source: Source,
    /// Wall times of the turns in nanoseconds.
    walls: Vec<u64>,
    ns_per_call: f64,
}

/// Calls that surely take a tick of the device's clock.
const ENOUGH_CALLS: u32 = 256;

impl Column {
    /// A column that has not run.
    pub fn new(source: Source) -> Self {
        Self { source, walls: Vec::new(), ns_per_call: 0.0 }
    }

    /// A turn: so many calls in one submission.
    ///
    /// # Errors
    /// What the device says; a clock of it that cannot be right.
    pub fn epoch(&mut self, device: &Device, calls: u32) -> Result<Spent, GpuError> {
        let spent = match &mut self.source {
            Source::Product(copies) => copies.epoch(device, calls)?,
            Source::Stream(stream) => stream.epoch(device, calls)?,
        };
        let (device_ns, wall_ns) = (spent.device_ns.round(), spent.wall_ns);
        if device_ns < 1.0 && calls >= ENOUGH_CALLS {
            return Err(GpuError::Refused(format!("its timestamps say that {calls} calls take no time")));
        }
        // Both clocks run for the whole pass, and the host's for more.
        if device_ns > 1.05 * wall_ns as f64 + 1e5 {
            return Err(GpuError::Refused(format!("its timestamps are {device_ns} ns apart in {wall_ns} ns")));
        }
        self.walls.push(wall_ns);
        self.ns_per_call = device_ns / f64::from(calls.max(1));
        let ns = device_ns as u64;
        Ok(Spent { ns, cpu_ns: ns, involuntary_switches: 0 })
    }

    /// Nanoseconds of a call in the last turn.
    pub fn ns_per_call(&self) -> f64 {
        self.ns_per_call
    }

    /// Forgets wall times: those of the turns before the rounds.
    pub fn forget_walls(&mut self) {
        self.walls.clear();
    }

    /// Wall time of a turn by its number.
    pub fn wall(&self, turn: usize) -> u64 {
        self.walls.get(turn).copied().unwrap_or(0)
    }
}
