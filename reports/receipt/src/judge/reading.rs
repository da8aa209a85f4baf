//! What a machine can read: the bound of decoding, and rows that are faster than their bytes can be read.
//!
//! A bound stands beside a figure and may be passed by what a cache nearer by keeps. *Impossible* is an accusation: it
//! is made where nothing that this machine could do explains the figure.

use super::level::{capacity, level};
use super::physics::{Peak, Verdict, Work, judge};
use crate::record::{Bandwidth, GenerationKernel, Limits, MicroCell, Operation, Receipt, Residency};

/// How many times what the fastest sample of the stream allows a median may be before nobody believes it. Above 1,
/// because that sample is a measurement too.
const IMPOSSIBLE: f64 = 1.25;

/// How many times as fast `rate` is as `bytes` (`what` they are: "bytes of weights") can be read at so many 10^9 bytes
/// a second from a place, in words, where nobody believes it.
fn beyond_reading((bytes, what): (u64, &str), (place, gb_s): (String, f64), rate: f64) -> Option<String> {
    let work = Work { bytes: bytes as f64, products: 0.0 };
    let peak = Peak { bytes_s: Some(gb_s * 1e9), products_s: None };
    match judge(work, peak, rate, IMPOSSIBLE)? {
        Verdict::Impossible { factor, .. } => {
            Some(format!("{factor:.2} times as fast as {bytes} {what} can be read from {place} ({gb_s:.1} GB/s)"))
        }
        Verdict::Possible { .. } => None,
    }
}

/// Rows of a cell that are faster than this machine can be, with the reason: the median of all rounds is more than
/// 1.25 times what the fastest sample of a plain read, where the weights are, allows for their bytes. Of the cell's own
/// rounds where they come from memory. Lookups have no multiply, so products are no ground for it.
pub fn impossible(receipt: &Receipt, cell: &MicroCell) -> Vec<(usize, String)> {
    let Some(limits) = &receipt.limits else { return Vec::new() };
    let caches = limits.caches(&receipt.host.caches_bytes);
    let of_row = |row: usize| {
        let (entry, summary) = (cell.entries.get(row)?, cell.summaries.get(row)?);
        let bytes = entry.bytes_per_call;
        let read = fastest_read(cell, bytes, limits, &caches)?;
        let calls_s = summary.gelem_s * 1e9 / cell.weights_per_call as f64;
        Some((row, beyond_reading((bytes, "bytes of weights"), read, calls_s)?))
    };
    (0..cell.entries.len()).filter_map(of_row).collect()
}

/// Why decoding so many tokens a second cannot be: it is more than 1.25 times what the fastest sample of a plain read,
/// where the bytes that a token reads are, allows.
pub fn impossible_text(receipt: &Receipt, bytes: u64, tokens_s: f64) -> Option<String> {
    let what = Reads::of(receipt).impossible(bytes, receipt.settings.threads, tokens_s)?;
    Some(format!("decodes {what}"))
}

/// The fastest sample of a plain read of such weights, in 10^9 bytes a second, and from where.
fn fastest_read(cell: &MicroCell, bytes: u64, limits: &Limits, caches: &[u64]) -> Option<(String, f64)> {
    // `dequantize` is bound by what it writes, and runs on one thread.
    if cell.op == Operation::Dequantize {
        return None;
    }
    if cell.residency != Residency::Dram {
        return at_best(limits, caches, bytes, cell.threads);
    }
    // Rotated over more than the caches hold, as the stream beside them is: no cache keeps any of it.
    let stream = cell.stream.as_ref();
    let least = stream.and_then(|stream| stream.ns.iter().copied().filter(|ns| *ns > 0).min().map(|ns| (stream, ns)));
    let gb_s = match least {
        Some((stream, ns)) => stream.bytes_per_call as f64 * f64::from(cell.calls_per_epoch) / ns as f64,
        None => bandwidth(limits, "DRAM", bytes, cell.threads)?.read_gb_s.high,
    };
    (gb_s.is_finite() && gb_s > 0.0).then(|| ("DRAM".into(), gb_s))
}

