//! The gate from its two executables to its verdicts: which kernels both have, exact checks, then process pairs until
//! every verdict stands.

use super::exact;
use super::job::{Job, JobCell, Offer, PROTOCOL, Request};
use super::lockstep::{MOST_ROUNDS_OF_UNDECIDED, Plan, Sides, Trio};
use super::process::Process;
use super::scratch::Scratch;
use super::scratch::make_executable;
use crate::build_info::build;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::scenario::{Cell, Scenario};
use kernels::Family;
use receipt::judge::gate::{CURRENT, summarize, verdict};
use receipt::judge::sequential::PAIR_LOOKS;
use receipt::{Build, ExactCheck, GateCell, GateRecord, GateSide, Injection, Outcome, Rule, Unsupported};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// After this long each process pair gets the minimum number of rounds.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to gate.
pub struct Asked<'a> {
    /// Name of the other build, for messages.
    pub label: String,
    /// The build measured against.
    pub baseline: PathBuf,
    /// The build that is judged.
    pub current: PathBuf,
    /// Its shapes are timed.
    pub scenario: &'a Scenario,
    /// Kernels; all that both builds have and this CPU runs by default.
    pub kernels: Option<Vec<String>>,
    /// Threads and features of the children.
    pub machine: &'a Machine,
    /// Seed of data and order.
    pub seed: u64,
    /// Smallest slowdown that matters.
    pub delta: f64,
    /// A slowdown to plant in the current side.
    pub inject: Option<Injection>,
    /// Size of the last-level cache.
    pub last_level_cache_bytes: u64,
    /// What the baseline computed when it was saved, if it was.
    pub stored: Vec<ExactCheck>,
}

/// Runs the gate. `save` gets the record after every process pair, so that a gate that is killed leaves its results.
pub fn run(
    asked: &Asked<'_>,
    progress: &Progress,
    mut save: impl FnMut(&GateRecord) -> Result<()>,
) -> Result<GateRecord> {
    let folder = Scratch::new()?;
    // Copies, because another build in the workspace may overwrite the programs while the gate runs.
    let baseline = copy(&asked.baseline, &folder.path().join("a"))?;
    let current = copy(&asked.current, &folder.path().join("b"))?;
    let sides = Sides { baseline: &baseline.0, current: &current.0, folder: folder.path() };
    let mut job = Job {
        protocol: PROTOCOL,
        control: String::new(),
        cells: Vec::new(),
        seed: asked.seed,
        threads: asked.machine.threads,
        cpu: None,
        cpu_features: asked.machine.mask().map(str::to_owned),
        last_level_cache_bytes: asked.last_level_cache_bytes,
        inject: asked.inject.clone(),
    };
    let side = |label: &str, sha256: String| GateSide { label: label.into(), binary_sha256: sha256, build: build() };
    let mut record = GateRecord {
        baseline: side(&asked.label, baseline.1),
        current: side("current", current.1),
        rule: Rule::new(asked.delta, "process pair", &PAIR_LOOKS, PAIR_LOOKS[PAIR_LOOKS.len() - 1], 1),
        rounds_per_pair: MOST_ROUNDS_OF_UNDECIDED,
        inject: asked.inject.clone(),
        checks: Vec::new(),
        cells: Vec::new(),
        unsupported: Vec::new(),
        outcome: Outcome::Inconclusive,
        reason: String::new(),
        next_step: String::new(),
    };
    let kernels = compare_exactly(asked, &sides, &job, &mut record)?;
    job.cells = job_cells(asked.scenario, asked.machine, &kernels);
    let mut index: Vec<Vec<usize>> = Vec::new();
    for cell in &job.cells {
        index.push((record.cells.len()..record.cells.len() + cell.kernels.len()).collect());
        record.cells.extend(cell.kernels.iter().map(|kernel| fresh(kernel, cell, &record.rule, job.threads)));
    }
    record.rule.comparisons = record.cells.len().max(1);
    if let Some(planted) = asked.inject.as_ref().filter(|i| record.cells.iter().all(|c| c.kernel != i.kernel)) {
        return Err(Error::input(format!("--inject {}: this gate does not measure it", planted.kernel)));
    }
    summarize(&mut record);
    save(&record)?;
    let no_more_rounds_from = Instant::now() + PATIENCE;
    let cpus = asked.machine.cpus_for_pairs();
    let rule = record.rule.clone();
    let mut outputs: Vec<[Vec<String>; 2]> = Vec::new();
    for number in 0..rule.most() {
        if record.cells.is_empty() || open(&rule, &record.cells) == 0 {
            break;
        }
        job.cpu = cpus.get(number % cpus.len().max(1)).copied();
        let plan = Plan { job: &job, index: &index, rule: &rule, no_more_rounds_from };
        let mut trio = Trio::start(&sides, &job)?;
        let (checks, cells) = (&mut record.checks, &mut record.cells);
        let mut first = Vec::new();
        let result = plan.pair(
            number,
            &mut trio,
            cells,
            |at, cell, hashes| {
                if number == 0 {
                    checks.extend(exact::outputs(cell, &kernels, &hashes, &asked.stored));
                    first.push(hashes);
                    return Ok(());
                }
                exact::same_as_before(cell, &outputs[at], &hashes)
            },
            |cell| {
                let open = if number + 1 > PAIR_LOOKS[0] { ", undecided only" } else { "" };
                progress.say(format!("gate: pair {}{open}, {} {}x{}", number + 1, cell.op, cell.m, cell.k));
            },
        );
        if number == 0 {
            outputs = first;
        }
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
        if record.checks.iter().any(|c| !c.passed && c.what != receipt::judge::gate::INSTRUCTIONS) {
            // A wrong result fails the gate whatever the times are, so no more pairs are needed.
            break;
        }
    }
    Ok(record)
}

