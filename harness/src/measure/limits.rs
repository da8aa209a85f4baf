//! The limits of this machine: streaming bandwidth by thread count and size, the clock, and peak products a cycle.
//!
//! Peaks and clock are taken in turns, so that a clock that moves during the run moves both sides of products a cycle.

use super::last_level::{self, Sweep};
use super::rounds::ThreadUsage;
use crate::error::{Error, Result};
use crate::machine::Machine;
use kernels::parallel::Team;
use kernels::peak::{self, Multiply};
use kernels::{AlignedBuffer, CpuFeatures, Kernel, Prefetch, stream};
use receipt::judge::level::{capacity, level};
use receipt::judge::stats::median;
use receipt::{Bandwidth, KernelMultiply, Limits, MultiplyPeak, Spread, TeamPeak};
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// How much time to spend on measuring the machine's limits.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    samples: usize,
    /// Samples for each size of the last-level cache's sweep.
    sweep: usize,
    /// For all bandwidth samples together.
    bandwidth_ns: f64,
    /// For one sample of clock or peak.
    peak_ns: f64,
}

impl Effort {
    /// The effort of `limits`: up to 10 s.
    pub const FULL: Self = Self { samples: 15, sweep: 5, bandwidth_ns: 4e9, peak_ns: 3e6 };
    /// The effort of `limits --quick`: 2 to 3 s.
    pub const QUICK: Self = Self { samples: 9, sweep: 3, bandwidth_ns: 1e9, peak_ns: 8e5 };
    /// The effort beside other measurements: about a second.
    pub const BRIEF: Self = Self { samples: 9, sweep: 2, bandwidth_ns: 6e8, peak_ns: 6e5 };
}

/// For each of the samples that show whether the clock drifts.
const CLOCK_SAMPLE_NS: f64 = 4e6;

/// Which limits to measure, at which sizes, in how much time.
pub struct Plan<'a> {
    /// Thread counts to measure bandwidth with, each a team of its own.
    pub threads: Vec<usize>,
    /// Bytes of a core's data and unified caches by level, as in the receipt's host.
    pub caches_bytes: &'a [u64],
    /// Bytes of memory in the machine, if known.
    pub memory_bytes: Option<u64>,
    /// Sizes of operands in bytes to measure besides one for each cache level.
    pub operand_bytes: Vec<u64>,
    pub effort: Effort,
    /// A flag that others set to stop the measurement between points.
    pub interrupted: &'a AtomicBool,
}

/// Most bytes that stand for memory, enough for any cache sold.
const MAX_DRAM_BYTES: u64 = 1 << 30;

/// Measures the limits in the plan; `progress` is told what comes next. Records too which multiply each kernel uses.
pub fn measure(
    machine: &Machine,
    kernels: &[Kernel],
    plan: &Plan<'_>,
    mut progress: impl FnMut(String),
) -> Result<Limits> {
    let (start, before) = (Instant::now(), ThreadUsage::now());
    let mut limits = Limits::default();
    progress("clock and peak products a cycle".into());
    limits.clock_ghz = clock(plan.effort);
    for multiply in peak::ALL {
        check(plan)?;
        limits.multiplies.extend(multiply_peak(multiply, machine, plan.effort));
    }
    let of = |kernel: &Kernel| {
        let multiply = peak::of(kernel.descriptor())?;
        Some(KernelMultiply { kernel: kernel.id().into(), multiply: multiply.id.into() })
    };
    limits.kernels = kernels.iter().filter_map(of).collect();

    let largest = |points: &[(usize, Vec<Point>)]| points.iter().flat_map(|(_, p)| p).map(|p| p.bytes).max();
    let points_for = |caches: &[u64]| -> Vec<(usize, Vec<Point>)> {
        plan.threads.iter().map(|&t| (t, points(t, caches, plan))).collect()
    };
    // With the reported caches the points are largest. Pages that are never written take no memory.
    let sizes = last_level::sizes(plan.caches_bytes, plan.memory_bytes);
    let bytes = largest(&points_for(plan.caches_bytes)).max(sizes.last().copied()).unwrap_or(0);
    let mut buffer = AlignedBuffer::<u8>::zeroed(bytes as usize);
    progress("last-level cache".into());
    let (caches, features, samples) = (plan.caches_bytes, machine.features, plan.effort.sweep);
    let sweep = Sweep { caches, sizes: &sizes, features, samples };
    limits.last_level = last_level::sweep(&mut buffer, &sweep, plan.interrupted)?;
    let points = points_for(&limits.caches(plan.caches_bytes));
    let count = points.iter().map(|(_, p)| p.len()).sum::<usize>().max(1);
    // Each point is read by two loops and written by two.
    let samples = plan.effort.samples;
    let sampling = Sampling { samples, ns: plan.effort.bandwidth_ns / (4 * count * samples) as f64 };
    for (threads, points) in points {
        let mut team = machine.team_with(threads)?;
        if threads > 1 {
            for peak in &mut limits.multiplies {
                check(plan)?;
                peak.teams.extend(team_peak(&mut team, machine, peak, plan.effort));
            }
        }
        for point in points {
            check(plan)?;
            progress(format!("bandwidth: {} on {threads} thread(s)", point.level));
            let bytes = &mut buffer[..point.bytes as usize];
            limits.bandwidth.push(bandwidth(&mut team, machine.features, bytes, point.level, sampling));
        }
    }
    limits.elapsed_s = start.elapsed().as_secs_f64();
    let cpu_s = ThreadUsage::now().since(before).cpu_ns as f64 / 1e9;
    limits.cpu_share = (cpu_s > 0.0).then(|| (cpu_s / limits.elapsed_s).min(1.0));
    Ok(limits)
}