/// How fast so many bytes can be read again and again at best, in 10^9 bytes a second, and from where: of these the
/// next nearer cache may keep all that it holds, and then only the rest comes from where all of them fit.
fn at_best(limits: &Limits, caches: &[u64], bytes: u64, threads: usize) -> Option<(String, f64)> {
    let place = level(caches, bytes, threads);
    let all = bandwidth(limits, &place, bytes, threads)?.read_gb_s.high;
    let kept = (0..caches.len()).rev().map(|i| capacity(caches, i, threads)).find(|kept| *kept < bytes);
    let nearer = kept.and_then(|kept| {
        let nearer = level(caches, kept, threads);
        let near = bandwidth(limits, &nearer, kept, threads)?.read_gb_s.high;
        Some((format!("{place} and {nearer}"), (all * bytes as f64 / (bytes - kept) as f64).min(near)))
    });
    let found = nearer.filter(|(_, gb_s)| *gb_s > all).unwrap_or((place, all));
    (found.1.is_finite() && found.1 > 0.0).then_some(found)
}

/// The bound of decoding: tokens a second at which the bytes that a token reads stream from where they fit.
pub struct Tokens {
    /// The nearest cache level that holds those bytes (`L1`, ...), or `DRAM`.
    pub level: String,
    /// The bound in tokens a second.
    pub tokens_s: f64,
    /// Read bandwidth of that level in 10^9 bytes a second.
    pub read_gb_s: f64,
}

/// What a machine can read: its limits where they were measured, and its caches as the system reports them.
#[derive(Clone, Copy)]
pub struct Reads<'r> {
    /// The limits; without them nothing is known.
    pub limits: Option<&'r Limits>,
    /// Cache sizes in bytes by level.
    pub caches: &'r [u64],
}

impl<'r> Reads<'r> {
    /// What the machine of a receipt can read.
    pub fn of(receipt: &'r Receipt) -> Self {
        Self { limits: receipt.limits.as_ref(), caches: &receipt.host.caches_bytes }
    }

    /// The bound of decoding, for `bytes` of weights a token; `None` where that bandwidth was not measured.
    pub fn tokens(self, bytes: u64, threads: usize) -> Option<Tokens> {
        let limits = self.limits.filter(|_| bytes > 0)?;
        let level = level(&limits.caches(self.caches), bytes, threads.max(1));
        let read_gb_s = bandwidth(limits, &level, bytes, threads)?.read_gb_s.high;
        let tokens_s = read_gb_s * 1e9 / bytes as f64;
        (read_gb_s.is_finite() && read_gb_s > 0.0).then_some(Tokens { level, tokens_s, read_gb_s })
    }

    /// Why so many `bytes` cannot be read `a_second` times: more than 1.25 times what the fastest samples allow.
    pub fn impossible(self, bytes: u64, threads: usize, a_second: f64) -> Option<String> {
        let limits = self.limits.filter(|_| bytes > 0)?;
        let read = at_best(limits, &limits.caches(self.caches), bytes, threads.max(1))?;
        beyond_reading((bytes, "bytes"), read, a_second)
    }
}

/// The bound of decoding, for `bytes` of weights a token; `None` where the run did not measure that bandwidth.
pub fn tokens(receipt: &Receipt, bytes: u64, threads: usize) -> Option<Tokens> {
    Reads::of(receipt).tokens(bytes, threads)
}

/// Share of the bound of [`tokens`] that a kernel's decoding reached: 0.5 is half.
pub fn share_of_decode(receipt: &Receipt, kernel: &GenerationKernel) -> Option<f64> {
    let threads = receipt.generation.as_ref()?.threads;
    let bound = tokens(receipt, kernel.bytes_per_token, threads)?;
    (kernel.decode_tokens_per_s > 0.0).then(|| kernel.decode_tokens_per_s / bound.tokens_s)
}

