//! Whether a process computes with more threads than it was given: threads of a library's own would make its kernel
//! faster than the others may be, and disturb their turns. CPU time tells, however short they live.

use std::time::{Duration, Instant};

/// CPU time may exceed what the threads can use by this factor, and by this much in all: clocks are read one after the
/// other.
const SHARE: f64 = 1.25;
const LEAST: Duration = Duration::from_millis(2);

/// Wall time and this process's CPU time of all stretches so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Busy {
    wall: Duration,
    cpu: Duration,
}

impl Busy {
    /// Runs a stretch.
    pub fn over<R>(&mut self, stretch: impl FnOnce() -> R) -> R {
        let (wall, cpu) = (Instant::now(), process_time());
        let made = stretch();
        // Libraries are loaded on Linux only, which says.
        self.cpu += process_time().zip(cpu).map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        self.wall += wall.elapsed();
        made
    }

    /// What more than `threads` threads computed, in words.
    pub fn too_many(&self, threads: usize) -> Option<String> {
        let allowed = self.wall.mul_f64(threads as f64);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        (self.cpu > allowed.mul_f64(SHARE) && self.cpu > allowed + LEAST).then(|| {
            let given = if threads == 1 { "the one thread".into() } else { format!("the {threads} threads") };
            let (cpu, wall) = (ms(self.cpu), ms(self.wall));
            format!("computes with more than {given} that it is given: {cpu:.1} ms of CPU time in {wall:.1} ms")
        })
    }
}

/// CPU time of all threads of this process so far; none where the system does not say.
#[cfg(target_os = "linux")]
pub fn process_time() -> Option<Duration> {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok().map(Duration::from)
}

/// CPU time of all threads of this process so far; none where the system does not say.
#[cfg(not(target_os = "linux"))]
pub fn process_time() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_cpu_time_than_threads_can_use_is_told() {
        let busy = |wall: u64, cpu: u64| Busy { wall: Duration::from_millis(wall), cpu: Duration::from_millis(cpu) };
        for (wall, cpu, threads) in [(100, 100, 1), (100, 120, 1), (1, 2, 1), (100, 240, 2), (0, 1, 1)] {
            assert_eq!(busy(wall, cpu).too_many(threads), None, "{wall} {cpu} {threads}");
        }
        let told = busy(100, 190).too_many(1).expect("too many");
        assert!(
            told.contains("more than the one thread") && told.contains("190.0 ms of CPU time in 100.0 ms"),
            "{told}"
        );
        assert!(busy(100, 300).too_many(2).expect("too many").contains("the 2 threads"));
    }
}
