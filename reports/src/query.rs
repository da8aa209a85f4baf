//! Questions that several parts of a report ask of a receipt. Families never meet in an answer.

use receipt::figures;
use receipt::judge::Direction;
use receipt::judge::columns::dense_kernel;
pub use receipt::judge::{comparisons, kernels, tally, unstable};
pub use receipt::titles::{cell_title, residency, shape};
use receipt::{BoundBy, Family, MicroCell, MicroSummary, Operation, Ratio, Receipt, Residency, Scaling};

/// The family with f32 activations: the roadmap's ladder.
pub const LADDER: Family = Family::W2A32;
/// The family with int8 activations and exact int32 sums.
pub const EXACT: Family = Family::W2A8;
/// The family with int8 activations and a scale for each group of weights.
pub const GROUPED: Family = Family::W2gA8;

/// The threshold of a cell: the smallest difference that counts in it.
pub fn threshold(cell: &MicroCell) -> Option<f64> {
    let stored = cell.summaries.iter().filter_map(|s| s.verdict.as_ref()).map(|v| v.delta_eff);
    let thresholds = stored.chain(cell.ratios().filter_map(Ratio::threshold)).filter(|t| t.is_finite());
    thresholds.fold(None, |most: Option<f64>, t| Some(most.map_or(t, |most| most.max(t))))
}

/// Smallest and largest threshold of the comparisons that could be judged.
pub fn threshold_range(receipt: &Receipt) -> Option<(f64, f64)> {
    let judged = comparisons(receipt).filter(|(.., v)| v.direction() != Direction::Unstable && v.samples > 0);
    let thresholds = judged.map(|(.., v)| v.delta_eff).filter(|t| t.is_finite());
    thresholds
        .fold(None, |range: Option<(f64, f64)>, t| Some(range.map_or((t, t), |(low, high)| (low.min(t), high.max(t)))))
}

/// A range of shares in words: `3.0%`, or `3.0% to 14%`.
pub fn percent_range((low, high): (f64, f64)) -> String {
    let (low, high) = (figures::percent(low), figures::percent(high));
    if low == high { high } else { format!("{low} to {high}") }
}

/// The word for one sample in a cell's comparisons.
pub const ROUND: &str = "round";

/// The kernel of a cell with the smallest median time.
pub fn fastest(cell: &MicroCell) -> Option<&MicroSummary> {
    fastest_of(cell, |_| true)
}

/// The kernel with the smallest median time among those that pass `keep`. A median of zero is a kernel that never ran.
pub fn fastest_of(cell: &MicroCell, keep: impl Fn(&MicroSummary) -> bool) -> Option<&MicroSummary> {
    let ran = kernels(cell).map(|(_, s)| s).filter(|s| s.median_ns_per_call > 0.0 && keep(s));
    ran.min_by(|a, b| a.median_ns_per_call.total_cmp(&b.median_ns_per_call))
}

/// The cell that speaks for an operation in headlines and charts: the largest shape, and of equals the first measured.
pub fn headline(receipt: &Receipt, family: Family, op: Operation, residency: Residency) -> Option<&MicroCell> {
    let here = |c: &&MicroCell| c.op == op && c.residency.place() == residency.place() && !c.summaries.is_empty();
    largest(cells(receipt, family).filter(here))
}

fn largest<'r>(cells: impl Iterator<Item = &'r MicroCell>) -> Option<&'r MicroCell> {
    cells.fold(None, |best: Option<&MicroCell>, c| match best {
        Some(b) if b.weights_per_call >= c.weights_per_call => Some(b),
        _ => Some(c),
    })
}

/// One matrix times one vector, of each family that has it, where most is read: from memory, else from the furthest
/// cache that was measured.
pub fn products(receipt: &Receipt) -> Vec<(Family, &MicroCell)> {
    let at = |place: Residency| -> Vec<(Family, &MicroCell)> {
        let timed = |family| {
            let cell = headline(receipt, family, Operation::Gemv, place)?;
            (!cell.rounds.is_empty()).then_some((family, cell))
        };
        Family::ALL.into_iter().filter_map(timed).collect()
    };
    let places = [Residency::Dram, Residency::Llc, Residency::L2].map(at);
    places.into_iter().find(|cells| !cells.is_empty()).unwrap_or_default()
}

/// All headline cells of a family, `gemv` first, the nearest cache before memory: one for whatever shares a scale.
pub fn headlines(receipt: &Receipt, family: Family) -> Vec<&MicroCell> {
    let mut kinds: Vec<(Operation, Option<Scaling>)> = Vec::new();
    for kind in cells(receipt, family).map(|c| (c.op, c.scaling())) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort_by_key(|(op, _)| *op != Operation::Gemv);
    let places = kinds.into_iter().flat_map(|kind| Residency::PLACES.map(|place| (kind, place)));
    let headline = |(kind, place): ((Operation, Option<Scaling>), Residency)| {
        let here = |c: &&MicroCell| (c.op, c.scaling()) == kind && c.residency.place() == place;
        largest(cells(receipt, family).filter(here).filter(|c| !c.summaries.is_empty()))
    };
    places.filter_map(headline).collect()
}

/// The headline cells of a family that were timed, with their indices in the receipt.
pub fn timed_headlines(receipt: &Receipt, family: Family) -> Vec<(usize, &MicroCell)> {
    let place = |cell: &MicroCell| receipt.micro.iter().position(|c| std::ptr::eq(c, cell));
    let timed = headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty());
    timed.filter_map(|c| Some((place(c)?, c))).collect()
}