fn check(plan: &Plan<'_>) -> Result<()> {
    match plan.interrupted.load(Ordering::Relaxed) {
        true => Err(Error::interrupted("interrupted while measuring the machine's limits")),
        false => Ok(()),
    }
}

/// Thread counts to measure: powers of two below `all`, and `all`.
pub fn thread_counts(all: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = (0..).map(|i| 1 << i).take_while(|n| *n < all).collect();
    counts.push(all.max(1));
    counts
}

/// A size to stream.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    level: String,
    bytes: u64,
}

/// Half of each cache (a thread's own, but for the shared last of three or more), memory, and the operands.
fn points(threads: usize, caches: &[u64], plan: &Plan<'_>) -> Vec<Point> {
    let last = caches.last().copied().unwrap_or(crate::machine::host::UNKNOWN_CACHE_BYTES);
    let mut sizes: Vec<u64> = (0..caches.len()).map(|i| capacity(caches, i, threads) / 2).collect();
    let affordable = plan.memory_bytes.map_or(MAX_DRAM_BYTES, |bytes| bytes / 4);
    sizes.push((4 * last).max(64 << 20).min(affordable).min(MAX_DRAM_BYTES));
    // An operand that is nearly one of the sizes says nothing new.
    for &bytes in &plan.operand_bytes {
        if !sizes.iter().any(|s| (*s as f64 / bytes.max(1) as f64).ln().abs() < 0.1) {
            sizes.push(bytes);
        }
    }
    let whole = |bytes: u64| bytes.max(256 * threads as u64).next_multiple_of(256);
    let mut points: Vec<Point> =
        sizes.into_iter().map(whole).map(|bytes| Point { level: level(caches, bytes, threads), bytes }).collect();
    points.sort_by_key(|p| p.bytes);
    points.dedup();
    points
}

/// How many samples, and about how long each.
#[derive(Clone, Copy)]
struct Sampling {
    samples: usize,
    ns: f64,
}

fn bandwidth(team: &mut Team, features: CpuFeatures, bytes: &mut [u8], level: String, sampling: Sampling) -> Bandwidth {
    let total = bytes.len();
    let better = |loops: [Spread; 2]| if loops[0].high >= loops[1].high { loops[0] } else { loops[1] };
    // Written first: memory never written is one page of zeros. The widest stores are not always the best.
    let mut write = |allowed| {
        rate(total, sampling, |part, passes| stream::write_passes(team, allowed, black_box(&mut bytes[part]), passes))
    };
    let write_gb_s = better([write(features), write(features.intersect(CpuFeatures::X86_64_V3))]);
    let mut read = |prefetch: Option<Prefetch>| {
        rate(total, sampling, |part, passes| {
            black_box(stream::read_passes(team, features, black_box(&bytes[part]), passes, prefetch));
        })
    };
    let read_gb_s = better([read(None), better(Prefetch::ALL.map(|kind| read(Some(kind))))]);
    Bandwidth { level, threads: team.threads(), bytes: total as u64, read_gb_s, write_gb_s }
}

/// A buffer of at least so many stretches is taken in stretches.
const STRETCHES: usize = 4;
/// Bytes of a stretch at least: a first pass that was held up makes no sample of a cache short.
const LEAST_STRETCH: usize = 8 << 20;
/// Stretches begin where the loops of a stream do.
const STRETCH_STEP: usize = 256;

