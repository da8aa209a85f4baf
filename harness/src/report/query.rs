//! Questions that several parts of a report ask of a receipt. Families never meet in an answer.

use crate::measure::stats::Paired;
use crate::receipt::{BoundBy, MicroCell, MicroSummary, Ratio, Receipt, Residency};

/// f32 activations: the roadmap's ladder.
pub const LADDER: &str = "W2A32";
/// int8 activations, exact int32 sums.
pub const EXACT: &str = "W2A8";

/// A/A noise up to which a run is called quiet: the smallest difference that the gate decides by default.
pub const QUIET: f64 = 0.03;

/// What a ratio may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Interval above 1 and difference above the noise floor.
    Faster,
    /// Interval below 1 and difference above the noise floor.
    Slower,
    /// Difference below the noise floor, or 1 inside the interval.
    WithinNoise,
    /// No interval at this confidence.
    TooFewRounds,
}

impl Call {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::WithinNoise => "within noise",
            Self::TooFewRounds => "too few rounds",
        }
    }

    /// As a CSS class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::WithinNoise => "noise",
            Self::TooFewRounds => "few",
        }
    }
}

/// Judges a ratio against the A/A noise of its own cell.
pub fn call(ratio: &Ratio, noise_floor: f64) -> Call {
    let (Some(low), Some(high)) = (ratio.low, ratio.high) else { return Call::TooFewRounds };
    let clear = (ratio.median - 1.0).abs() > noise_floor;
    match () {
        () if clear && low > 1.0 => Call::Faster,
        () if clear && high < 1.0 => Call::Slower,
        () => Call::WithinNoise,
    }
}

/// Entries that are kernels of their own, with their summaries: the self-pair is the baseline again and is left out.
pub fn kernels(cell: &MicroCell) -> impl Iterator<Item = (usize, &MicroSummary)> {
    cell.summaries.iter().enumerate().filter(|(i, _)| cell.entries.get(*i).is_none_or(|e| !e.self_pair))
}

/// The self-pair's ratio against the baseline, if the cell has one.
pub fn self_pair(cell: &MicroCell) -> Option<&Ratio> {
    let i = cell.entries.iter().position(|e| e.self_pair)?;
    cell.summaries.get(i)?.vs_baseline.as_ref()
}

/// Whether the A/A pair itself came out different: nothing in such a cell should be believed.
pub fn unstable(cell: &MicroCell) -> bool {
    let judged: Vec<_> = cell.summaries.iter().filter_map(|s| s.verdict.as_ref()).collect();
    if !judged.is_empty() {
        return judged.iter().any(|v| v.outcome == crate::receipt::Outcome::Unstable);
    }
    // Receipts before 1.1 have no verdicts.
    self_pair(cell).is_some_and(|r| matches!((r.low, r.high), (Some(l), Some(h)) if l > 1.0 || h < 1.0))
}

/// Entry `own` over entry `partner` of a cell, paired by round.
pub fn between(cell: &MicroCell, own: usize, partner: usize) -> Ratio {
    // A round that lacks a column has nothing to compare; zeros are left out.
    let of = |entry: usize| -> Vec<u64> { cell.rounds.iter().map(|r| r.ns.get(entry).copied().unwrap_or(0)).collect() };
    Paired::new(&of(partner), &of(own)).ratio(&cell.summaries[partner].kernel)
}

/// The kernel with the smallest median time.
pub fn fastest(cell: &MicroCell) -> Option<&MicroSummary> {
    fastest_of(cell, |_| true)
}

/// The same among those that pass `keep`. A median of zero is a kernel that never ran.
pub fn fastest_of(cell: &MicroCell, keep: impl Fn(&MicroSummary) -> bool) -> Option<&MicroSummary> {
    let ran = kernels(cell).map(|(_, s)| s).filter(|s| s.median_ns_per_call > 0.0 && keep(s));
    ran.min_by(|a, b| a.median_ns_per_call.total_cmp(&b.median_ns_per_call))
}

/// The cell that speaks for an operation in headlines and charts: the largest shape, and of equals the first measured.
pub fn headline<'a>(receipt: &'a Receipt, family: &str, op: &str, residency: Residency) -> Option<&'a MicroCell> {
    let here = |c: &&MicroCell| c.op == op && c.residency.place() == residency.place() && !c.summaries.is_empty();
    cells(receipt, family).filter(here).fold(None, |best: Option<&MicroCell>, c| match best {
        Some(b) if b.weights_per_call >= c.weights_per_call => Some(b),
        _ => Some(c),
    })
}

