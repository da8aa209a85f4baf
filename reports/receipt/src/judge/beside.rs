//! How fast what lies beside the ternary products moves its bytes: from raw rounds, paired with a plain read.

use super::method::Method;
use super::paired::Paired;
use super::stats::median;
use crate::record::{BesideCell, Ratio};

/// The figures of one way.
pub struct Figures {
    /// Median nanoseconds of a call.
    pub ns: f64,
    /// Bytes moved at that time, in 10^9 a second.
    pub gb_s: f64,
    /// Time of the plain read over its own, paired by round: the share of the read's bandwidth.
    pub share: Ratio,
}

/// The figures of each way of a cell, in the order of its entries. `None` where nothing was timed.
pub fn figures(cell: &BesideCell) -> Vec<Option<Figures>> {
    let of = |ns: &Vec<u64>| {
        let times: Vec<f64> = ns.iter().map(|&ns| ns as f64).collect();
        let ns_a_call = median(&times);
        let share = Paired::new(Method::Current, &cell.read_ns, ns).ratio("plain read");
        let gb_s = cell.bytes_per_call as f64 / ns_a_call;
        (!times.is_empty() && ns_a_call > 0.0).then_some(Figures { ns: ns_a_call, gb_s, share })
    };
    cell.entries.iter().map(|entry| of(&entry.ns)).collect()
}

/// Index of the way with the shortest calls.
pub fn fastest(cell: &BesideCell) -> Option<usize> {
    let figures = figures(cell);
    let timed = figures.iter().enumerate().filter_map(|(i, f)| f.as_ref().map(|f| (i, f.ns)));
    timed.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BesideEntry, Residency};

    #[test]
    fn shares_are_paired_by_round() {
        let entry = |name: &str, ns: &[u64]| BesideEntry { name: name.into(), ns: ns.to_vec() };
        let cell = BesideCell {
            what: "q8 output head".into(),
            shape: "16x64".into(),
            threads: 1,
            residency: Residency::Dram,
            bytes_per_call: 1000,
            oracle: "equal".into(),
            entries: vec![entry("slow", &[200, 400, 800]), entry("fast", &[100, 200, 400]), entry("none", &[])],
            read_ns: vec![90, 180, 360],
        };
        let found = figures(&cell);
        let shares: Vec<Option<f64>> = found.iter().map(|f| f.as_ref().map(|f| f.share.median)).collect();
        assert!((shares[0].expect("timed") - 0.45).abs() < 1e-9 && (shares[1].expect("timed") - 0.9).abs() < 1e-9);
        assert!(found[2].is_none() && (found[1].as_ref().expect("timed").gb_s - 5.0).abs() < 1e-9);
        assert_eq!(fastest(&cell), Some(1));
    }
}
