//! What the raw rounds of kernels that take turns within one text say.

use super::columns::{BuildsOn, Columns};
use super::medians::rate;
use super::stats::median;
use crate::record::{BlockSummary, TokenBlocks};
use std::time::Duration;

/// Fills in summaries, verdicts and noise floor of token blocks from raw rounds of decoders with `threads` threads.
pub fn summarize(record: &mut TokenBlocks, threads: usize, builds_on: BuildsOn<'_>) {
    let (blocks, prompts) = (Columns::blocks(record, threads), Columns::prompts(record, threads));
    let speed = |tokens: usize, ns: &mut dyn Iterator<Item = u64>| {
        median(&ns.map(|ns| rate(tokens, Duration::from_nanos(ns))).collect::<Vec<_>>())
    };
    let summaries = record.entries.iter().enumerate().map(|(i, entry)| {
        let partner = blocks.partner(i);
        let settling = &mut record.rounds.iter().map(|r| r.settling_ns[i]);
        BlockSummary {
            kernel: entry.kernel.clone(),
            tokens_per_s: speed(record.tokens, &mut blocks.ns(i).iter().copied()),
            settling_tokens_per_s: speed(record.settling_tokens, settling),
            vs_baseline: partner.map(|p| blocks.ratio(i, p)),
            vs_previous: blocks.previous(i, builds_on).map(|p| blocks.ratio(i, p)),
            prefill_vs_baseline: partner.map(|p| prompts.ratio(i, p)),
            verdict: blocks.judged_against(i, builds_on).map(|p| blocks.verdict(&record.rule, i, p).0),
        }
    });
    record.summaries = summaries.collect();
    record.noise_floor = blocks.noise_floor();
    fill(record, threads);
}

/// Judges every pair of token blocks that is shown, and fills in what a stored verdict of an older receipt lacks.
pub fn fill(record: &mut TokenBlocks, threads: usize) {
    let columns = Columns::blocks(record, threads);
    let shown = record.summaries.iter_mut().map(|s| ([s.vs_baseline.as_mut(), s.vs_previous.as_mut()], &mut s.verdict));
    columns.fill(&record.rule, shown);
}
