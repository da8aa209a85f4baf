//! What the raw rounds of a microbenchmark say.

pub use super::columns::BuildsOn;
use super::columns::Columns;
use super::sequential::{DELTA, ROUND_LOOKS};
use super::stats::median;
use crate::record::{MicroCell, MicroSummary, Rule};
use std::borrow::Cow;

/// Fills in summaries, verdicts and the deviation of single rounds. Stages may be other than this build's: a receipt
/// says what each of its kernels builds on, and nothing else is looked at, so it can be recomputed anywhere.
pub fn summarize(cell: &mut MicroCell, rule: Option<&Rule>, builds_on: BuildsOn<'_>) {
    let columns = Columns::micro(cell);
    let measured = !cell.rounds.is_empty();
    let summaries = cell.entries.iter().enumerate().map(|(i, entry)| {
        let calls = f64::from(cell.calls_per_epoch);
        let ns = median(&columns.ns(i).iter().map(|&ns| ns as f64 / calls).collect::<Vec<_>>());
        let rate = |amount: u64| if ns > 0.0 { amount as f64 / ns } else { 0.0 };
        let against = |partner: usize| columns.ratio(i, partner);
        let stream = cell.stream.as_ref().zip(columns.stream.as_ref()).filter(|_| measured);
        let share_of_stream = stream.map(|(stream, stream_ns)| {
            let bytes = entry.bytes_per_call as f64 / stream.bytes_per_call.max(1) as f64;
            let pairs = stream_ns.iter().zip(columns.ns(i)).filter(|(_, own)| **own > 0);
            median(&pairs.map(|(&limit, &own)| bytes * limit as f64 / own as f64).collect::<Vec<_>>())
        });
        let judged = rule.zip(columns.judged_against(i, builds_on));
        MicroSummary {
            kernel: entry.kernel.clone(),
            share_of_stream,
            median_ns_per_call: ns,
            gelem_s: rate(cell.weights_per_call),
            gb_s: rate(entry.bytes_per_call),
            vs_baseline: columns.partner(i).filter(|_| measured).map(against),
            vs_previous: columns.previous(i, builds_on).filter(|_| measured).map(against),
            // From the receipt's limits, not from the rounds: kept as it is.
            bound: cell.summaries.get(i).and_then(|s| s.bound.clone()),
            verdict: judged.map(|(rule, partner)| columns.verdict(rule, i, partner).0),
        }
    });
    let summaries: Vec<MicroSummary> = summaries.collect();
    cell.noise_floor = columns.noise_floor();
    cell.summaries = summaries;
    if let Some(stream) = &mut cell.stream {
        let per_epoch = stream.bytes_per_call as f64 * f64::from(cell.calls_per_epoch);
        let rates: Vec<f64> = stream.ns.iter().filter(|ns| **ns > 0).map(|&ns| per_epoch / ns as f64).collect();
        stream.gb_s = median(&rates);
    }
    fill(cell, rule);
}

/// Judges every pair that is shown, and fills in what a stored verdict of an older receipt lacks. `rule` is the
/// receipt's, if it has one.
pub fn fill(cell: &mut MicroCell, rule: Option<&Rule>) {
    let rule = &*rule_for(rule, cell);
    let columns = Columns::micro(cell);
    let shown = cell.summaries.iter_mut().map(|s| ([s.vs_baseline.as_mut(), s.vs_previous.as_mut()], &mut s.verdict));
    columns.fill(rule, shown);
    cell.lead = columns.lead(rule, cell.summaries.iter().map(|s| s.median_ns_per_call));
    if let Some(first) = &mut cell.unstable_first {
        fill(first, Some(rule));
    }
}

/// A receipt's rule; before 1.1 there was none, and the one that came with the first verdicts holds.
pub fn rule_for<'r>(rule: Option<&'r Rule>, cell: &MicroCell) -> Cow<'r, Rule> {
    let comparisons = cell.entries.len().saturating_sub(2);
    rule.map_or_else(
        || Cow::Owned(Rule::new(DELTA, "round", &ROUND_LOOKS, cell.rounds.len(), comparisons)),
        Cow::Borrowed,
    )
}
