//! Before anything is timed: which kernels both builds have, what they make of the built-in model, and how many
//! instructions a call takes. The same of one program alone, to be kept with a baseline.

use super::cells;
use super::exact::{self, Counted, NoCheck};
use super::gaps;
use super::process::Process;
use super::program::Kept;
use super::revision::require_commit;
use super::scratch::Scratch;
use super::sides::{Asked, Sides};
use crate::error::{Error, Exit, Result};
use crate::machine::Machine;
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::worker::protocol::{Job, Offer, TextResult};
use receipt::judge::gate::{BASELINE, CURRENT};
use receipt::{Build, ExactCheck, Gap, GateRecord, Operation};

/// What both sides can be asked for.
pub struct Common {
    /// Kernels that both have.
    pub kernels: Vec<Offer>,
    /// Operations of each side.
    pub ops: [Vec<Operation>; 2],
}

/// A job with no cells yet.
pub fn job(machine: &Machine, seed: u64, last_level_cache_bytes: u64) -> Job {
    Job {
        control: String::new(),
        cells: Vec::new(),
        seed,
        threads: machine.threads,
        cpu: None,
        cpu_features: machine.mask().map(str::to_owned),
        last_level_cache_bytes,
        inject: None,
    }
}

/// Lets both builds generate text, score perplexity and count instructions, and records the checks. A kernel with
/// which the current build fails is a check that fails; one with which the baseline does is left out, as is what a
/// build lacks.
pub fn compare(asked: &Asked<'_>, sides: &Sides<'_>, job: &Job, record: &mut GateRecord) -> Result<Common> {
    let start = |column: usize| sides.process(column, job);
    let mut processes = [start(BASELINE)?, start(CURRENT)?];
    let [baseline, current] = &processes;
    if let Some(commit) = &asked.commit {
        require_commit(&asked.label, commit, &baseline.ready.build)?;
    }
    (record.baseline.build, record.current.build) = (baseline.ready.build.clone(), current.ready.build.clone());
    let ops = [baseline.ready.ops.clone(), current.ready.ops.clone()];
    let mut kernels = Vec::new();
    let offers = [baseline.ready.kernels.clone(), current.ready.kernels.clone()];
    let mut uncounted: Vec<(String, NoCheck)> = Vec::new();
    for id in wanted(asked, &offers)? {
        let (offer, lacking) = gaps::common(&id, &offers);
        record.unsupported.extend(lacking);
        let Some(offer) = offer else { continue };
        match with_kernel(asked, sides, job, &mut processes, &offer)? {
            Ok((checks, no_count)) => {
                record.checks.extend(checks);
                uncounted.extend(no_count.map(|why| (id, why)));
                kernels.push(offer);
            }
            Err(reason) => record.unsupported.push(gaps::row(id, reason, Gap::NoBaseline)),
        }
    }
    record.unsupported.extend(gaps::counts(&uncounted));
    processes.into_iter().for_each(Process::stop);
    Ok(Common { kernels, ops })
}

/// The checks of one kernel, and why its instructions are not among them.
type Checks = (Vec<ExactCheck>, Option<NoCheck>);

/// The checks of one kernel, or why the baseline cannot be asked. A process that fails is replaced by a fresh one.
fn with_kernel(
    asked: &Asked<'_>,
    sides: &Sides<'_>,
    job: &Job,
    processes: &mut [Process; 2],
    kernel: &Offer,
) -> Result<std::result::Result<Checks, String>> {
    let mut ask = |column: usize| -> Result<std::result::Result<(TextResult, Option<Counted>), String>> {
        let process = &mut processes[column];
        match one(process, kernel) {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) if error.exit() == Exit::Interrupted => Err(error),
            Err(error) => {
                *process = sides.process(column, job)?;
                Ok(Err(error.to_string()))
            }
        }
    };
    let (baseline, current) = (ask(BASELINE)?, ask(CURRENT)?);
    let current = match current {
        Ok(current) => current,
        Err(why) => return Ok(Ok((vec![exact::no_answer("text", &kernel.id, exact::MODEL, why)], None))),
    };
    Ok(baseline.map(|baseline| {
        let mut checks = exact::text(kernel, &[baseline.0, current.0], &asked.stored);
        // Both have a gemv or neither: the kernel is what both offer.
        let counts = baseline.1.zip(current.1);
        let made = counts.map(|(a, b)| exact::instructions(&kernel.id, &[a, b], &asked.stored)).transpose();
        let no_count = match made {
            Ok(more) => {
                checks.extend(more.into_iter().flatten());
                None
            }
            Err(why) => Some(why),
        };
        (checks, no_count)
    }))
}

