//! The timed part: fresh processes of both builds take turns, epoch by epoch, until every comparison's verdict stands.

use super::job::{Job, JobCell, Request};
use super::process::Process;
use crate::error::{Error, Result};
use crate::measure::rounds::orders;
use receipt::judge::Method;
use receipt::judge::gate::{self, BASELINE, BASELINE_AGAIN, CURRENT};
use receipt::judge::sequential::log_ratios;
use receipt::judge::stats::median;
use receipt::{GateCell, GatePair, Round, Rule};
use std::fs;
use std::path::{Path, PathBuf};
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
/// Least rounds where a single call is much longer than an epoch: slow kernels scatter little, and take most of a
/// gate's time.
const FEWEST_ROUNDS: usize = 5;
/// A pair needs no more rounds when the median of its rounds has at most this standard error (1%). Processes of one
/// build differ by as much.
const SETTLED: f64 = 0.01;
/// Target length of an epoch.
const EPOCH_NS: f64 = 1e6;
const MAX_CALLS: u32 = 1 << 22;

/// The two executables, and where their processes may write.
pub struct Sides<'a> {
    /// The build measured against.
    pub baseline: &'a Path,
    /// The build that is judged.
    pub current: &'a Path,
    /// For control blocks.
    pub folder: &'a Path,
}

/// The processes of one pair, by column of a round: baseline, current, and the baseline again.
pub struct Trio([Process; 3]);

impl Trio {
    /// Starts all three, each from a fresh copy of its program. Only the current side gets the planted slowdown.
    ///
    /// The system keeps a program's file at one place in memory for all processes that run it. That place can make a
    /// kernel that streams its weights 10% slower (measured: two copies of one program, the same difference in 16
    /// process pairs). With one copy for all pairs the difference would look like one of the builds; with one copy for
    /// both processes of the baseline the A/A pair would not show it.
    pub fn start(sides: &Sides<'_>, job: &Job) -> Result<Self> {
        let plain = Job { inject: None, ..job.clone() };
        let start = |label, binary: &Path, job: &Job, n: usize| -> Result<Process> {
            let copy = fresh_copy(binary, &sides.folder.join(format!("program-{n}")))?;
            let process = Process::start(label, &copy, job.clone(), sides.folder, n)?;
            // The process runs, so the file can go; it is removed before the system writes it to the disk.
            fs::remove_file(&copy).map_err(|e| Error::io("remove", &copy, &e))?;
            Ok(process)
        };
        Ok(Self([
            start("the baseline", sides.baseline, &plain, BASELINE)?,
            start("the current build", sides.current, job, CURRENT)?,
            start("the baseline's second process", sides.baseline, &plain, BASELINE_AGAIN)?,
        ]))
    }

    /// One of them.
    pub fn side(&mut self, column: usize) -> &mut Process {
        &mut self.0[column]
    }

    /// Makes a cell ready everywhere; returns the output hashes of baseline and current. The baseline's two processes
    /// must agree.
    pub fn prepare(&mut self, cell: usize, oracle: bool) -> Result<[Vec<String>; 2]> {
        for process in &mut self.0 {
            process.ask(&Request::Prepare { cell, oracle })?;
        }
        let [baseline, current, again] = &mut self.0;
        let outputs = [baseline.prepared()?, current.prepared()?];
        if again.prepared()? != outputs[0] {
            return Err(Error::failed("two processes of the baseline compute different results; it cannot be gated"));
        }
        Ok(outputs)
    }

    fn leave(&self) {
        self.0.iter().for_each(Process::leave);
    }
}

/// Where each comparison of a cell is in the record.
pub struct Plan<'a> {
    /// What the children were told.
    pub job: &'a Job,
    /// For each cell of the job, the index in the record of each of its entries.
    pub index: &'a [Vec<usize>],
    /// When to look.
    pub rule: &'a Rule,
    /// After this deadline each pair gets the minimum number of rounds, so that a gate ends within minutes even on a
    /// noisy machine. Pairs in which only undecided comparisons are left are few and keep their rounds.
    pub no_more_rounds_from: Instant,
}

