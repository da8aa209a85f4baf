//! What the measuring thread spent besides wall time: a round that was preempted shows it here.

/// CPU time and involuntary context switches of this thread since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadUsage {
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Times the scheduler took the CPU away.
    pub involuntary_switches: u64,
}

impl ThreadUsage {
    /// Now. Zero where the system does not say.
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::time::{ClockId, clock_gettime};
        let cpu_ns = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
            .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64);
        let switches = getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |u| u.involuntary_context_switches() as u64);
        Self { cpu_ns, involuntary_switches: switches }
    }

    /// Now. Zero where the system does not say.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        Self::default()
    }

    /// What was spent since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
        }
    }
}
