//! How much of the last-level cache this process really gets. A virtual machine reports the cache of the whole socket,
//! which belongs to many tenants: on such a machine CPUID said 260 MiB, and reading slowed down beyond 64. So the size
//! at which it slows down counts.

use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::machine::host;
use crate::machine::host::UNKNOWN_CACHE_BYTES;
use kernels::parallel::Team;
use kernels::{AlignedBuffer, CpuFeatures, Prefetch, stream};
use receipt::{LastLevel, SweepPoint};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Bytes that one sample reads at least, so that the clock and the start of the loop do not count.
const SAMPLE_BYTES: u64 = 32 << 20;
/// Most bytes that are read in turn, enough for any cache sold.
const MAX_BYTES: u64 = 768 << 20;
/// Rates of cache and memory that differ by less than this are one rate.
const STEP: f64 = 1.25;
/// Bytes between two addresses that are written before the reads: memory never written is one page of zeros.
const PAGE: usize = 4096;

/// Bytes that copies outgrow at least (16 MiB): where memory is as fast as the last level, no step shows its size.
pub const LEAST_OUTGROWN: u64 = 16 << 20;

/// What the sweep over sizes reads, and how often.
pub struct Sweep<'a> {
    /// Bytes of each cache as the system reports them, by level.
    pub caches: &'a [u64],
    /// Buffer sizes to read, in bytes, from [`sizes`].
    pub sizes: &'a [u64],
    pub features: CpuFeatures,
    pub samples: usize,
}

/// Buffer sizes to read, in bytes: the second level's and its doubles, up to half more than the last-level cache that
/// the system reports. None where there is no such cache.
pub fn sizes(caches: &[u64], memory_bytes: Option<u64>) -> Vec<u64> {
    let [_, l2, .., last] = caches else { return Vec::new() };
    let most =
        (last + last / 2).min(MAX_BYTES).min(memory_bytes.map_or(MAX_BYTES, |bytes| bytes / 4)) & !(PAGE as u64 - 1);
    if *l2 < PAGE as u64 || most < 4 * l2 {
        return Vec::new();
    }
    let mut sizes: Vec<u64> = (0..).map(|i| l2 << i).take_while(|bytes| bytes + bytes / 4 < most).collect();
    sizes.push(most);
    sizes
}

/// Reads one buffer at each of [`sizes`] on one thread. `None` where there are none.
pub fn sweep(buffer: &mut [u8], plan: &Sweep<'_>, interrupted: &AtomicBool) -> Result<Option<LastLevel>> {
    let &Sweep { caches, sizes, features, samples } = plan;
    let (Some(&l2), Some(&reported), false) = (caches.get(1), caches.last(), sizes.is_empty()) else { return Ok(None) };
    let (mut team, mut points, mut written) = (Team::single(), Vec::new(), 0);
    for &bytes in sizes {
        if interrupted.load(Ordering::Relaxed) {
            return Err(Error::interrupted("interrupted while measuring the machine's limits"));
        }
        let Some(part) = buffer.get_mut(..bytes as usize) else { break };
        part[written..].iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        written = part.len();
        let passes = SAMPLE_BYTES.div_ceil(bytes) as usize;
        let mut read_gb_s = 0f64;
        for sample in 0..3 * samples {
            let start = Instant::now();
            black_box(stream::read_passes(
                &mut team,
                features,
                black_box(&*part),
                passes,
                [None, Some(Prefetch::OneLevel), Some(Prefetch::TwoLevels)][sample % 3],
            ));
            // Whatever else runs on the machine only slows a sample down: the best one counts.
            read_gb_s = read_gb_s.max((passes as u64 * bytes) as f64 / (start.elapsed().as_nanos() as f64).max(1.0));
        }
        points.push(SweepPoint { bytes, read_gb_s });
    }
    let found = effective(&points, l2);
    let effective_bytes = found.unwrap_or(l2).min(reported);
    Ok(Some(LastLevel { reported_bytes: reported, effective_bytes, step: found.is_some(), points }))
}

/// The largest size that is read faster than the geometric mean of the rate just past the second level, `l2`, and that
/// of the largest size, which is memory's. None where the two are alike: nothing beyond the second level is any faster
/// than memory.
///
/// A sample that was slowed down at a smaller size changes nothing, and one at the largest makes the result larger: the
/// copies of cells that are read from memory are then more than needed, and never too few.
fn effective(points: &[SweepPoint], l2: u64) -> Option<u64> {
    let beyond: Vec<&SweepPoint> = points.iter().filter(|p| p.bytes > l2).collect();
    let memory = beyond.last()?.read_gb_s;
    let cache = beyond.iter().take(2).map(|p| p.read_gb_s).fold(0.0, f64::max);
    if !(memory > 0.0 && cache > STEP * memory) {
        return None;
    }
    beyond.iter().rfind(|p| p.read_gb_s > (cache * memory).sqrt()).map(|p| p.bytes)
}

