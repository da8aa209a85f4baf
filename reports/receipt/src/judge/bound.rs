//! The bound of each microbenchmark row: the smallest of what memory, the multiply and, in cache, the port mix of the
//! kernel's loop allow, from this run's own limits. Which one it is and what it is called are decided here alone.
//!
//! All are upper bounds. Memory: each byte of packed weights once (activations are left out), and for `dequantize`
//! each f32 written, at the streaming rate of where the operand is; for weights from memory, the stream of the cell's
//! own rounds. Compute: products at the peak of the kernel's multiply instruction with nothing around it. Port mix: see
//! [`super::ports`]. Of the limits' samples the best one counts: whatever else runs on a machine can only slow a sample
//! down, and a bound taken from a slow one would be no bound.

pub use super::peaks::{multiply, peak_gmac_s};

use super::device;
use super::level::level;
use super::ports::PortMixes;
use super::reading::bandwidth;
use crate::record::{Bound, BoundBy, Limits, MicroCell, Operation, Receipt, Residency};

/// Writes the bound of each row into the summaries of all cells, if the receipt has limits.
///
/// All cells at once: whether a port mix is a bound is seen from every cell in which its kernel ran.
///
/// A GPU has no limits of its own: what bounds a row there is the stream of its cell's own rounds, wherever the weights
/// are.
pub fn fill(receipt: &mut Receipt) {
    if receipt.device.is_some() {
        return device::fill(&mut receipt.micro);
    }
    let Receipt { limits: Some(limits), counts, micro, host, .. } = receipt else { return };
    let machine =
        Machine { limits, caches: limits.caches(&host.caches_bytes), ports: PortMixes::of(limits, counts, micro) };
    for cell in micro {
        machine.fill(cell);
        cell.unstable_first.iter_mut().for_each(|first| machine.fill(first));
    }
}

/// What bounds rows of any cell.
struct Machine<'r> {
    limits: &'r Limits,
    /// Cache sizes in bytes by level, as large as they count.
    caches: Vec<u64>,
    ports: PortMixes<'r>,
}

impl Machine<'_> {
    fn fill(&self, cell: &mut MicroCell) {
        let bounds: Vec<Option<Bound>> = (0..cell.summaries.len()).map(|row| self.bound(cell, row)).collect();
        for (summary, bound) in cell.summaries.iter_mut().zip(bounds) {
            summary.bound = bound;
        }
    }

    /// The bound of one row; `None` where nothing was timed or no bandwidth fits.
    fn bound(&self, cell: &MicroCell, row: usize) -> Option<Bound> {
        let (summary, entry) = (cell.summaries.get(row)?, cell.entries.get(row)?);
        if summary.gelem_s <= 0.0 || cell.weights_per_call == 0 {
            return None;
        }
        // `dequantize` runs on one thread, whatever the team.
        let dequantize = cell.op == Operation::Dequantize;
        let threads = if dequantize { 1 } else { cell.threads };
        let written = if dequantize { 4 * cell.weights_per_call } else { 0 };
        let memory = memory(cell, (entry.bytes_per_call, written), threads, self.limits, &self.caches)?;
        let clock = self.limits.clock_ghz.map(|c| c.high);
        let rate = |gmac_s: f64| match clock.filter(|_| threads == 1) {
            Some(c) => format!("{:.1} MAC/cycle at {c:.2} GHz", gmac_s / c),
            None => format!("{gmac_s:.1} GMAC/s on {threads} thread(s)"),
        };
        let peak = multiply(self.limits, &summary.kernel).filter(|_| !dequantize);
        let compute = peak.map(|p| (peak_gmac_s(p, threads), p));
        let ports = self.ports.bound(cell, &summary.kernel);

        let (mut by, mut gelem_s, mut what) = (BoundBy::Memory, memory.gelem_s, memory.what);
        if let Some((allowed, peak)) = compute.filter(|(allowed, _)| *allowed < gelem_s) {
            (by, gelem_s, what) = (BoundBy::Compute, allowed, format!("{}: {}", peak.id, rate(allowed)));
        }
        if let Some(mix) = ports.as_ref().filter(|mix| mix.left_out.is_none() && mix.gelem_s < gelem_s) {
            what = format!("{}: {}", mix.in_words(), rate(mix.gelem_s));
            (by, gelem_s) = (BoundBy::Ports, mix.gelem_s);
        }
        let cycles = clock.filter(|c| *c > 0.0 && !dequantize).map(|c| c * threads.max(1) as f64);
        // Paired with the stream of the same rounds where there is one.
        let from_memory = by == BoundBy::Memory && cell.residency == Residency::Dram;
        let paired = summary.share_of_stream.filter(|_| from_memory);
        Some(Bound {
            bound: by,
            what,
            gelem_s,
            share: paired.unwrap_or(summary.gelem_s / gelem_s),
            memory_gelem_s: memory.gelem_s,
            compute_gelem_s: compute.map(|(allowed, _)| allowed),
            ports,
            weights_per_byte: cell.weights_per_call as f64 / (entry.bytes_per_call + written).max(1) as f64,
            mac_per_cycle: cycles.map(|cycles| summary.gelem_s / cycles),
        })
    }
}