/// All headline cells of a family, `gemv` first, the nearest cache before memory.
pub fn headlines<'a>(receipt: &'a Receipt, family: &str) -> Vec<&'a MicroCell> {
    let mut ops: Vec<&str> = Vec::new();
    for c in cells(receipt, family) {
        if !ops.contains(&c.op.as_str()) {
            ops.push(&c.op);
        }
    }
    ops.sort_by_key(|op| *op != "gemv");
    ops.iter().flat_map(|op| Residency::PLACES.map(|r| headline(receipt, family, op, r))).flatten().collect()
}

/// The cells of one family.
pub fn cells<'a>(receipt: &'a Receipt, family: &str) -> impl Iterator<Item = &'a MicroCell> {
    receipt.micro.iter().filter(move |c| c.family == family)
}

/// Families in the order in which pages show them: the two known ones, then any other.
pub fn families(receipt: &Receipt) -> Vec<String> {
    let mut out = vec![LADDER.to_string(), EXACT.to_string()];
    let generated = receipt.generation.iter().flat_map(|g| g.kernels.iter().map(|k| &k.family));
    for family in receipt.micro.iter().map(|c| &c.family).chain(generated) {
        if !out.contains(family) {
            out.push(family.clone());
        }
    }
    out
}

/// A family in words.
pub fn family_title(family: &str) -> String {
    match family {
        LADDER => "W2A32 ladder (f32 activations)".into(),
        EXACT => "W2A8 (int8 activations, exact int32 sums)".into(),
        other => other.into(),
    }
}

/// Where the weights were, in words.
pub fn residency(r: Residency) -> &'static str {
    match r {
        Residency::L2 => "from L2",
        Residency::Llc => "from LLC",
        Residency::Cache => "in cache",
        Residency::Dram => "from DRAM",
    }
}

/// What binds a row, in words.
pub fn bound(by: BoundBy) -> &'static str {
    match by {
        BoundBy::Memory => "memory",
        BoundBy::Compute => "compute",
    }
}

/// `gemv 6912×2560, in cache`; a batch says of how many tokens.
pub fn cell_title(cell: &MicroCell) -> String {
    format!("{} {}, {}", cell.op, shape(cell), residency(cell.residency))
}

/// `6912×2560`, or `6912×2560×128` for a batch of 128 tokens.
pub fn shape(cell: &MicroCell) -> String {
    let tokens = if cell.tokens > 1 { format!("×{}", cell.tokens) } else { String::new() };
    format!("{}×{}{tokens}", cell.m, cell.k)
}

/// Kernels of one family over all of its cells, in the order measured.
pub fn kernel_ids(receipt: &Receipt, family: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for s in cells(receipt, family).flat_map(|c| kernels(c).map(|(_, s)| s)) {
        if !out.contains(&s.kernel) {
            out.push(s.kernel.clone());
        }
    }
    out
}

/// Smallest and largest noise floor of the cells with enough rounds for an interval: the 95th percentile of four rounds
/// is no floor.
pub fn noise_range(receipt: &Receipt) -> Option<(f64, f64)> {
    let mut floors =
        receipt.micro.iter().filter(|c| self_pair(c).is_some_and(|r| r.low.is_some())).map(|c| c.noise_floor);
    let first = floors.next()?;
    Some(floors.fold((first, first), |(low, high), f| (low.min(f), high.max(f))))
}

/// Per-round ratio of the baseline's time to entry `i`'s, in the order measured.
pub fn round_ratios(cell: &MicroCell, i: usize) -> Vec<f64> {
    let ratio = |ns: &[u64]| match (ns.first(), ns.get(i)) {
        (Some(&base), Some(&own)) if base > 0 && own > 0 => Some(base as f64 / own as f64),
        _ => None,
    };
    cell.rounds.iter().filter_map(|r| ratio(&r.ns)).collect()
}

/// How decode ratios were paired, and what the same kernel differs from itself by; none where they were paired by round.
pub fn blocks_in_words(generation: &crate::receipt::GenerationRecord) -> Option<String> {
    let tokens = generation.blocks.first()?.tokens;
    let floors: Vec<String> =
        generation.blocks.iter().map(|b| format!("{} {}", b.family, super::figures::percent(b.noise_floor))).collect();
    Some(format!("decode ratios paired by blocks of {tokens} tokens, A/A noise {}", floors.join(", ")))
}
