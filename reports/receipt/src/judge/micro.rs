//! What the raw rounds of a microbenchmark say.

use super::cells;
use super::paired::Paired;
use super::stats::median;
use crate::record::{MicroCell, MicroSummary, Rule};

/// The stage that a kernel builds on, by id.
pub type BuildsOn<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The same where stages may be other than this build's: a receipt says what each of its kernels builds on, and nothing
/// else is looked at, so it can be recomputed anywhere.
pub fn summarize(cell: &mut MicroCell, rule: Option<&Rule>, builds_on: BuildsOn<'_>) {
    let times = |entry| cell.method.times(&cell.rounds, entry, cell.threads);
    let columns: Vec<Vec<u64>> = (0..cell.entries.len()).map(times).collect();
    let nothing_measured = cell.rounds.is_empty();
    let index = |id: &str| cell.entries.iter().position(|e| e.kernel == id && !e.self_pair);
    let judged = rule.map(|rule| cells::pairs(cell, rule));
    let summaries = cell.entries.iter().enumerate().map(|(i, entry)| {
        let per_call: Vec<f64> = columns[i].iter().map(|&ns| ns as f64 / f64::from(cell.calls_per_epoch)).collect();
        let ns = median(&per_call);
        let rate = |amount: u64| if ns > 0.0 { amount as f64 / ns } else { 0.0 };
        let against = |partner: usize| {
            Paired::new(cell.method, &columns[partner], &columns[i]).ratio(&cell.entries[partner].kernel)
        };
        let previous = builds_on(&entry.kernel).and_then(|id| index(&id)).filter(|_| !entry.self_pair);
        // An A/A column is compared with its twin.
        let partner = if entry.self_pair { index(&entry.kernel) } else { Some(0) };
        let share_of_stream = cell.stream.as_ref().filter(|_| !nothing_measured).map(|stream| {
            let bytes = entry.bytes_per_call as f64 / stream.bytes_per_call.max(1) as f64;
            let pairs = stream.ns.iter().zip(&columns[i]).filter(|(_, own)| **own > 0);
            median(&pairs.map(|(&limit, &own)| bytes * limit as f64 / own as f64).collect::<Vec<_>>())
        });
        // The stage it builds on, or the baseline where that did not run.
        let verdict = judged.as_ref().filter(|_| i > 0 && !entry.self_pair);
        MicroSummary {
            kernel: entry.kernel.clone(),
            share_of_stream,
            median_ns_per_call: ns,
            gelem_s: rate(cell.weights_per_call),
            gb_s: rate(entry.bytes_per_call),
            vs_baseline: partner.filter(|&p| p != i && !nothing_measured).map(against),
            vs_previous: previous.filter(|_| !nothing_measured).map(against),
            // From the receipt's limits, not from the rounds: kept as it is.
            bound: cell.summaries.get(i).and_then(|s| s.bound.clone()),
            verdict: verdict.map(|judged| judged.verdict(i, previous.unwrap_or(0)).0),
        }
    });
    let summaries: Vec<MicroSummary> = summaries.collect();
    let self_pair = cell.entries.iter().position(|e| e.self_pair);
    let twin = self_pair.and_then(|s| index(&cell.entries[s].kernel).map(|t| (s, t)));
    cell.noise_floor = twin.map_or(0.0, |(s, t)| Paired::new(cell.method, &columns[t], &columns[s]).noise_floor());
    cell.summaries = summaries;
    if let Some(stream) = &mut cell.stream {
        let per_epoch = stream.bytes_per_call as f64 * f64::from(cell.calls_per_epoch);
        let rates: Vec<f64> = stream.ns.iter().filter(|ns| **ns > 0).map(|&ns| per_epoch / ns as f64).collect();
        stream.gb_s = median(&rates);
    }
    cells::fill(cell, rule);
}