/// Memory's bound and what sets it.
struct Memory {
    gelem_s: f64,
    what: String,
}

/// Of a call that reads and writes so many bytes on so many threads.
fn memory(
    cell: &MicroCell,
    (read, written): (u64, u64),
    threads: usize,
    limits: &Limits,
    caches: &[u64],
) -> Option<Memory> {
    let weights = cell.weights_per_call as f64;
    if let (Residency::Dram, Some(stream)) = (cell.residency, cell.stream.as_ref().filter(|s| s.gb_s > 0.0)) {
        let gelem_s = weights / read as f64 * stream.gb_s;
        return Some(Memory { gelem_s, what: format!("DRAM read {:.1} GB/s", stream.gb_s) });
    }
    let place = match cell.residency {
        Residency::Dram => "DRAM".into(),
        _ => level(caches, read + written, threads),
    };
    let at = bandwidth(limits, &place, read.max(written), threads)?;
    // Loads and stores go on at the same time: the slower of the two binds.
    let (read_ns, write_ns) = (read as f64 / at.read_gb_s.high, written as f64 / at.write_gb_s.high);
    let (ns, what) = if write_ns > read_ns {
        (write_ns, format!("{place} write {:.1} GB/s", at.write_gb_s.high))
    } else {
        (read_ns, format!("{place} read {:.1} GB/s", at.read_gb_s.high))
    };
    (ns.is_finite() && ns > 0.0).then(|| Memory { gelem_s: weights / ns, what })
}