impl Plan<'_> {
    /// Runs one process pair over every comparison whose verdict does not stand yet. `progress` is told after each
    /// cell.
    pub fn pair(
        &self,
        number: usize,
        trio: &mut Trio,
        cells: &mut [GateCell],
        mut outputs: impl FnMut(usize, &JobCell, [Vec<String>; 2]) -> Result<()>,
        mut progress: impl FnMut(&JobCell),
    ) -> Result<()> {
        for (at, job_cell) in self.job.cells.iter().enumerate() {
            let open: Vec<(usize, usize)> = self.index[at].iter().copied().enumerate().collect();
            let open: Vec<_> = open.into_iter().filter(|(_, i)| !self.stands(&cells[*i])).collect();
            if !open.is_empty() {
                progress(job_cell);
                outputs(at, job_cell, trio.prepare(at, number == 0)?)?;
                for (entry, i) in open {
                    let cell = &mut cells[i];
                    if cell.calls_per_epoch == 0 {
                        cell.calls_per_epoch = calibrate(trio.side(BASELINE), entry, self.job.threads)?;
                    }
                    let seed = self.job.seed ^ (number as u64) << 32 ^ i as u64;
                    let rounds = self.rounds(number, trio, entry, cell.calls_per_epoch, seed)?;
                    cell.pairs.push(GatePair { pair: number, cpu: self.job.cpu, rounds });
                }
                trio.leave();
            }
        }
        Ok(())
    }

    /// The rounds of one comparison in the process pair with this number.
    fn rounds(&self, number: usize, trio: &mut Trio, entry: usize, calls: u32, seed: u64) -> Result<Vec<Round>> {
        let mut least = ROUNDS;
        let mut most = match () {
            () if number >= self.rule.looks[0] => MOST_ROUNDS_OF_UNDECIDED,
            () if Instant::now() > self.no_more_rounds_from => ROUNDS,
            () => MOST_ROUNDS,
        };
        let mut rounds = Vec::with_capacity(most);
        // The first round is thrown away: the first epoch of a cell in a fresh process is slower than the others.
        for (done, order) in std::iter::once(vec![0, 1, 2]).chain(orders(3, most, seed)).enumerate() {
            if rounds.len() >= most
                || (rounds.len() >= least && rounds.len() % SQUARE == 0 && settled(&rounds, self.job.threads))
            {
                break;
            }
            let (mut ns, mut cpu_ns, mut involuntary_switches) = (vec![0; 3], vec![0; 3], vec![0; 3]);
            for &column in &order {
                let column = usize::from(column);
                let spent = trio.side(column).run(entry, calls)?;
                (ns[column], cpu_ns[column]) = (spent.ns, spent.cpu_ns);
                involuntary_switches[column] = spent.involuntary_switches;
            }
            if done == 0 {
                // Without the time of other processes: a busy machine needs more rounds, not fewer.
                let round = [Round { order, ns, cpu_ns, involuntary_switches }];
                let own = [BASELINE, CURRENT, BASELINE_AGAIN]
                    .map(|column| Method::Current.times(&round, column, self.job.threads)[0]);
                let longest = own.into_iter().max().unwrap_or(0).max(1) as f64;
                let fit =
                    |rounds: usize| ((rounds as f64 * 2.0 * EPOCH_NS / longest) as usize).clamp(FEWEST_ROUNDS, rounds);
                (least, most) = (fit(least), fit(most));
            } else {
                rounds.push(Round { order, ns, cpu_ns, involuntary_switches });
            }
        }
        Ok(rounds)
    }

    /// Whether a comparison needs no more pairs.
    pub fn stands(&self, cell: &GateCell) -> bool {
        self.rule.looks.contains(&cell.pairs.len()) && gate::verdict(self.rule, &cell.pairs, cell.threads).1
    }
}

/// `folder/program`. All copies have paths of the same length, because the length of a program's path moves its stack.
fn fresh_copy(binary: &Path, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, &e))?;
    let copy = folder.join("program");
    let bytes = fs::read(binary).map_err(|e| Error::io("read the program", binary, &e))?;
    // Written byte by byte, not cloned: copies that share blocks on the disk may share their place in memory.
    fs::write(&copy, bytes).map_err(|e| Error::io("write", &copy, &e))?;
    super::scratch::make_executable(&copy)?;
    Ok(copy)
}

/// Calls an epoch: about [`EPOCH_NS`] of the baseline.
fn calibrate(process: &mut Process, entry: usize, threads: usize) -> Result<u32> {
    // CPU time where the process was preempted, so that a busy machine does not get shorter epochs.
    let mut time = |calls: u32| -> Result<f64> {
        let spent = process.run(entry, calls)?;
        let preempted = threads == 1 && spent.involuntary_switches > 0 && spent.cpu_ns > 0;
        Ok((if preempted { spent.cpu_ns.min(spent.ns) } else { spent.ns }).max(1) as f64)
    };
    let mut calls = 1u32;
    loop {
        let ns = time(calls)?;
        if ns > EPOCH_NS / 10.0 || calls >= MAX_CALLS {
            // The first calls of a process include page faults, so the time is taken once more.
            let ns = time(calls)?;
            return Ok((f64::from(calls) * EPOCH_NS / ns).round().clamp(1.0, f64::from(MAX_CALLS)) as u32);
        }
        calls *= 4;
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
        // For a normal distribution: the standard deviation is 1.4826 median deviations, the median's standard error
        // 1.253 of a mean's.
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