/// Bytes per nanosecond of `work(part, passes)`, which goes over a part of the `total` bytes so many times.
///
/// Where one pass over all of them lasts much longer than a sample may, a sample is one pass over a stretch, each time
/// the next one, after one pass over the whole: between two visits of a byte nearly all others are visited.
fn rate(total: usize, sampling: Sampling, mut work: impl FnMut(Range<usize>, usize)) -> Spread {
    let Sampling { samples, ns: sample_ns } = sampling;
    let mut time = |part: Range<usize>, passes: usize| {
        let start = Instant::now();
        work(part, passes);
        (start.elapsed().as_nanos() as f64).max(1.0)
    };
    let mut passes = 1;
    let pass_ns = loop {
        let ns = time(0..total, passes);
        if ns > sample_ns / 8.0 || passes >= 1 << 24 {
            break ns / passes as f64;
        }
        passes *= 4;
    };
    let in_a_sample = (total as f64 * sample_ns / pass_ns) as usize;
    let stretch = in_a_sample.max(LEAST_STRETCH) / STRETCH_STEP * STRETCH_STEP;
    if total / stretch >= STRETCHES {
        let starts = (0..total / stretch).map(|i| i * stretch).cycle().take(samples);
        return spread(starts.map(|start| stretch as f64 / time(start..start + stretch, 1)).collect());
    }
    let passes = ((sample_ns / pass_ns).round() as usize).clamp(1, 1 << 26);
    spread((0..samples).map(|_| (total * passes) as f64 / time(0..total, passes)).collect())
}

fn spread(samples: Vec<f64>) -> Spread {
    let (low, high) = samples.iter().fold((f64::INFINITY, 0f64), |(l, h), &s| (l.min(s), h.max(s)));
    Spread { median: median(&samples), low, high }
}

/// Additions per nanosecond of the chain, once.
fn chain_ghz(target_ns: f64) -> Option<f64> {
    let start = Instant::now();
    // About a nanosecond for four of them on any core that this program meets.
    let additions = peak::addition_chain((target_ns * 4.0) as u64)?;
    Some(additions as f64 / (start.elapsed().as_nanos() as f64).max(1.0))
}

/// Clock of this core now in GHz, by a chain of dependent additions. `None` where there is no such chain.
pub fn clock_ghz() -> Option<f64> {
    clock(Effort::QUICK).map(|clock| clock.median)
}

/// Clocks of this core in GHz, one after the other, each over some milliseconds of this thread's CPU time: what the
/// clock does, whoever else has the core meanwhile. Empty where there is no such chain, or no CPU time.
pub fn clock_samples(count: usize) -> Vec<f64> {
    let sample = |_| {
        let before = ThreadUsage::now();
        let additions = peak::addition_chain((CLOCK_SAMPLE_NS * 4.0) as u64)?;
        let cpu_ns = ThreadUsage::now().since(before).cpu_ns;
        (cpu_ns > 0).then_some(additions as f64 / cpu_ns as f64)
    };
    // The first one wakes the core up.
    (0..=count).filter_map(sample).skip(1).collect()
}

fn clock(effort: Effort) -> Option<Spread> {
    // The first one wakes the core up.
    chain_ghz(effort.peak_ns * 4.0)?;
    Some(spread((0..2 * effort.samples).filter_map(|_| chain_ghz(effort.peak_ns)).collect()))
}

fn multiply_peak(multiply: &Multiply, machine: &Machine, effort: Effort) -> Option<MultiplyPeak> {
    let once = |products: u64| {
        let start = Instant::now();
        let ran = multiply.run(machine.features, products)?;
        Some(ran as f64 / (start.elapsed().as_nanos() as f64).max(1.0))
    };
    // Warms the vector units up and says how many products make a sample.
    let products = (once(1 << 22)? * effort.peak_ns) as u64;
    let mut gmac_s = Vec::new();
    let mut a_cycle = Vec::new();
    for _ in 0..effort.samples {
        let (before, rate, after) =
            (chain_ghz(effort.peak_ns / 4.0)?, once(products)?, chain_ghz(effort.peak_ns / 4.0)?);
        gmac_s.push(rate);
        a_cycle.push(rate / ((before + after) / 2.0));
    }
    Some(MultiplyPeak {
        id: multiply.id.into(),
        instructions: multiply.instructions.into(),
        products: multiply.products,
        mac_per_cycle: spread(a_cycle),
        gmac_s: spread(gmac_s),
        teams: Vec::new(),
    })
}