/// The measured bandwidth of this level and thread count whose size is nearest to `bytes`.
pub fn bandwidth<'l>(limits: &'l Limits, level: &str, bytes: u64, threads: usize) -> Option<&'l Bandwidth> {
    let distance = |b: &Bandwidth| (b.bytes.max(1) as f64 / bytes.max(1) as f64).ln().abs();
    let fitting = limits.bandwidth.iter().filter(|b| b.level == level && b.threads == threads);
    fitting.min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::Family;

    #[test]
    fn a_row_is_impossible_where_its_bytes_cannot_be_read_so_fast() {
        let mut receipt = fixture::complete();
        let found: Vec<_> = receipt.micro.iter().map(|cell| impossible(&receipt, cell)).collect();
        assert!(found.iter().all(Vec::is_empty), "{found:?}");
        // From memory the cell's own stream decides: its fastest sample.
        let from_memory = |c: &MicroCell| c.family == Family::W2A8 && c.residency == Residency::Dram;
        let mut cell = fixture::complete().micro.into_iter().find(from_memory).expect("in the fixture");
        let stream = cell.stream.clone().expect("from memory");
        let least = *stream.ns.iter().min().expect("some") as f64;
        let gb_s = stream.bytes_per_call as f64 * f64::from(cell.calls_per_epoch) / least;
        let allowed = cell.weights_per_call as f64 / cell.entries[1].bytes_per_call as f64 * gb_s;
        cell.summaries[1].gelem_s = allowed * 1.24;
        assert_eq!(impossible(&receipt, &cell), []);
        cell.summaries[1].gelem_s = allowed * 1.26;
        let [(row, why)] = &impossible(&receipt, &cell)[..] else { panic!("one row") };
        assert!(*row == 1 && why.starts_with("1.26 times as fast as") && why.contains("read from DRAM"), "{why}");
        // One whose rounds have no stream is held against memory, not against a cache that one operand would fit.
        let mut alone = cell.clone();
        alone.stream = None;
        let [(_, why)] = &impossible(&receipt, &alone)[..] else { panic!("one row") };
        assert!(why.contains("read from DRAM ("), "{why}");
        // Without limits nothing is known.
        receipt.limits = None;
        assert_eq!(impossible(&receipt, &cell), []);
    }

    #[test]
    fn a_cache_nearer_by_may_keep_what_it_holds() {
        let limits = fixture::limits();
        let caches = [48 << 10, 2 << 20, 32 << 20];
        let high = |level: &str, bytes| bandwidth(&limits, level, bytes, 1).expect("measured").read_gb_s.high;
        let at = |bytes: u64| at_best(&limits, &caches, bytes, 1).expect("measured");
        let (near, all) = (high("L2", 2 << 20), high("L3", 8 << 20));
        assert!(near > all, "the fixture's L2 is faster");
        // Most of it may come from L2, which is no faster than it is.
        assert_eq!(at((2 << 20) + 4096), ("L3 and L2".into(), near));
        let some = at(8 << 20);
        assert_eq!(some.0, "L3 and L2");
        assert!((some.1 / (all * 8.0 / 6.0).min(near) - 1.0).abs() < 1e-12, "{some:?}");
        // What the nearest holds comes from there.
        assert_eq!(at(32 << 10).0, "L1");
        let reads = Reads { limits: Some(&limits), caches: &caches };
        let a_second = some.1 * 1e9 / f64::from(8 << 20);
        assert_eq!(reads.impossible(8 << 20, 1, 1.24 * a_second), None);
        let why = reads.impossible(8 << 20, 1, 1.26 * a_second).expect("too fast");
        assert!(why.starts_with("1.26 times as fast as 8388608 bytes can be read from L3 and L2"), "{why}");
    }
}