fn open(rule: &Rule, cells: &[GateCell]) -> usize {
    let stands = |c: &&GateCell| rule.looks.contains(&c.pairs.len()) && verdict(rule, &c.pairs, c.threads).1;
    cells.len() - cells.iter().filter(stands).count()
}

/// The exact results of a program, to be saved with a baseline.
pub struct Computed {
    /// Commit and compiler, as the program reports them.
    pub build: Build,
    /// Outputs, token ids and perplexities.
    pub computed: Vec<ExactCheck>,
}

/// Lets `program` check its kernels against the oracle on every cell of the scenario, generate text and score
/// perplexity. Times nothing.
pub fn compute(
    program: &Path,
    scenario: &Scenario,
    kernels: Option<Vec<String>>,
    machine: &Machine,
    seed: u64,
) -> Result<Computed> {
    let folder = Scratch::new()?;
    let job = Job {
        protocol: PROTOCOL,
        control: String::new(),
        cells: Vec::new(),
        seed,
        threads: machine.threads,
        cpu: None,
        cpu_features: machine.mask().map(str::to_owned),
        last_level_cache_bytes: 0,
        inject: None,
    };
    let mut process = Process::start("the program", program, job.clone(), folder.path(), 0)?;
    let offers = process.kernels.clone();
    if let Some(unknown) = kernels.iter().flatten().find(|id| offers.iter().all(|o| o.id != **id)) {
        return Err(Error::input(crate::kernel_ids::unknown_kernel(unknown)));
    }
    let named = kernels.or_else(|| scenario.kernel_ids());
    let wanted = |o: &&Offer| named.as_ref().is_none_or(|ids| ids.contains(&o.id));
    if let (Some(ids), Some(out)) = (&named, offers.iter().filter(wanted).find(|o| o.reason.is_some())) {
        let reason = out.reason.as_deref().unwrap_or_default();
        let all = ids.join(", ");
        return Err(Error::unsupported(format!("{} of {all} cannot be kept here: {reason}", out.id)));
    }
    let offers: Vec<Offer> = offers.iter().filter(wanted).filter(|o| o.reason.is_none()).cloned().collect();
    let ids: Vec<String> = offers.iter().map(|o| o.id.clone()).collect();
    process.ask(&Request::Exact { kernels: ids })?;
    let results = process.exact()?;
    let mut computed = exact::text(&offers, &[results.clone(), results], &[]);
    let counted: Vec<Offer> = offers.iter().filter(|o| o.ops.iter().any(|op| op == "gemv")).cloned().collect();
    process.ask(&Request::Count { kernels: counted.iter().map(|o| o.id.clone()).collect() })?;
    let counts = process.counted()?;
    computed.extend(exact::instructions(&counted, &[counts.clone(), counts], &[]));
    let build = process.build.clone();
    drop(process);
    // Cells that differ only in residency have the same output, so each output is computed once.
    let mut cells = job_cells(scenario, machine, &offers);
    cells.dedup_by(|a, b| a.op == b.op && a.shares_operands(b));
    let job = Job { cells, ..job };
    let mut process = Process::start("the program", program, job.clone(), folder.path(), 1)?;
    let progress = Progress::start("proving outputs against the oracle", job.cells.len() as u64);
    for (at, cell) in job.cells.iter().enumerate() {
        process.ask(&Request::Prepare { cell: at, oracle: true })?;
        let hashes = process.prepared()?;
        process.leave();
        computed.extend(exact::outputs(cell, &offers, &[hashes.clone(), hashes], &[]));
        progress.set(at as u64 + 1);
    }
    Ok(Computed { build, computed })
}