/// What one process says of one kernel: its text, and its instructions if it has a gemv.
fn one(process: &mut Process, kernel: &Offer) -> Result<(TextResult, Option<Counted>)> {
    let text = process.text(&kernel.id)?;
    let has_gemv = kernel.ops.contains(&Operation::Gemv);
    let counted = if has_gemv { Some(process.count(&kernel.id)?) } else { None };
    Ok((text, counted))
}

/// Ids in the current build's order, then those that only the baseline has.
fn wanted(asked: &Asked<'_>, [baseline, current]: &[Vec<Offer>; 2]) -> Result<Vec<String>> {
    let mut all: Vec<String> = current.iter().map(|o| o.id.clone()).collect();
    all.extend(baseline.iter().map(|o| o.id.clone()).filter(|id| current.iter().all(|o| o.id != *id)));
    let Some(named) = asked.kernels.clone().or_else(|| asked.scenario.kernel_ids()) else { return Ok(all) };
    if let Some(unknown) = named.iter().find(|id| !all.contains(id)) {
        return Err(Error::input(crate::kernel_ids::unknown_kernel(unknown)));
    }
    Ok(all.into_iter().filter(|id| named.contains(id)).collect())
}

/// The exact results of a program, to be saved with a baseline.
pub struct Computed {
    /// Commit and compiler, as the program reports them.
    pub build: Build,
    /// Outputs, token ids and perplexities.
    pub computed: Vec<ExactCheck>,
}

/// Lets a program check its kernels against the oracle on every cell of the scenario, generate text and score
/// perplexity. Times nothing.
pub fn compute(
    kept: &Kept,
    scenario: &Scenario,
    kernels: Option<Vec<String>>,
    machine: &Machine,
    seed: u64,
) -> Result<Computed> {
    let folder = Scratch::new()?;
    let program = kept.program("the program")?;
    let mut job = job(machine, seed, 0);
    let mut process = Process::start("the program", &program, job.clone(), folder.path(), 0)?;
    let offers = chosen(&process.ready.kernels, kernels.or_else(|| scenario.kernel_ids()))?;
    let mut computed = Vec::new();
    for kernel in &offers {
        let (text, counted) = one(&mut process, kernel)?;
        computed.extend(exact::text(kernel, &[text.clone(), text], &[]));
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
    let mut seen = Vec::new();
    job.cells.retain(|cell| {
        let output = exact::output_of(cell);
        let fresh = !seen.contains(&output);
        seen.push(output);
        fresh
    });
    let mut process = Process::start("the program", &program, job.clone(), folder.path(), 1)?;
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
    Ok(Computed { build, computed })
}

/// The kernels that are named, which must all run here; without names all that do.
fn chosen(offers: &[Offer], named: Option<Vec<String>>) -> Result<Vec<Offer>> {
    if let Some(unknown) = named.iter().flatten().find(|id| offers.iter().all(|o| o.id != **id)) {
        return Err(Error::input(crate::kernel_ids::unknown_kernel(unknown)));
    }
    let wanted = |o: &&Offer| named.as_ref().is_none_or(|ids| ids.contains(&o.id));
    if let (Some(ids), Some(out)) = (&named, offers.iter().filter(wanted).find(|o| o.reason.is_some())) {
        let reason = out.reason.as_deref().unwrap_or_default();
        let all = ids.join(", ");
        return Err(Error::unsupported(format!("{} of {all} cannot be kept here: {reason}", out.id)));
    }
    Ok(offers.iter().filter(wanted).filter(|o| o.reason.is_none()).cloned().collect())
}