/// The same on all threads of the team at once.
fn team_peak(team: &mut Team, machine: &Machine, peak: &MultiplyPeak, effort: Effort) -> Option<TeamPeak> {
    let multiply = peak::find(&peak.id)?;
    let products = (peak.gmac_s.median * effort.peak_ns) as u64;
    let once = |products: u64, team: &mut Team| {
        let (start, ran) = (Instant::now(), AtomicU64::new(0));
        team.run(&|_| {
            ran.fetch_add(multiply.run(machine.features, products).unwrap_or(0), Ordering::Relaxed);
        });
        ran.into_inner() as f64 / (start.elapsed().as_nanos() as f64).max(1.0)
    };
    once(products, team);
    let samples = (0..effort.samples).map(|_| once(products, team)).collect();
    Some(TeamPeak { threads: team.threads(), gmac_s: spread(samples) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHES: [u64; 3] = [48 << 10, 1 << 20, 32 << 20];

    fn plan(operand_bytes: Vec<u64>, interrupted: &AtomicBool) -> Plan<'_> {
        Plan {
            threads: vec![1],
            caches_bytes: &CACHES,
            memory_bytes: Some(8 << 30),
            operand_bytes,
            effort: Effort { samples: 2, sweep: 1, bandwidth_ns: 1e6, peak_ns: 1e4 },
            interrupted,
        }
    }

    #[test]
    fn levels_count_private_caches_once_a_thread() {
        let at = |bytes, threads| level(&CACHES, bytes, threads);
        assert_eq!([at(48 << 10, 1), at(49 << 10, 1), at(90 << 10, 2)], ["L1", "L2", "L1"]);
        assert_eq!([at(2 << 20, 1), at(2 << 20, 2), at(32 << 20, 2), at(33 << 20, 2)], ["L3", "L2", "L3", "DRAM"]);
        assert_eq!(level(&[], 1, 1), "DRAM");
    }

    #[test]
    fn every_level_and_every_operand_has_a_point() {
        let never = AtomicBool::new(false);
        // 512 KiB is half of L2 already; 4.4 MB is new.
        let points = points(1, &CACHES, &plan(vec![512 << 10, 4_423_680], &never));
        let found: Vec<(&str, u64)> = points.iter().map(|p| (p.level.as_str(), p.bytes)).collect();
        let want = [("L1", 24 << 10), ("L2", 512 << 10), ("L3", 4_423_680), ("L3", 16 << 20), ("DRAM", 128 << 20)];
        assert_eq!(found, want);
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(6), [1, 2, 4, 6]);
    }

    #[test]
    fn a_rate_is_amount_over_time_and_its_spread_is_ordered() {
        let mut passes_seen = 0;
        let rate = rate(1000, Sampling { samples: 3, ns: 1e5 }, |part, passes| {
            assert_eq!(part, 0..1000);
            passes_seen += passes;
            std::thread::sleep(std::time::Duration::from_micros(passes as u64 * 20));
        });
        assert!(passes_seen > 3);
        // 1000 units in at least 20 us a pass.
        assert!(rate.low > 0.0 && rate.low <= rate.median && rate.median <= rate.high && rate.high <= 0.05, "{rate:?}");
    }

    #[test]
    fn a_sample_of_what_takes_long_is_the_next_stretch_of_it() {
        let total = 8 * LEAST_STRETCH + STRETCH_STEP;
        let mut parts = Vec::new();
        // A pass of 4 ms, and samples of 100 us.
        rate(total, Sampling { samples: 60, ns: 1e5 }, |part, passes| {
            assert_eq!(passes, 1);
            std::thread::sleep(std::time::Duration::from_nanos(part.len() as u64 / 16));
            parts.push(part);
        });
        let stretches = &parts[1..];
        let (length, count) = (stretches[0].len(), total / stretches[0].len());
        assert_eq!((parts[0].clone(), stretches.len()), (0..total, 60));
        assert!(length.is_multiple_of(STRETCH_STEP) && count >= STRETCHES, "{stretches:?}");
        for (i, stretch) in stretches.iter().enumerate() {
            let start = i % count * length;
            assert_eq!(*stretch, start..start + length, "all of them before the first one again");
        }
    }

    #[test]
    fn an_interrupt_ends_it() {
        let stop = AtomicBool::new(true);
        let machine = crate::machine::MachineArgs::default().check(1).expect("a machine");
        let error = measure(&machine, &[], &plan(vec![], &stop), |_| {}).expect_err("interrupted");
        assert_eq!(error.exit(), crate::error::Exit::Interrupted);
    }
}
