//! The gate: which kernels both builds have, exact checks, then process pairs until every verdict stands.

use super::cells;
use super::exact;
use super::lockstep::{MOST_ROUNDS_OF_UNDECIDED, Plan};
use super::program::Side;
use super::proof;
use super::sides::{Asked, Sides};
use crate::build_info::build;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::progress::Progress;
use crate::worker::protocol::JobCell;
use receipt::judge::gate::{INSTRUCTIONS, judged, summarize};
use receipt::judge::sequential::PAIR_LOOKS;
use receipt::{GateCell, GateRecord, GateSide, Outcome, Rule};
use std::time::{Duration, Instant};

/// After this long each process pair gets the minimum number of rounds.
const PATIENCE: Duration = Duration::from_secs(45);

/// Runs the gate. Weights that are read from memory outgrow `last_level_cache_bytes`. `save` gets the record after
/// every process pair, so that a gate that is killed leaves its results.
pub fn run(
    asked: &Asked,
    sides: &Sides<'_>,
    last_level_cache_bytes: u64,
    progress: &Progress,
    mut save: impl FnMut(&GateRecord) -> Result<()>,
) -> Result<GateRecord> {
    let mut job = proof::job(&asked.machine, asked.seed, last_level_cache_bytes);
    job.libraries = asked.guests.libraries();
    let mut record = begin(asked, sides);
    let (kernels, ops) = proof::compare(asked, sides, &job, &mut record)?;
    let (all, left_out) = cells::all(asked, &kernels, &ops)?;
    record.unsupported.extend(left_out);
    record.cells = all.iter().map(|cell| cells::fresh(cell, &record.rule, job.threads)).collect();
    record.rule.comparisons = record.cells.len().max(1);
    if let Some(planted) = asked.inject.as_ref().filter(|i| record.cells.iter().all(|c| c.kernel != i.kernel)) {
        return Err(Error::input(format!("--inject {}: this gate does not measure it", planted.kernel)));
    }
    job.inject.clone_from(&asked.inject);
    summarize(&mut record);
    save(&record)?;
    let no_more_rounds_from = Instant::now() + PATIENCE;
    let cpus = asked.machine.cpus_for_pairs();
    let rule = record.rule.clone();
    // What the first process pair computed, to which later ones are held.
    let mut first: Vec<Option<[String; 2]>> = vec![None; all.len()];
    for number in 0..rule.most() {
        let index: Vec<usize> = (0..all.len()).filter(|&i| !stands(&rule, &record.cells[i])).collect();
        if index.is_empty() {
            break;
        }
        job.cpu = cpus.get(number % cpus.len().max(1)).copied();
        // Only what is open: a worker makes operands for all cells of its job.
        job.cells = index.iter().map(|&i| all[i].clone()).collect();
        let plan = Plan { sides, job: &job, number, index: &index, rule: &rule, no_more_rounds_from };
        let GateRecord { cells, checks, .. } = &mut record;
        let computed = |i: usize, cell: &JobCell, hashes: [String; 2]| {
            if let Some(before) = &first[i] {
                return exact::same_as_before(cell, before, &hashes);
            }
            let exact = kernels.iter().any(|k| k.id == cell.kernel && k.exact);
            checks.extend(exact::output(cell, exact, &hashes, &asked.stored));
            first[i] = Some(hashes);
            Ok(())
        };
        let undecided = if number + 1 > PAIR_LOOKS[0] { ", undecided only" } else { "" };
        let say = |cell: &JobCell| progress.say(format!("gate: pair {}{undecided}, {cell}", number + 1));
        let result = plan.pair(cells, computed, say);
        if interrupt::requested() || result.is_err() {
            // Drop this pair from all cells: it was not measured in every one.
            record.cells.iter_mut().for_each(|c| c.pairs.retain(|p| p.pair != number || result.is_ok()));
            summarize(&mut record);
            save(&record)?;
            result?;
            return Err(Error::interrupted("interrupted during the gate; what was measured is saved"));
        }
        progress.set((number as u64 + 1).min(PAIR_LOOKS[0] as u64));
        summarize(&mut record);
        save(&record)?;
        if record.checks.iter().any(|c| !c.passed && c.what != INSTRUCTIONS) {
            // A wrong result fails the gate whatever the times are, so no more pairs are needed.
            break;
        }
    }
    Ok(record)
}

/// The record before anything is known.
fn begin(asked: &Asked, sides: &Sides<'_>) -> GateRecord {
    let side =
        |label: &str, of: &Side| GateSide { label: label.into(), binary_sha256: of.sha256.clone(), build: build() };
    GateRecord {
        baseline: side(&asked.label, &sides.baseline),
        current: side("current", &sides.current),
        rule: Rule::new(asked.delta, "process pair", &PAIR_LOOKS, PAIR_LOOKS[PAIR_LOOKS.len() - 1], 1),
        rounds_per_pair: MOST_ROUNDS_OF_UNDECIDED,
        inject: asked.inject.clone(),
        checks: Vec::new(),
        cells: Vec::new(),
        unsupported: Vec::new(),
        outcome: Outcome::Inconclusive,
        reason: String::new(),
        next_step: String::new(),
    }
}

/// Whether a comparison needs no more pairs.
fn stands(rule: &Rule, cell: &GateCell) -> bool {
    cell.broken.is_some() || (rule.looks.contains(&cell.pairs.len()) && judged(rule, cell).1)
}
