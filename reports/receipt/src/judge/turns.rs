//! What the raw rounds of kernels that take turns within one text say.

use super::generation;
use super::medians::rate;
use super::method::Method;
use super::micro::BuildsOn;
use super::paired::Paired;
use super::stats::median;
use crate::record::{BlockSummary, Ratio, TokenBlocks};
use std::time::Duration;

/// Fills in summaries, verdicts and the floor from the raw rounds of engines with so many threads.
pub fn summarize(record: &mut TokenBlocks, threads: usize, builds_on: BuildsOn<'_>) {
    let ids: Vec<&str> = record.entries.iter().map(|e| e.kernel.as_str()).collect();
    let turns = generation::Blocks::new(record, threads);
    let blocks = turns.times();
    let prompts: Vec<Vec<u64>> =
        (0..ids.len()).map(|entry| Method::Current.times(&record.prompts, entry, threads)).collect();
    let index = |id: &str| record.entries.iter().position(|e| e.kernel == id && !e.self_pair);
    let speed = |tokens: usize, ns: &mut dyn Iterator<Item = u64>| {
        median(&ns.map(|ns| rate(tokens, Duration::from_nanos(ns))).collect::<Vec<_>>())
    };
    let summaries = record.entries.iter().enumerate().map(|(i, entry)| {
        let against = |columns: &[Vec<u64>], partner: usize| -> Ratio {
            Paired::new(record.method, &columns[partner], &columns[i]).ratio(&record.entries[partner].kernel)
        };
        // An A/A column is compared with its twin.
        let partner = if entry.self_pair { index(&entry.kernel) } else { Some(0) };
        let partner = partner.filter(|p| *p != i);
        let previous = builds_on(&entry.kernel).and_then(|id| index(&id)).filter(|_| !entry.self_pair);
        let own_partner = (i > 0 && !entry.self_pair).then(|| previous.unwrap_or(0));
        let settling = &mut record.rounds.iter().map(|r| r.settling_ns[i]);
        BlockSummary {
            kernel: entry.kernel.clone(),
            tokens_per_s: speed(record.tokens, &mut blocks[i].iter().copied()),
            settling_tokens_per_s: speed(record.settling_tokens, settling),
            vs_baseline: partner.map(|p| against(blocks, p)),
            vs_previous: previous.map(|p| against(blocks, p)),
            prefill_vs_baseline: partner.map(|p| against(&prompts, p)),
            verdict: own_partner.map(|p| turns.verdict(i, p, ids[p]).0),
        }
    });
    let summaries: Vec<BlockSummary> = summaries.collect();
    let pair = record.entries.iter().position(|e| e.self_pair);
    let pair = pair.and_then(|s| index(&record.entries[s].kernel).map(|twin| (twin, s)));
    let noise_floor = pair.map_or(0.0, |(twin, s)| Paired::new(record.method, &blocks[twin], &blocks[s]).noise_floor());
    (record.noise_floor, record.summaries) = (noise_floor, summaries);
    generation::blocks(record, threads);
}
