//! What a cell goes through wherever it is measured, on this CPU or on a device: it begins empty, its rounds end when
//! its pairs are settled, the stream leaves them, and it may get a second chance.

use crate::interrupt;
use crate::operation;
use crate::scenario::Cell;
use kernels::Family;
use receipt::judge::{self, Method};
use receipt::{MicroCell, Round, Rule, StreamLimit};
use std::time::{Duration, Instant};

/// Seed of a cell's weights, activations and order.
pub fn operand_seed(seed: u64, cell: Cell, family: Family) -> u64 {
    seed ^ (cell.shape.m as u64) << 40 ^ (cell.shape.k as u64) << 16 ^ (cell.tokens as u64) << 4 ^ family as u64
}

/// Takes the stream's column, the last, out of the rounds, so that they hold kernels only.
pub fn stream_apart(record: &mut MicroCell, bytes_per_call: u64) -> StreamLimit {
    let column = record.entries.len();
    let ns = Method::Current.times(&record.rounds, column, record.threads);
    for round in &mut record.rounds {
        round.order.retain(|&entry| usize::from(entry) < column);
        for times in [&mut round.ns, &mut round.cpu_ns, &mut round.wall_ns] {
            times.truncate(column);
        }
        round.involuntary_switches.truncate(column);
    }
    StreamLimit { bytes_per_call, ns, gb_s: 0.0 }
}

/// Whether rounds need no more of them: every pair is settled at a look of the rule, or the time is over.
pub fn settled(
    record: &MicroCell,
    rounds: &[Round],
    (rule, until): (&Rule, Option<Instant>),
    builds_on: &dyn Fn(&str) -> Option<String>,
) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
        || rule.looks.contains(&rounds.len()) && {
            let mut so_far = MicroCell { rounds: rounds.to_vec(), ..record.clone() };
            receipt::judge::micro::summarize(&mut so_far, Some(rule), builds_on);
            so_far.ratios().all(|ratio| ratio.direction().is_settled())
        }
}

/// Whether a cell is measured once more: the same code differed from itself, and half of the time it took is left.
pub fn has_second_chance(first: &MicroCell, took: Duration, until: Instant) -> bool {
    judge::unstable(first) && Instant::now() + took / 2 < until && !interrupt::requested()
}

/// Puts a second measurement in the place of the first, which stays within it; unless it was cut off before its first
/// look, when it would say less. Whether it did.
pub fn replace_first(first: &mut MicroCell, again: MicroCell, rule: &Rule) -> bool {
    let says_enough = rule.looks.first().is_some_and(|look| again.rounds.len() >= *look);
    if says_enough {
        let first_one = std::mem::replace(first, again);
        first.unstable_first = Some(Box::new(first_one));
    }
    says_enough
}

/// A cell in which nothing was timed yet.
pub fn nothing_timed((cell, family): (Cell, Family), threads: usize, seed: u64) -> MicroCell {
    let (m, k, tokens) = (cell.shape.m, cell.shape.k, cell.tokens);
    let (weight_group, activations) = cell.scaling.recorded(family);
    MicroCell {
        op: operation::recorded(cell.op),
        m,
        k,
        tokens,
        residency: cell.residency,
        family: operation::family(family),
        weight_group,
        activations,
        threads,
        weights_per_call: (m * k * tokens) as u64,
        calls_per_epoch: 0,
        copies: 1,
        seed: operand_seed(seed, cell, family),
        entries: Vec::new(),
        rounds: Vec::new(),
        without_time: Vec::new(),
        summaries: Vec::new(),
        stream: None,
        noise_floor: 0.0,
        unstable_first: None,
        lead: None,
        method: Method::Current,
    }
}
