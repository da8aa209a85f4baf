//! The timed part: fresh processes of both builds take turns, epoch by epoch, until every comparison's verdict stands.

use super::process::Process;
use super::sides::{Failed, Sides, Trio};
use crate::error::Result;
use crate::measure::rounds::{orders, round};
use crate::worker::protocol::{Job, JobCell};
use receipt::judge::Method;
use receipt::judge::gate::{BASELINE, BASELINE_AGAIN, CURRENT};
use receipt::judge::sequential::log_ratios;
use receipt::judge::stats::median;
use receipt::{Broken, GateCell, GatePair, Operation, Residency, Round, Rule};
use std::time::Instant;

/// Least rounds of a comparison in one process pair: two whole squares of orders, which is enough on a quiet machine.
/// Fewer are made only where one call is much longer than [`EPOCH_NS`].
const ROUNDS: usize = 12;
/// Most rounds of a pair whose rounds scatter, while every comparison is measured. When only undecided comparisons are
/// left the limit is [`MOST_ROUNDS_OF_UNDECIDED`]: then starting the processes costs more time than the rounds.
const MOST_ROUNDS: usize = 30;
/// See [`MOST_ROUNDS`].
pub const MOST_ROUNDS_OF_UNDECIDED: usize = 60;
/// A pair's spread is checked after every so many rounds.
const SQUARE: usize = 6;
/// Least rounds where one call is much longer than an epoch: slow kernels scatter little and take most of the time.
const FEWEST_ROUNDS: usize = 5;
/// The same of a model whose tokens take a large part of a second.
const FEWEST_ROUNDS_OF_LARGE_TEXTS: usize = 3;
/// A pair needs no more rounds when their median has at most this standard error: processes of one build differ by it.
const SETTLED: f64 = 0.01;
/// Target length of an epoch.
const EPOCH_NS: f64 = 1e6;
/// The same of decoded tokens: a few of the built-in model's.
const TEXT_EPOCH_NS: f64 = 2e6;
const MAX_CALLS: u32 = 1 << 22;

/// The work of one process pair: which cells it times, between which builds, by which rule.
pub struct Plan<'a> {
    /// The two builds from which the processes are started.
    pub sides: &'a Sides<'a>,
    /// What the workers are told: the cells of this pair.
    pub job: &'a Job,
    /// Number of the pair, which tells its processes from other pairs'.
    pub number: usize,
    /// For each cell of the job its index in the record.
    pub index: &'a [usize],
    pub rule: &'a Rule,
    /// After this deadline each pair gets the minimum number of rounds, so that a gate ends within minutes even on a
    /// noisy machine. Pairs in which only undecided comparisons are left are few and keep their rounds.
    pub no_more_rounds_from: Instant,
}

impl Plan<'_> {
    /// Runs the process pair over its cells. `outputs` is told what both builds computed of a cell, with its index in
    /// the record, and `progress` what comes next. A cell whose process fails is broken; the others get new processes.
    pub fn pair(
        &self,
        cells: &mut [GateCell],
        mut outputs: impl FnMut(usize, &JobCell, [String; 2]) -> Result<()>,
        mut progress: impl FnMut(&JobCell),
    ) -> Result<()> {
        let mut trio = Trio::start(self.sides, self.job)?;
        for (at, (job_cell, &i)) in self.job.cells.iter().zip(self.index).enumerate() {
            progress(job_cell);
            match self.cell(&mut trio, at, &mut cells[i]) {
                Ok(hashes) => outputs(i, job_cell, hashes)?,
                Err(failed) if failed.error.is_interrupt() => return Err(failed.error),
                Err(failed) => {
                    let by = if failed.column == CURRENT { Broken::Current } else { Broken::Baseline };
                    cells[i].broken = Some(by(failed.error.to_string()));
                    // The other processes may still be at work on this cell.
                    drop(trio);
                    trio = Trio::start(self.sides, self.job)?;
                }
            }
        }
        trio.0.into_iter().for_each(Process::stop);
        Ok(())
    }

    /// One comparison. Returns the hashes of the baseline's and the current output.
    fn cell(&self, trio: &mut Trio, at: usize, cell: &mut GateCell) -> std::result::Result<[String; 2], Failed> {
        let hashes = trio.prepare(at, self.number == 0)?;
        let job_cell = &self.job.cells[at];
        if cell.calls_per_epoch == 0 {
            let calls = calibrate(&mut trio.0[BASELINE], limits(job_cell), self.job.threads);
            cell.calls_per_epoch = calls.map_err(|error| Failed { column: BASELINE, error })?;
        }
        let rounds = self.rounds(trio, job_cell, cell.calls_per_epoch, self.index[at])?;
        trio.0.iter().for_each(Process::leave);
        cell.pairs.push(GatePair { pair: self.number, cpu: self.job.cpu, rounds });
        Ok(hashes)
    }

    /// The rounds of one comparison in this pair; `i` is its index in the record.
    fn rounds(
        &self,
        trio: &mut Trio,
        job_cell: &JobCell,
        calls: u32,
        i: usize,
    ) -> std::result::Result<Vec<Round>, Failed> {
        let seed = self.job.seed ^ (self.number as u64) << 32 ^ i as u64;
        let limits = limits(job_cell);
        let mut least = ROUNDS;
        let mut most = if self.number >= self.rule.looks[0] {
            MOST_ROUNDS_OF_UNDECIDED
        } else if Instant::now() > self.no_more_rounds_from {
            ROUNDS
        } else {
            MOST_ROUNDS
        };
        let mut rounds = Vec::with_capacity(most);
        // The first round is thrown away: the first epoch of a cell in a fresh process is slower than the others.
        for (done, order) in std::iter::once(vec![0, 1, 2]).chain(orders(3, most, seed)).enumerate() {
            if rounds.len() >= most
                || (rounds.len() >= least && rounds.len() % SQUARE == 0 && settled(&rounds, self.job.threads))
            {
                break;
            }
            let turn = |column: usize| trio.0[column].run(calls).map(Some).map_err(|error| Failed { column, error });
            let Some(round) = round(order, turn)? else { break };
            if done == 0 {
                // Without the time of other processes: a busy machine needs more rounds, not fewer.
                let round = [round];
                let own = [BASELINE, CURRENT, BASELINE_AGAIN]
                    .map(|column| Method::Current.times(&round, column, self.job.threads)[0]);
                let longest = own.into_iter().max().unwrap_or(0).max(1) as f64;
                let fit = |rounds: usize| {
                    ((rounds as f64 * 2.0 * limits.epoch_ns / longest) as usize).clamp(limits.fewest_rounds, rounds)
                };
                (least, most) = (fit(least), fit(most));
            } else {
                rounds.push(round);
            }
        }
        Ok(rounds)
    }
}