/// Bytes that copies read from memory must outgrow, by the sweep alone, for commands that measure no other limits.
pub fn to_outgrow(machine: &Machine, stop: &AtomicBool) -> Result<u64> {
    let host = host::host();
    let caches = &host.caches_bytes;
    let sizes = sizes(caches, host.memory_bytes);
    let mut buffer = AlignedBuffer::<u8>::zeroed(sizes.last().copied().unwrap_or(0) as usize);
    let plan = Sweep { caches, sizes: &sizes, features: machine.features, samples: 2 };
    let found = sweep(&mut buffer, &plan, stop)?;
    Ok(outgrown(caches, found.as_ref(), machine.threads))
}

/// Bytes of the largest cache that `threads` threads have together, the last level as found, a large one if unknown.
pub fn outgrown(caches: &[u64], found: Option<&LastLevel>, threads: usize) -> u64 {
    let last = found.map(|found| found.effective_bytes).or_else(|| caches.last().copied());
    let own = caches.get(1).map_or(0, |l2| l2.saturating_mul(threads as u64));
    last.map_or(UNKNOWN_CACHE_BYTES, |last| last.max(own).max(LEAST_OUTGROWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_double_from_the_second_level_to_past_the_last() {
        let mib = |sizes: Vec<u64>| sizes.into_iter().map(|s| s >> 20).collect::<Vec<_>>();
        let caches = [48 << 10, 2 << 20, 260 << 20];
        assert_eq!(mib(sizes(&caches, None)), [2, 4, 8, 16, 32, 64, 128, 256, 390]);
        assert_eq!(mib(sizes(&caches, Some(1 << 30))), [2, 4, 8, 16, 32, 64, 128, 256]);
        assert_eq!(mib(sizes(&[32 << 10, 1 << 20, 32 << 20], None)), [1, 2, 4, 8, 16, 32, 48]);
        // Without a shared level there is nothing to find, nor where memory is smaller than the caches.
        assert!(sizes(&[32 << 10, 1 << 20], None).is_empty() && sizes(&[], None).is_empty());
        assert!(sizes(&caches, Some(16 << 20)).is_empty() && sizes(&[0, 0, u64::MAX / 2], None).is_empty());
    }

    #[test]
    fn the_size_at_which_reading_slows_down_counts() {
        for (rates, size) in [
            // As measured where CPUID says 260 MiB: 64 MiB is half way down, 128 MiB is nearly memory.
            (&[37.6, 30.3, 29.5, 29.7, 28.8, 24.6, 17.5, 15.9, 15.7][..], Some(64 << 20)),
            // A slow sample in the middle does not make the cache smaller.
            (&[37.6, 30.3, 12.0, 29.7, 28.8, 24.6, 17.5, 15.9, 15.7], Some(64 << 20)),
            // Nor does one just past the second level hide the step.
            (&[37.6, 16.0, 29.5, 29.7, 28.8, 24.6, 17.5, 15.9, 15.7], Some(64 << 20)),
            // Without a step there is no size.
            (&[80.0, 16.0, 15.0, 15.5, 15.2], None),
            (&[80.0], None),
            (&[0.0, 0.0, 0.0], None),
        ] {
            let point = |(i, &read_gb_s): (usize, &f64)| SweepPoint { bytes: (2 << 20) << i, read_gb_s };
            let points: Vec<SweepPoint> = rates.iter().enumerate().map(point).collect();
            assert_eq!(effective(&points, 2 << 20), size, "{rates:?}");
        }
    }

    #[test]
    fn copies_outgrow_all_caches_that_threads_have() {
        let caches = [48 << 10, 2 << 20, 260 << 20];
        let outgrown_of = |effective_bytes, threads| {
            let found = LastLevel { reported_bytes: 260 << 20, effective_bytes, step: true, points: vec![] };
            outgrown(&caches, Some(&found), threads)
        };
        assert_eq!(outgrown_of(64 << 20, 2), 64 << 20);
        assert_eq!(outgrown_of(64 << 20, 48), 96 << 20, "private caches of 48 threads");
        assert_eq!(outgrown_of(2 << 20, 1), LEAST_OUTGROWN);
        assert_eq!([outgrown(&caches, None, 1), outgrown(&[], None, 1)], [260 << 20, UNKNOWN_CACHE_BYTES]);
    }

    #[test]
    fn a_sweep_stays_within_what_is_reported() {
        let (caches, never) = ([32 << 10, 1 << 18, 1 << 20], AtomicBool::new(false));
        let sizes = sizes(&caches, None);
        let mut buffer = AlignedBuffer::<u8>::zeroed(sizes[sizes.len() - 1] as usize);
        let plan = Sweep { caches: &caches, sizes: &sizes, features: CpuFeatures::detect(), samples: 1 };
        let found = sweep(&mut buffer, &plan, &never).expect("not interrupted");
        let found = found.expect("there is a last level");
        assert_eq!((found.points.len(), found.reported_bytes), (sizes.len(), 1 << 20));
        assert!(found.points.iter().all(|p| p.read_gb_s > 0.0), "{found:?}");
        assert!((1 << 18..=1 << 20).contains(&found.effective_bytes), "{found:?}");
        assert!(buffer.iter().step_by(PAGE).all(|byte| *byte == 1), "every page was written");
        let stopped = sweep(&mut buffer, &plan, &AtomicBool::new(true));
        assert_eq!(stopped.expect_err("interrupted").exit(), crate::error::Exit::Interrupted);
    }
}