fn copy(binary: &Path, folder: &Path) -> Result<(PathBuf, String)> {
    let bytes = fs::read(binary).map_err(|e| Error::io("read the program", binary, &e))?;
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, &e))?;
    let path = folder.join("program");
    fs::write(&path, &bytes).map_err(|e| Error::io("write", &path, &e))?;
    make_executable(&path)?;
    Ok((path, model::hash::sha256_hex(&bytes)))
}

/// Lets both builds generate text, score perplexity and count instructions, and records the checks. Returns the kernels
/// that both have.
fn compare_exactly(asked: &Asked<'_>, sides: &Sides<'_>, job: &Job, record: &mut GateRecord) -> Result<Vec<Offer>> {
    let plain = Job { inject: None, ..job.clone() };
    let mut baseline = Process::start("the baseline", sides.baseline, plain.clone(), sides.folder, 0)?;
    let mut current = Process::start("the current build", sides.current, plain, sides.folder, CURRENT)?;
    (record.baseline.build, record.current.build) = (baseline.build.clone(), current.build.clone());
    let mut kernels = Vec::new();
    for id in wanted(asked, &baseline.kernels, &current.kernels)? {
        let of = |offers: &[Offer]| offers.iter().find(|o| o.id == id).cloned();
        let missing = |side: &str| format!("{side} does not have it");
        let reason = match (of(&baseline.kernels), of(&current.kernels)) {
            (_, None) => missing("the current build"),
            (None, _) => missing("the baseline"),
            (Some(b), Some(c)) => match b.reason.or(c.reason.clone()) {
                Some(reason) => reason,
                None => {
                    kernels.push(c);
                    continue;
                }
            },
        };
        record.unsupported.push(Unsupported { kernel: id, reason });
    }
    let ids: Vec<String> = kernels.iter().map(|k| k.id.clone()).collect();
    if !ids.is_empty() {
        baseline.ask(&Request::Exact { kernels: ids.clone() })?;
        current.ask(&Request::Exact { kernels: ids })?;
        let results = [baseline.exact()?, current.exact()?];
        record.checks.extend(exact::text(&kernels, &results, &asked.stored));
        let counted: Vec<Offer> = kernels.iter().filter(|k| k.ops.iter().any(|op| op == "gemv")).cloned().collect();
        let ids: Vec<String> = counted.iter().map(|k| k.id.clone()).collect();
        baseline.ask(&Request::Count { kernels: ids.clone() })?;
        current.ask(&Request::Count { kernels: ids })?;
        let counts = [baseline.counted()?, current.counted()?];
        record.checks.extend(exact::instructions(&counted, &counts, &asked.stored));
    }
    Ok(kernels)
}

/// Ids in the current build's order, then those that only the baseline has.
fn wanted(asked: &Asked<'_>, baseline: &[Offer], current: &[Offer]) -> Result<Vec<String>> {
    let mut all: Vec<String> = current.iter().map(|o| o.id.clone()).collect();
    all.extend(baseline.iter().map(|o| o.id.clone()).filter(|id| current.iter().all(|o| o.id != *id)));
    let Some(named) = asked.kernels.clone().or_else(|| asked.scenario.kernel_ids()) else { return Ok(all) };
    if let Some(unknown) = named.iter().find(|id| !all.contains(id)) {
        return Err(Error::input(crate::kernel_ids::unknown_kernel(unknown)));
    }
    Ok(all.into_iter().filter(|id| named.contains(id)).collect())
}

/// The scenario's cells for each family. Cells that share operands are neighbours.
fn job_cells(scenario: &Scenario, machine: &Machine, kernels: &[Offer]) -> Vec<JobCell> {
    let mut cells: Vec<JobCell> = Vec::new();
    let l2 = machine.l2();
    for family in Family::ALL {
        for Cell { op, shape, tokens, residency } in scenario.cells(l2) {
            let has = |k: &&Offer| k.family == family.name() && k.ops.iter().any(|o| o == op.name());
            let kernels: Vec<String> = kernels.iter().filter(has).map(|k| k.id.clone()).collect();
            if !kernels.is_empty() {
                let (op, family) = (op.name().into(), family.name().into());
                cells.push(JobCell { op, m: shape.m, k: shape.k, tokens, residency, family, kernels });
            }
        }
    }
    cells
}

fn fresh(kernel: &str, cell: &JobCell, rule: &Rule, threads: usize) -> GateCell {
    GateCell {
        kernel: kernel.into(),
        op: cell.op.clone(),
        m: cell.m,
        k: cell.k,
        tokens: cell.tokens,
        residency: cell.residency,
        family: cell.family.clone(),
        threads,
        calls_per_epoch: 0,
        pairs: Vec::new(),
        baseline_ns_per_call: 0.0,
        current_ns_per_call: 0.0,
        verdict: verdict(rule, &[], threads).0,
    }
}
