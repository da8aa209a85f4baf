//! Before anything is timed: which kernels both builds have, what they make of the built-in model, and how many
//! instructions a call takes. The same of one program alone, to be kept with a baseline.

use super::cells;
use super::exact::{self, Counted};
use super::gaps;
use super::process::Process;
use super::program::Kept;
use super::revision::require_commit;
use super::scratch::Scratch;
use super::sides::{Asked, Sides};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::progress::Progress;
use crate::scenario::{Scenario, activations};
use crate::worker::protocol::{Job, Offer, TextResult};
use receipt::judge::gate::{BASELINE, CURRENT};
use receipt::{Build, ExactCheck, Gap, GateRecord, Operation};
use std::collections::HashSet;

/// The job that every worker of a gate begins with: seed, threads and CPU features, with no cells yet.
pub fn job(machine: &Machine, seed: u64, last_level_cache_bytes: u64) -> Job {
    let cpu_features = machine.mask().map(str::to_owned);
    Job { seed, threads: machine.threads, cpu_features, last_level_cache_bytes, ..Job::default() }
}

/// Lets both builds generate text, score perplexity and count instructions, and records the checks. A kernel with
/// which the current build fails is a check that fails; one with which the baseline does is left out, as is what a
/// build lacks. Returns the kernels that both have, and the operations of each side.
pub fn compare(
    asked: &Asked,
    sides: &Sides<'_>,
    job: &Job,
    record: &mut GateRecord,
) -> Result<(Vec<Offer>, [Vec<Operation>; 2])> {
    let start = |column: usize| sides.process(column, job);
    let mut processes = [start(BASELINE)?, start(CURRENT)?];
    let [baseline, current] = &processes;
    if let Some(commit) = &sides.commit {
        require_commit(&asked.label, commit, &baseline.ready.build)?;
    }
    (record.baseline.build, record.current.build) = (baseline.ready.build.clone(), current.ready.build.clone());
    let ops = [baseline.ready.ops.clone(), current.ready.ops.clone()];
    let offers = [baseline.ready.kernels.clone(), current.ready.kernels.clone()];
    require_libraries(asked, &offers)?;
    let (mut kernels, mut uncounted) = (Vec::new(), Vec::new());
    for id in wanted(asked, &offers)? {
        if let Some(why) = asked.guests.without_time(&id) {
            record.unsupported.push(gaps::row(id, why, Gap::NotHere));
            continue;
        }
        let (offer, lacking) = gaps::common(&id, &offers);
        record.unsupported.extend(lacking);
        let Some(offer) = offer else { continue };
        record.unsupported.extend(gaps::by_rule(&id, activations(asked.scenario.scaling.rule), &offers));
        // A process that fails is replaced by a fresh one.
        let mut ask = |column: usize| match one(&mut processes[column], &offer) {
            Err(error) if !error.is_interrupt() => {
                processes[column] = start(column)?;
                Ok(Err(error.to_string()))
            }
            answer => answer.map(Ok),
        };
        match (ask(BASELINE)?, ask(CURRENT)?) {
            (_, Err(why)) => record.checks.push(exact::no_answer("text", &id, exact::MODEL, why)),
            (Err(reason), Ok(_)) => {
                record.unsupported.push(gaps::row(id, reason, Gap::NoBaseline));
                continue;
            }
            (Ok(baseline), Ok(current)) => {
                let texts = baseline.0.zip(current.0).map(|(a, b)| exact::text(&offer, &[a, b], &asked.stored));
                record.checks.extend(texts.into_iter().flatten());
                // Both have a gemv or neither: the kernel is what both offer.
                let counts = baseline.1.zip(current.1);
                match counts.map(|(a, b)| exact::instructions(&id, &[a, b], &asked.stored)).transpose() {
                    Ok(made) => record.checks.extend(made.into_iter().flatten()),
                    Err(why) => uncounted.push((id, why)),
                }
            }
        }
        kernels.push(offer);
    }
    record.unsupported.extend(gaps::counts(&uncounted));
    processes.into_iter().for_each(Process::stop);
    Ok((kernels, ops))
}

/// Both builds must have loaded what the command line names: one that is older than libraries knows nothing of them.
fn require_libraries(asked: &Asked, offers: &[Vec<Offer>; 2]) -> Result<()> {
    for (label, offers) in [asked.label.as_str(), "the current build"].iter().zip(offers) {
        let lacks = |id: &&str| offers.iter().all(|offer| offer.id != **id);
        if let Some(id) = asked.guests.records().map(|record| record.id.as_str()).find(lacks) {
            let what = format!("--kernel-library: {label} does not load libraries, so kernel {id} cannot be gated");
            return Err(Error::unsupported(format!("{what}; gate against a build that does")));
        }
    }
    Ok(())
}