/// The cells of one family.
pub fn cells(receipt: &Receipt, family: Family) -> impl Iterator<Item = &MicroCell> {
    receipt.micro.iter().filter(move |c| c.family == family)
}

/// What a family is called in headings: `W2A32 ladder (f32 activations)`.
pub fn family_title(family: Family) -> &'static str {
    match family {
        Family::W2A32 => "W2A32 ladder (f32 activations)",
        Family::W2A8 => "W2A8 (int8 activations, exact int32 sums)",
        Family::W2gA8 => "W2gA8 (group scales, int8 activations)",
    }
}

/// The same with what shares a scale in this run's cells, where that is a choice.
pub fn family_in(receipt: &Receipt, family: Family) -> String {
    let mut scalings = cells(receipt, family).filter_map(MicroCell::scaling);
    let title = family_title(family);
    // Else each cell's own title says it.
    let scaling = scalings.next().filter(|first| scalings.all(|other| other == *first));
    scaling.map_or_else(|| title.into(), |scaling| format!("{title}: {scaling}"))
}

/// Sort key of a residency, memory (0) before caches: a model's weights do not fit these.
pub fn places_for_answers(r: Residency) -> u8 {
    match r {
        Residency::Dram => 0,
        Residency::Llc | Residency::Cache => 1,
        Residency::L2 => 2,
    }
}

/// What limits a row, in a word or two: `memory`, `compute` or `port mix`.
pub fn bound(by: BoundBy) -> &'static str {
    match by {
        BoundBy::Memory => "memory",
        BoundBy::Compute => "compute",
        BoundBy::Ports => "port mix",
    }
}

/// The same as the subject of a sentence. A port mix is a kernel's own.
pub fn limiter(by: BoundBy) -> String {
    format!("{}{}", if by == BoundBy::Ports { "its " } else { "" }, bound(by))
}

/// Whether a cell's times are a device's: the host's stand beside them then.
pub fn on_device(cell: &MicroCell) -> bool {
    cell.rounds.iter().any(|round| !round.wall_ns.is_empty())
}

/// Median time of a call of an entry by the host's clock, in nanoseconds, of a cell on a device.
pub fn wall_ns_per_call(cell: &MicroCell, entry: usize) -> Option<f64> {
    let calls = f64::from(cell.calls_per_epoch.max(1));
    figures::median(cell.rounds.iter().filter_map(|round| Some(*round.wall_ns.get(entry)? as f64 / calls)))
}

/// The limit that a share is of, for sentences. Other code may go beyond a port mix.
pub fn limit(by: BoundBy) -> &'static str {
    match by {
        BoundBy::Memory | BoundBy::Compute => "the machine's limit",
        BoundBy::Ports => "the limit of its port mix",
    }
}

/// Which rows of these cells have the port mix of their loop as their limit, and by which model; none without any.
pub fn port_mixes<'r>(cells: impl Iterator<Item = &'r MicroCell>) -> Option<String> {
    let bounds = cells.flat_map(kernels).filter_map(|(_, s)| Some((s, s.bound.as_ref()?)));
    let limited = bounds.filter(|(_, b)| b.bound == BoundBy::Ports);
    let limited: Vec<(&str, String)> =
        limited.filter_map(|(s, b)| Some((s.kernel.as_str(), b.ports.as_ref()?.in_words()))).collect();
    let mut ids: Vec<&str> = limited.iter().map(|(id, _)| *id).collect();
    ids.dedup();
    // All counts of a run are by one model.
    let (_, words) = limited.first()?;
    Some(format!("The limit is the {words}, for {}.", ids.join(", ")))
}

/// Ids of the kernels of one family over all of its cells, in the order measured.
pub fn kernel_ids(receipt: &Receipt, family: Family) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for s in cells(receipt, family).flat_map(|c| kernels(c).map(|(_, s)| s)) {
        if !out.contains(&s.kernel) {
            out.push(s.kernel.clone());
        }
    }
    out
}

/// Ratio of the baseline's time to entry `i`'s in each round, in the order measured.
pub fn round_ratios(cell: &MicroCell, i: usize) -> Vec<f64> {
    let times = |entry| cell.method.times(&cell.rounds, entry, cell.threads);
    let pairs = times(0).into_iter().zip(times(i));
    pairs.filter(|(base, own)| *base > 0 && *own > 0).map(|(base, own)| base as f64 / own as f64).collect()
}

/// How decode ratios were paired, and the smallest difference that counts in them; none where they were paired by
/// round.
pub fn blocks_in_words(generation: &receipt::GenerationRecord) -> Option<String> {
    let tokens = generation.blocks.first()?.tokens;
    let threshold = |b: &receipt::TokenBlocks| {
        // Before 1.3 a kernel with and without the zeros of the gate had blocks of its own.
        let own: Vec<&String> = b.entries.iter().filter(|e| !e.self_pair).map(|e| &e.kernel).collect();
        let sparse = own.get(1).copied().filter(|id| own.len() == 2 && dense_kernel(id) == Some(own[0]));
        let verdicts = b.summaries.iter().filter_map(|s| s.verdict.as_ref());
        let most = verdicts.map(|v| v.delta_eff).fold(0.0, f64::max);
        format!("{} {}", sparse.map_or(b.family.name(), String::as_str), figures::percent(most))
    };
    let thresholds: Vec<String> = generation.blocks.iter().map(threshold).collect();
    Some(format!(
        "decode ratios paired by blocks of {tokens} tokens, smallest difference that counts {}",
        thresholds.join(", ")
    ))
}