/// Sizes in bytes at which to measure bandwidth, from (weights, whether it is `dequantize`) of each cell in cache.
pub fn operand_bytes(weights: impl Iterator<Item = (u64, bool)>) -> Vec<u64> {
    // Two bits a weight, a packing with fewer or with scales is near enough; dequantize moves mostly what it writes.
    let mut sizes: Vec<u64> =
        weights.map(|(n, dequantize)| if dequantize { 4 * n } else { n / 4 }).filter(|b| *b >= 4096).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::{Family, LastLevel, Spread, TeamPeak};

    const CACHES: [u64; 3] = [48 << 10, 2 << 20, 32 << 20];

    /// `scalar-i8` and `avx2-i8` for gemv 6912x2560: 4.4 MB of weights.
    fn exact(residency: Residency) -> MicroCell {
        let fits = |c: &MicroCell| c.family == Family::W2A8 && c.residency == residency;
        fixture::complete().micro.into_iter().find(fits).expect("in the fixture")
    }

    fn of(cell: &MicroCell, row: usize, limits: &Limits) -> Option<Bound> {
        let ports = PortMixes::of(limits, &[], &[]);
        Machine { limits, caches: limits.caches(&CACHES), ports }.bound(cell, row)
    }

    fn bound_of(cell: &MicroCell, row: usize, limits: &Limits) -> Bound {
        of(cell, row, limits).expect("a bound")
    }

    fn assert_near(got: f64, wanted: f64) {
        assert!((got / wanted - 1.0).abs() < 1e-12, "{got} for {wanted}");
    }

    #[test]
    fn a_slow_kernel_is_bound_by_its_multiply_and_a_dense_one_by_memory() {
        let (cell, limits) = (exact(Residency::Llc), fixture::limits());
        let [slow, dense] = [0, 1].map(|row| bound_of(&cell, row, &limits));
        let peaks = ["scalar-i8", "avx2-i8"].map(|id| multiply(&limits, id).expect("measured").gmac_s.high);
        let clock = limits.clock_ghz.expect("measured").high;
        assert_eq!((slow.bound, slow.what.as_str()), (BoundBy::Compute, "pmaddwd-xmm: 10.5 MAC/cycle at 2.95 GHz"));
        assert_eq!((slow.gelem_s, slow.compute_gelem_s), (peaks[0], Some(peaks[0])));
        assert_near(slow.share, cell.summaries[0].gelem_s / peaks[0]);
        assert_near(slow.mac_per_cycle.expect("a clock"), cell.summaries[0].gelem_s / clock);
        assert_near(slow.weights_per_byte, 4.0);
        // The last-level cache delivers 30 GB/s of four weights a byte.
        assert_eq!((dense.bound, dense.what.as_str()), (BoundBy::Memory, "L3 read 30.0 GB/s"));
        assert_near(dense.gelem_s, 4.0 * bandwidth(&limits, "L3", 4 << 20, 1).expect("measured").read_gb_s.high);
        assert_eq!((dense.memory_gelem_s, dense.compute_gelem_s), (dense.gelem_s, Some(peaks[1])));
        assert_eq!(slow.memory_gelem_s, dense.gelem_s);
    }

    #[test]
    fn what_the_last_level_does_not_hold_is_bound_by_memory() {
        let (cell, mut limits) = (exact(Residency::Llc), fixture::limits());
        for (effective_bytes, level) in [(32 << 20, "L3"), (2 << 20, "DRAM")] {
            let found = LastLevel { reported_bytes: 32 << 20, effective_bytes, step: true, points: Vec::new() };
            limits.last_level = Some(found);
            let memory = bound_of(&cell, 1, &limits).memory_gelem_s;
            assert_near(memory, 4.0 * bandwidth(&limits, level, 4 << 20, 1).expect("measured").read_gb_s.high);
        }
    }

    #[test]
    fn from_memory_the_stream_of_the_same_rounds_binds() {
        let cell = exact(Residency::Dram);
        let bound = bound_of(&cell, 1, &fixture::limits());
        assert_eq!((bound.bound, bound.what.as_str()), (BoundBy::Memory, "DRAM read 14.1 GB/s"));
        assert_eq!(Some(bound.share), cell.summaries[1].share_of_stream, "paired");
        assert_near(bound.gelem_s, 4.0 * cell.stream.expect("from memory").gb_s);
    }

    #[test]
    fn dequantize_is_bound_by_what_it_writes() {
        let cells = fixture::complete().micro;
        let cell = cells.iter().find(|c| c.op == Operation::Dequantize && c.k == 16384).expect("there");
        let bound = bound_of(cell, 5, &fixture::limits());
        // 4 KiB read and 64 KiB written do not fit 48 KiB of L1: L2, 4 bytes a weight.
        assert_eq!((bound.bound, bound.what.as_str()), (BoundBy::Memory, "L2 write 45.2 GB/s"));
        assert!((bound.gelem_s - 45.2 / 4.0).abs() < 0.01 && bound.compute_gelem_s.is_none());
        assert_eq!(bound.mac_per_cycle, None);
    }

    #[test]
    fn more_threads_multiply_more() {
        let (mut cell, mut limits) = (exact(Residency::Llc), fixture::limits());
        cell.threads = 2;
        assert_eq!(of(&cell, 0, &limits), None, "no bandwidth of two threads");
        limits.bandwidth.iter_mut().for_each(|b| b.threads = 2);
        let bound = bound_of(&cell, 0, &limits);
        assert_eq!(bound.what, "pmaddwd-xmm: 62.0 GMAC/s on 2 thread(s)");
        assert_eq!(bound.compute_gelem_s, multiply(&limits, "scalar-i8").map(|one| 2.0 * one.gmac_s.high));
        // Measured together, two threads of one core have what one has.
        let together = Spread { median: 35.0, low: 35.0, high: 35.0 };
        limits.multiplies.iter_mut().for_each(|m| m.teams.push(TeamPeak { threads: 2, gmac_s: together }));
        assert_eq!(bound_of(&cell, 0, &limits).gelem_s, 35.0);
    }

    /// Bounds of `avx2-i8` for gemv: from the last-level cache, then from memory.
    fn exact_bounds(receipt: &Receipt) -> [Bound; 2] {
        [Residency::Llc, Residency::Dram].map(|residency| {
            let fits = |c: &&MicroCell| c.family == Family::W2A8 && c.residency == residency;
            receipt.micro.iter().find(fits).expect("there").summaries[1].bound.clone().expect("a bound")
        })
    }

    #[test]
    fn without_a_static_model_nothing_changes() {
        let (written, mut receipt) = (fixture::complete(), fixture::complete());
        fill(&mut receipt);
        let bounds = |r: &Receipt| -> Vec<Option<Bound>> {
            r.micro.iter().flat_map(|c| &c.summaries).map(|s| s.bound.clone()).collect()
        };
        assert_eq!(bounds(&receipt), bounds(&written));
        assert!(bounds(&receipt).iter().flatten().all(|b| b.ports.is_none() && b.bound != BoundBy::Ports));
        // A loop that a model calls free, or of no sense, says nothing either.
        for cycles in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(bounds(&fixture::with_ports(cycles)), bounds(&written), "{cycles}");
        }
    }

    #[test]
    fn in_cache_the_port_mix_binds_where_it_allows_least() {
        // 2 cycles for 64 weights are 32 MAC/cycle; the last-level cache delivers 120 G weights/s.
        let receipt = fixture::with_ports(2.0);
        let ([cached, from_memory], clock) = (exact_bounds(&receipt), 2.9499902896152967);
        assert_eq!(cached.bound, BoundBy::Ports);
        let words = "port mix of its loop, by llvm-mca 14.0.6 on haswell (nearest): 32.0 MAC/cycle at 2.95 GHz";
        assert_eq!(cached.what, words);
        assert_near(cached.gelem_s, 32.0 * clock);
        assert_near(cached.share, cached.mac_per_cycle.expect("a clock") / 32.0);
        // From memory kernels ask ahead, which is another loop.
        assert_eq!((from_memory.bound, from_memory.ports), (BoundBy::Memory, None));
        // Half the cycles allow more than the last-level cache does.
        let [cached, _] = exact_bounds(&fixture::with_ports(1.0));
        assert_eq!((cached.bound, cached.what.as_str()), (BoundBy::Memory, "L3 read 30.0 GB/s"));
        assert_near(cached.ports.expect("known").gelem_s, 64.0 * clock);
    }

    #[test]
    fn a_model_that_the_kernel_outruns_is_left_out() {
        let written = exact_bounds(&fixture::complete())[0].clone();
        let reached = written.mac_per_cycle.expect("a clock");
        // At most 3% faster may be noise of the clock.
        for (faster, fits) in [(1.02, true), (1.04, false)] {
            let [cached, _] = exact_bounds(&fixture::with_ports(64.0 * faster / reached));
            let ports = cached.ports.clone().expect("known");
            assert_eq!((cached.bound == BoundBy::Ports, ports.left_out.is_none()), (fits, fits));
            if fits {
                assert_near(cached.share, faster);
            } else {
                assert_eq!(Bound { ports: None, ..cached }, written);
                let why = "no bound is the port mix of its loop, by llvm-mca 14.0.6 on haswell (nearest): avx2-i8 \
                           reached 1.04× what it allows, so it does not fit this CPU";
                assert_eq!(ports.left_out.as_deref(), Some(why));
            }
        }
    }

    #[test]
    fn one_cell_that_outruns_a_model_is_enough() {
        // The first cell of the kernel is fast, the second one slower than the model allows.
        let mut receipt = fixture::with_ports(2.0);
        let mut fast = receipt.micro.iter().find(|c| c.family == Family::W2A8).expect("there").clone();
        fast.residency = Residency::L2;
        fast.summaries[1].gelem_s *= 3.0;
        receipt.micro.push(fast);
        fill(&mut receipt);
        let [cached, _] = exact_bounds(&receipt);
        assert_eq!(cached.bound, BoundBy::Memory);
        assert!(cached.ports.expect("known").left_out.is_some());
    }

    #[test]
    fn threads_of_one_core_share_its_ports() {
        let mut receipt = fixture::with_ports(2.0);
        let limits = receipt.limits.as_mut().expect("measured");
        limits.bandwidth.iter_mut().for_each(|b| b.threads = 2);
        receipt.micro.iter_mut().for_each(|c| c.threads = 2);
        fill(&mut receipt);
        let two = exact_bounds(&receipt)[0].ports.clone().expect("known").gelem_s;
        assert_near(two, 2.0 * 32.0 * 2.9499902896152967);
        let limits = receipt.limits.as_mut().expect("measured");
        for m in &mut limits.multiplies {
            m.teams.push(TeamPeak { threads: 2, gmac_s: m.gmac_s });
        }
        fill(&mut receipt);
        assert_near(exact_bounds(&receipt)[0].ports.clone().expect("known").gelem_s, two / 2.0);
    }

    #[test]
    fn a_row_that_never_ran_has_no_bound() {
        assert_eq!(of(&fixture::interrupted().micro[1], 0, &fixture::limits()), None);
    }

    #[test]
    fn operands_are_named_once() {
        let operands = [(256, true), (16384, true), (17_694_720, false), (17_694_720, false)];
        assert_eq!(operand_bytes(operands.into_iter()), [65_536, 4_423_680]);
    }
}