/// What one process says of one kernel: its text if it takes the model, and its instructions if it has a gemv.
fn one(process: &mut Process, kernel: &Offer) -> Result<(Option<TextResult>, Option<Counted>)> {
    let text = if cells::speaks(kernel) { Some(process.text(&kernel.id)?) } else { None };
    let has_gemv = kernel.ops.contains(&Operation::Gemv);
    let counted = if has_gemv { Some(process.count(&kernel.id)?) } else { None };
    Ok((text, counted))
}

/// Ids in the current build's order, then those that only the baseline has.
fn wanted(asked: &Asked, [baseline, current]: &[Vec<Offer>; 2]) -> Result<Vec<String>> {
    let mut all: Vec<String> = current.iter().map(|o| o.id.clone()).collect();
    all.extend(baseline.iter().map(|o| o.id.clone()).filter(|id| current.iter().all(|o| o.id != *id)));
    let Some(named) = asked.kernels.clone().or_else(|| asked.scenario.kernel_ids()) else { return Ok(all) };
    if let Some(unknown) = named.iter().find(|id| !all.contains(id)) {
        return Err(crate::kernel_ids::unknown(unknown));
    }
    Ok(all.into_iter().filter(|id| named.contains(id)).collect())
}

/// Lets a program check its kernels against the oracle on every cell of the scenario, generate text and score
/// perplexity. Times nothing. Returns its commit and compiler, as it reports them, and its outputs, token ids and
/// perplexities, to be saved with a baseline.
pub fn compute(
    kept: &Kept,
    scenario: &Scenario,
    named: Option<Vec<String>>,
    machine: &Machine,
    seed: u64,
) -> Result<(Build, Vec<ExactCheck>)> {
    let folder = Scratch::new()?;
    let program = kept.program("the program")?;
    let mut job = job(machine, seed, 0);
    let mut process = Process::start("the program", &program, job.clone(), &folder.path, 0)?;
    let offers = chosen(&process.ready.kernels, named.or_else(|| scenario.kernel_ids()))?;
    let mut computed = Vec::new();
    for kernel in &offers {
        let (text, counted) = one(&mut process, kernel)?;
        computed.extend(text.into_iter().flat_map(|text| exact::text(kernel, &[text.clone(), text], &[])));
        // What cannot be counted here is not stored.
        let counts = counted.map(|c| exact::instructions(&kernel.id, &[c.clone(), c], &[]));
        computed.extend(counts.into_iter().flatten().flatten());
    }
    let (build, ops) = (process.ready.build.clone(), process.ready.ops.clone());
    process.stop();
    // Cells that differ only in residency have the same output, so each output is computed once.
    job.cells = cells::products(scenario, machine, &offers);
    if scenario.generate.is_some() && ops.contains(&Operation::Decode) {
        job.cells.extend(cells::texts(&offers));
    }
    let mut seen = HashSet::new();
    job.cells.retain(|cell| seen.insert(exact::output_of(cell)));
    let mut process = Process::start("the program", &program, job.clone(), &folder.path, 1)?;
    let progress = Progress::start("proving outputs against the oracle", job.cells.len() as u64);
    for (at, cell) in job.cells.iter().enumerate() {
        process.prepare(at, true)?;
        let hash = process.prepared()?;
        process.leave();
        let exact = offers.iter().any(|o| o.id == cell.kernel && o.exact);
        computed.extend(exact::output(cell, exact, &[hash.clone(), hash], &[]));
        progress.set(at as u64 + 1);
    }
    process.stop();
    Ok((build, computed))
}

/// The kernels that are named, which must all run here; without names all that do.
fn chosen(offers: &[Offer], named: Option<Vec<String>>) -> Result<Vec<Offer>> {
    if let Some(unknown) = named.iter().flatten().find(|id| offers.iter().all(|o| o.id != **id)) {
        return Err(crate::kernel_ids::unknown(unknown));
    }
    let wanted = |o: &&Offer| named.as_ref().is_none_or(|ids| ids.contains(&o.id));
    if let (Some(ids), Some(out)) = (&named, offers.iter().filter(wanted).find(|o| o.reason.is_some())) {
        let reason = out.reason.as_deref().unwrap_or_default();
        let all = ids.join(", ");
        return Err(Error::unsupported(format!("{} of {all} cannot be kept here: {reason}", out.id)));
    }
    Ok(offers.iter().filter(wanted).filter(|o| o.reason.is_none()).cloned().collect())
}
