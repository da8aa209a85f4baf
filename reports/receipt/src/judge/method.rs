//! By which rule a receipt's figures follow from its raw rounds. Old receipts keep theirs, and this is the only place
//! that knows.

use crate::judge::sequential::{Until, log_ratios};
use crate::record::Round;

/// The version of the rule by which figures and verdicts follow from raw rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Receipts before 1.2: microbenchmarks by wall time alone, and verdicts of the first look at which PASS or FAIL
    /// could be said.
    Before12,
    /// One clock for microbenchmarks, token blocks and gate, and verdicts over all rounds, taken until the direction is
    /// settled.
    #[default]
    Current,
}

impl Method {
    /// The rule of a receipt with this schema version.
    pub fn of(schema_version: &str) -> Self {
        let old = ["1.0.", "1.1."].iter().any(|prefix| schema_version.starts_with(prefix));
        if old { Self::Before12 } else { Self::Current }
    }

    /// Times of one entry of a microbenchmark, 0 where a round lacks it. An epoch in which the system took the CPU away
    /// from the one thread that did all the work counts with its CPU time: on a loaded machine a long epoch meets
    /// another process nearly always.
    pub fn times(self, rounds: &[Round], entry: usize, threads: usize) -> Vec<u64> {
        rounds.iter().map(|round| self.time(round, entry, threads)).collect()
    }

    fn time(self, round: &Round, entry: usize, threads: usize) -> u64 {
        let of = |column: &[u64]| column.get(entry).copied().unwrap_or(0);
        let (ns, cpu_ns) = (of(&round.ns), of(&round.cpu_ns));
        let is_preempted = round.involuntary_switches.get(entry).is_some_and(|n| *n > 0);
        if self == Self::Current && is_preempted && cpu_ns > 0 && threads == 1 { cpu_ns.min(ns) } else { ns }
    }

    /// How long comparisons of rounds and token blocks are looked at: until decided, or until settled.
    pub fn until(self) -> Until {
        match self {
            Self::Before12 => Until::Decided,
            Self::Current => Until::Settled,
        }
    }

    /// ln(own / partner) as figures are made of it. Before 1.2 figures had the other sign; the logarithm is taken as it
    /// was then, so that they come out with the same last bit.
    pub fn log_ratios_of_figures(self, partner_ns: &[u64], own_ns: &[u64]) -> Vec<f64> {
        match self {
            Self::Before12 => log_ratios(own_ns, partner_ns).into_iter().map(|log| -log).collect(),
            Self::Current => log_ratios(partner_ns, own_ns),
        }
    }
}