/// How long an epoch is, and how few rounds are enough.
#[derive(Clone, Copy)]
struct Limits {
    epoch_ns: f64,
    most_calls: u32,
    fewest_rounds: usize,
}

/// A block of tokens is at most as long as the text that is proved, and a prompt is one call.
fn limits(cell: &JobCell) -> Limits {
    let products = Limits { epoch_ns: EPOCH_NS, most_calls: MAX_CALLS, fewest_rounds: FEWEST_ROUNDS };
    let Some(text) = &cell.text else { return products };
    let most_calls = if cell.op == Operation::Decode { text.block as u32 } else { 1 };
    let fewest_rounds = if cell.residency == Residency::Dram { FEWEST_ROUNDS_OF_LARGE_TEXTS } else { FEWEST_ROUNDS };
    Limits { epoch_ns: TEXT_EPOCH_NS, most_calls, fewest_rounds }
}

/// Calls of an epoch of the baseline.
fn calibrate(process: &mut Process, limits: Limits, threads: usize) -> Result<u32> {
    let Limits { epoch_ns, most_calls, .. } = limits;
    // CPU time where the process was preempted, so that a busy machine does not get shorter epochs.
    let mut time = |calls: u32| -> Result<f64> {
        let spent = process.run(calls)?;
        let preempted = threads == 1 && spent.involuntary_switches > 0 && spent.cpu_ns > 0;
        Ok((if preempted { spent.cpu_ns.min(spent.ns) } else { spent.ns }).max(1) as f64)
    };
    let mut calls = 1u32;
    loop {
        let ns = time(calls)?;
        if ns > epoch_ns / 10.0 || calls >= most_calls {
            // The first calls of a process include page faults, so the time is taken once more.
            let ns = time(calls)?;
            return Ok((f64::from(calls) * epoch_ns / ns).round().clamp(1.0, f64::from(most_calls)) as u32);
        }
        calls = (calls * 4).min(most_calls);
    }
}

/// Whether these three processes need no more rounds. Only the spread of their three differences counts, not the sign:
/// the answer is the same whichever process is the current build, so stopping here favours neither build.
fn settled(rounds: &[Round], threads: usize) -> bool {
    let columns = [BASELINE, CURRENT, BASELINE_AGAIN].map(|column| Method::Current.times(rounds, column, threads));
    let error = |a: usize, b: usize| {
        let ratios = log_ratios(&columns[a], &columns[b]);
        let middle = median(&ratios);
        let deviation = median(&ratios.iter().map(|r| (r - middle).abs()).collect::<Vec<_>>());
        // For a normal distribution: a deviation is 1.4826 median deviations, a median's error 1.253 of a mean's.
        1.253 * 1.4826 * deviation / (ratios.len().max(1) as f64).sqrt()
    };
    [(0, 1), (0, 2), (1, 2)].iter().all(|&(a, b)| error(a, b) <= SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_settled_by_its_spread_and_not_by_who_is_slower() {
        let rounds = |n: u64, spread: u64, times: [u64; 3]| -> Vec<Round> {
            let round = |i: u64| Round {
                order: vec![0, 1, 2],
                ns: times.iter().enumerate().map(|(c, ns)| ns + spread * ((i * 7 + c as u64 * 3) % 11)).collect(),
                cpu_ns: vec![1; 3],
                wall_ns: Vec::new(),
                involuntary_switches: vec![0; 3],
            };
            (0..n).map(round).collect()
        };
        let even = [1_000_000; 3];
        assert!(settled(&rounds(12, 1_000, even), 1));
        assert!(!settled(&rounds(12, 10_000, even), 1));
        assert!(settled(&rounds(600, 10_000, even), 1), "more rounds settle it");
        for times in [[2_000_000, 1_000_000, 1_000_000], [1_000_000, 2_000_000, 1_000_000]] {
            assert!(settled(&rounds(12, 1_000, times), 1), "a difference is no noise");
        }
        // Any order of the columns gives the same answer.
        for spread in [3_000, 4_000, 5_000, 6_000, 7_000] {
            let answers = [[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]].map(|order| {
                let mut swapped = rounds(12, spread, even);
                swapped.iter_mut().for_each(|r| r.ns = order.iter().map(|&c: &usize| r.ns[c]).collect());
                settled(&swapped, 1)
            });
            assert!(answers.iter().all(|a| *a == answers[0]), "{spread}: {answers:?}");
        }
    }
}
