//! Microbenchmarks: one operation at one shape and residency, all kernels of a family in the same interleaved rounds.

pub mod alone;
pub mod batch;
pub mod cell;
pub mod check;
pub mod epochs;
pub mod operands;
pub mod ring;

use super::rounds::{self, Turn};
use crate::error::Result;
use crate::guests::{Failed, Guests, Process, excuse};
use crate::operation;
use crate::scenario::Cell;
use crate::worker::protocol::{GuestReady, JobCell};
pub use cell::{has_second_chance, nothing_timed, operand_seed, replace_first, settled, stream_apart};
use check::Checked;
use epochs::Shared;
use kernels::parallel::Team;
use kernels::{CpuFeatures, Family, Kernel};
use operands::Operands;
use receipt::{MicroCell, MicroEntry, Residency, Round, RowStatus, Rule, WithoutTime};
use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What applies to every cell of a run: rule, epoch, seed, and when to stop.
#[derive(Clone)]
pub struct Plan<'a> {
    /// The rule: when a cell is looked at, and what its verdicts are held to.
    pub rule: Rule,
    /// Target length of an epoch in nanoseconds.
    pub epoch_ns: f64,
    pub seed: u64,
    pub last_level_cache_bytes: u64,
    pub features: CpuFeatures,
    /// A flag that others set to stop the measurement between rounds.
    pub interrupted: &'a AtomicBool,
    /// The time at which to stop between rounds all the same.
    pub until: Option<Instant>,
}

/// What is timed in a cell: which of our kernels, all of one family; libraries' come beside them.
#[derive(Clone, Copy)]
pub struct Asked<'k> {
    pub cell: Cell,
    pub family: Family,
    pub kernels: &'k [Kernel],
}

/// Measures those of `kernels` and of the libraries' that have the family and the operation, each checked on these
/// bytes. `None` without one. A foreign kernel that fails is left out, as those are that have no time here already, and
/// the cell says why.
pub fn measure(
    asked: Asked<'_>,
    plan: &Plan<'_>,
    team: &mut Team,
    guests: &mut Guests,
    mut without_time: Vec<WithoutTime>,
) -> Result<Option<MicroCell>> {
    let Asked { cell, family, kernels } = asked;
    let mut natives = with_operation(cell, kernels);
    natives.retain(|kernel| without_time.iter().all(|out| out.kernel != kernel.id()));
    natives.retain(|kernel| match able(cell, kernel) {
        Ok(()) => true,
        Err(why) => {
            without_time.push(WithoutTime { kernel: kernel.id().into(), status: RowStatus::Unsupported, why });
            false
        }
    });
    let job = JobCell::of_product(cell, operation::family(family));
    let mut left = guests.to_time(&job);
    left.retain(|index| without_time.iter().all(|out| out.kernel != guests.record(*index).id));
    loop {
        let ready = prepared(&job, &mut left, &mut without_time, guests)?;
        if natives.is_empty() && ready.is_empty() {
            let nobody = MicroCell { without_time, ..blank(asked, plan, team.threads()) };
            return Ok((!nobody.without_time.is_empty()).then_some(nobody));
        }
        let (failed, error) = match attempt(Asked { kernels: &natives, ..asked }, &ready, plan, team, guests)? {
            Ok(mut record) => {
                record.without_time = without_time;
                return Ok(Some(record));
            }
            Err(failed) => failed,
        };
        excuse::<()>(&guests.record(failed).id, Err(error), &mut without_time)?;
        left.retain(|index| *index != failed);
    }
}

/// Those of `left` that are ready for a cell; the others leave it, and why is noted.
fn prepared(
    job: &JobCell,
    left: &mut Vec<usize>,
    without_time: &mut Vec<WithoutTime>,
    guests: &mut Guests,
) -> Result<Vec<(usize, GuestReady)>> {
    let mut ready = Vec::new();
    for &index in left.iter() {
        let prepared = guests.prepare(index, job);
        let prepared = excuse(&guests.record(index).id, prepared, without_time)?;
        ready.extend(prepared.map(|prepared| (index, prepared)));
    }
    *left = ready.iter().map(|(index, _)| *index).collect();
    Ok(ready)
}

/// A guest by its index, and its error.
type Broken = (usize, Failed);

/// All entries in turn, or which guest failed.
fn attempt(
    asked: Asked<'_>,
    ready: &[(usize, GuestReady)],
    plan: &Plan<'_>,
    team: &mut Team,
    guests: &mut Guests,
) -> Result<std::result::Result<MicroCell, Broken>> {
    let Asked { cell, family, kernels: natives } = asked;
    let seed = operand_seed(plan.seed, cell, family);
    let operands = Operands::new(cell, natives, plan.last_level_cache_bytes, plan.features, seed)?;
    let checked = check::check(cell, &operands, natives, team)?;
    let threads = team.threads();
    let shared = Shared::new(cell, &operands, team, plan.features);
    let natives: Vec<Kernel> = natives.iter().map(|kernel| shared.tuned(*kernel)).collect();
    // The A/A column: our most advanced kernel once more, or a library's where there is none of ours.
    let twin = natives.len().checked_sub(1);
    let turn = |kernel: Kernel| match ready.is_empty() {
        true => Ok(rounds::clocked(shared.epoch(kernel))),
        false => shared.turn_beside_foreign(kernel),
    };
    let processes: Vec<RefCell<Process>> =
        ready.iter().filter_map(|(index, _)| guests.take(*index)).map(RefCell::new).collect();
    let guest = |process| -> Turn<'_, Failed> {
        let process: &RefCell<Process> = process;
        Box::new(move |calls| process.borrow_mut().run(calls))
    };
    let mut turns: Vec<Turn<'_, Failed>> = natives.iter().map(|kernel| turn(*kernel)).collect::<Result<_>>()?;
    turns.extend(processes.iter().map(guest));
    match twin {
        Some(last) => turns.push(turn(natives[last])?),
        None => turns.extend(processes.last().map(guest)),
    }
    let with_stream = cell.residency == Residency::Dram && !natives.is_empty();
    if with_stream {
        turns.push(rounds::clocked(shared.stream(natives[0].descriptor().layout)?));
    }
    let copies = match natives.first() {
        Some(first) => operands.copies(first.descriptor().layout).len(),
        None => ready.first().map_or(1, |(_, ready)| ready.copies),
    };
    let entries = with_twin(ours(cell, &natives, &checked, &operands), theirs(ready, guests));
    let mut record = MicroCell { copies, entries, ..blank(asked, plan, threads) };
    // Which guest a column is of.
    let guest_of = |column: usize| {
        let guests_from = natives.len();
        let at = column.saturating_sub(guests_from).min(ready.len().saturating_sub(1));
        ready.get(at).map(|(index, _)| *index)
    };
    let measured = rounds(&mut record, &mut turns, plan, guests);
    drop(turns);
    for ((index, _), process) in ready.iter().zip(processes) {
        let process = process.into_inner();
        process.leave();
        // One that failed is not used again.
        let failed = measured.as_ref().err().is_some_and(|(column, _)| guest_of(*column) == Some(*index));
        if !failed {
            guests.give_back(*index, process);
        }
    }
    match measured {
        Ok(rounds) => record.rounds = rounds,
        Err((_, Failed::Run(error))) => return Err(error),
        Err((column, failed)) => match guest_of(column) {
            Some(index) => return Ok(Err((index, failed))),
            None => return Err(failed.into()),
        },
    }
    record.stream = with_stream.then(|| {
        let bytes = operands.copies(natives[0].descriptor().layout)[0].code_bytes().len() as u64;
        stream_apart(&mut record, bytes)
    });
    summarize(&mut record, Some(&plan.rule), guests);
    Ok(Ok(record))
}

/// A cell in which nothing was timed yet.
fn blank(asked: Asked<'_>, plan: &Plan<'_>, threads: usize) -> MicroCell {
    nothing_timed((asked.cell, asked.family), threads, plan.seed)
}

/// Rounds until every pair is settled, or the rule ends them.
fn rounds(
    record: &mut MicroCell,
    turns: &mut [Turn<'_, Failed>],
    plan: &Plan<'_>,
    guests: &Guests,
) -> std::result::Result<Vec<Round>, Broken> {
    let calls = rounds::calibrate(turns, plan.epoch_ns)?;
    record.calls_per_epoch = calls;
    let enough = |rounds: &[Round]| settled(record, rounds, (&plan.rule, plan.until), &|id| guests.builds_on(id));
    let orders = rounds::orders(turns.len(), plan.rule.most(), record.seed);
    rounds::run(turns, calls, orders, plan.interrupted, enough)
}

/// The columns of our kernels.
fn ours(cell: Cell, natives: &[Kernel], checked: &[Checked], operands: &Operands) -> Vec<MicroEntry> {
    let column = |(kernel, checked): (&Kernel, &Checked)| MicroEntry {
        kernel: kernel.id().into(),
        name: kernel.descriptor().long_name(cell.op),
        self_pair: false,
        bytes_per_call: operands.copies(kernel.descriptor().layout)[0].bytes() as u64,
        output_sha256: checked.output_sha256.clone(),
        packing: Some(kernel.descriptor().layout.to_string()),
        prefetch: (cell.residency == Residency::Dram).then(|| kernel.tuning().prefetch.name().to_owned()),
        oracle: Some(checked.oracle.into()),
        max_abs_error: Some(checked.max_abs_error),
        prepare: None,
    };
    natives.iter().zip(checked).map(column).collect()
}

/// The columns of libraries' kernels.
fn theirs(ready: &[(usize, GuestReady)], guests: &Guests) -> Vec<MicroEntry> {
    let column = |(index, ready): &(usize, GuestReady)| MicroEntry {
        kernel: guests.record(*index).id.clone(),
        name: ready.name.clone(),
        self_pair: false,
        bytes_per_call: ready.bytes_per_call,
        output_sha256: ready.output.clone(),
        packing: Some(guests.record(*index).packing.clone()),
        prefetch: None,
        oracle: Some(ready.oracle.clone()),
        max_abs_error: Some(ready.max_abs_error),
        prepare: ready.prepare,
    };
    ready.iter().map(column).collect()
}

/// All columns, and the last of ours once more; of theirs where there is none of ours.
fn with_twin(mut entries: Vec<MicroEntry>, theirs: Vec<MicroEntry>) -> Vec<MicroEntry> {
    let twin = entries.last().or(theirs.last()).cloned();
    entries.extend(theirs);
    entries.extend(twin.map(|entry| MicroEntry { self_pair: true, ..entry }));
    entries
}

/// Number of judged pairs of a cell: each kernel against the first and what it builds on, the fastest against the next.
pub fn comparisons(cell: Cell, family: Family, kernels: &[Kernel], guests: &Guests) -> usize {
    let job = JobCell::of_product(cell, operation::family(family));
    let mut ours = with_operation(cell, kernels);
    ours.retain(|kernel| able(cell, kernel).is_ok());
    let mut ids: Vec<&str> = ours.iter().map(Kernel::id).collect();
    for index in guests.to_time(&job) {
        ids.push(&guests.record(index).id);
    }
    comparisons_of(&ids, |id| guests.builds_on(id))
}

/// The same of kernels in turn.
pub fn comparisons_of(ids: &[&str], builds_on: impl Fn(&str) -> Option<String>) -> usize {
    let before = |id: &&str| builds_on(id).and_then(|before| ids.iter().position(|other| *other == before));
    let others = ids.iter().skip(1).filter(|id| before(id).is_some_and(|before| before > 0)).count();
    ids.len().saturating_sub(1) + others + usize::from(ids.len() > 1)
}

/// Ok if a kernel takes what shares a scale in this cell; else why not.
pub fn able(cell: Cell, kernel: &Kernel) -> std::result::Result<(), String> {
    let descriptor = kernel.descriptor();
    if descriptor.family() == Family::W2gA8 { descriptor.can_run(cell.scaling.needs()) } else { Ok(()) }
}

/// Those of `kernels` that have the cell's operation.
pub fn with_operation(cell: Cell, kernels: &[Kernel]) -> Vec<Kernel> {
    kernels.iter().filter(|k| k.descriptor().has(cell.op)).copied().collect()
}

/// Fills in summaries, verdicts and the deviation of single rounds from the raw rounds.
fn summarize(cell: &mut MicroCell, rule: Option<&Rule>, guests: &Guests) {
    receipt::judge::micro::summarize(cell, rule, &|id| guests.builds_on(id));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scaling, Shape};
    use kernels::registry;
    use kernels::{ActivationRule, Operation};

    fn kernels_of(family: Family) -> Vec<Kernel> {
        let available = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
        available.filter(|k| k.descriptor().family() == family).collect()
    }

    fn run(op: Operation, family: Family, residency: Residency, stop: bool) -> MicroCell {
        run_by(Scaling::default(), op, family, residency, stop)
    }

    fn run_by(scaling: Scaling, op: Operation, family: Family, residency: Residency, stop: bool) -> MicroCell {
        let interrupted = AtomicBool::new(stop);
        let plan = Plan {
            rule: Rule::new(0.03, "round", &[9], 9, 1),
            epoch_ns: 1e4,
            seed: 1,
            last_level_cache_bytes: 1 << 16,
            features: CpuFeatures::detect(),
            interrupted: &interrupted,
            until: None,
        };
        let cell = Cell { op, shape: Shape { m: 40, k: 512 }, tokens: 1, residency, scaling, of_groups: false };
        let team = &mut Team::new(2, |_| {}).expect("threads start");
        let (kernels, mut guests) = (kernels_of(family), Guests::none());
        let measured = measure(Asked { cell, family, kernels: &kernels }, &plan, team, &mut guests, Vec::new());
        measured.expect("measures").expect("has the operation")
    }

    #[test]
    fn a_cell_holds_what_its_rounds_say() {
        let gemv = Operation::Gemv;
        let dequantize = (Operation::Dequantize, Family::W2A32);
        for (op, family) in Family::ALL.map(|family| (gemv, family)).into_iter().chain([dequantize]) {
            let cell = run(op, family, Residency::Cache, false);
            assert_eq!((cell.rounds.len(), cell.copies, cell.threads), (9, 1, 2));
            let count = kernels_of(family).len();
            assert_eq!((cell.entries.len(), cell.summaries.len()), (count + 1, count + 1));
            assert!(cell.entries[count].self_pair && cell.entries[count].kernel == cell.entries[count - 1].kernel);
            assert!(cell.rounds.iter().flat_map(|r| &r.ns).all(|&ns| ns > 0));
            assert!(cell.summaries[0].vs_baseline.is_none() && cell.summaries[0].gelem_s > 0.0);
            let mut again = cell.clone();
            again.summaries.clear();
            summarize(&mut again, Some(&Rule::new(0.03, "round", &[9], 9, 1)), &Guests::none());
            assert_eq!(format!("{again:?}"), format!("{cell:?}"));
        }
    }

    #[test]
    fn exact_kernels_have_one_output_hash_and_copies_exceed_the_cache_in_dram_cells() {
        for family in [Family::W2A8, Family::W2gA8] {
            let cell = run(Operation::Gemv, family, Residency::Dram, false);
            assert!(cell.entries.iter().all(|e| e.output_sha256 == cell.entries[0].output_sha256));
            assert!(cell.copies as u64 * cell.entries[0].bytes_per_call >= 2 << 16);
        }
    }

    /// Whoever lacks the rule or the groups is named; all others computed the same, and with other scales something
    /// else.
    #[test]
    fn cells_of_groups_say_what_shares_a_scale() {
        let mut outputs = Vec::new();
        for (group, rule) in [64, 128].into_iter().flat_map(|group| ActivationRule::ALL.map(|rule| (group, rule))) {
            let scaling = Scaling { group, rule };
            let cell = run_by(scaling, Operation::Gemv, Family::W2gA8, Residency::Cache, false);
            assert_eq!((cell.weight_group, cell.activations.map(|rule| rule.name())), (Some(group), Some(rule.name())));
            assert!(cell.entries.iter().all(|e| e.output_sha256 == cell.entries[0].output_sha256));
            assert!(!outputs.contains(&cell.entries[0].output_sha256));
            outputs.push(cell.entries[0].output_sha256.clone());
            let all = kernels_of(Family::W2gA8).len();
            assert_eq!(cell.entries.len() + cell.without_time.len(), all + 1, "the last is timed twice");
            for row in &cell.without_time {
                let said = registry::find(&row.kernel).and_then(|d| d.can_run(scaling.needs()).err());
                assert_eq!((row.status, Some(&row.why)), (RowStatus::Unsupported, said.as_ref()), "{row:?}");
            }
        }
        let exact = run(Operation::Gemv, Family::W2A8, Residency::Cache, true);
        assert_eq!((exact.weight_group, exact.activations, exact.scaling()), (None, None, None));
    }

    /// As beside a library's kernels: each call with activations of its own, by the cell's rule.
    #[test]
    fn calls_with_activations_of_their_own_follow_the_rule() {
        for rule in ActivationRule::ALL {
            let scaling = Scaling { group: 64, rule };
            let shape = Shape { m: 40, k: 300 };
            let cell =
                Cell { op: Operation::Gemv, shape, tokens: 1, residency: Residency::Llc, scaling, of_groups: true };
            let mut kernels = kernels_of(Family::W2gA8);
            kernels.retain(|kernel| able(cell, kernel).is_ok());
            let operands = Operands::new(cell, &kernels, 0, CpuFeatures::detect(), 1).expect("packed");
            assert!(operands.quantized().iter().all(|x| x.rule() == rule));
            let next = std::cell::Cell::new(0);
            for kernel in kernels {
                let mut ring = ring::Ring::new(cell, &operands, kernel, &next).expect("room");
                ring.run(&mut Team::single(), 3, &|| None).expect("as the oracle");
            }
        }
    }

    #[test]
    fn an_interrupted_cell_is_valid_and_empty() {
        let cell = run(Operation::Gemv, Family::W2A8, Residency::Cache, true);
        assert!(cell.rounds.is_empty() && cell.summaries.iter().all(|s| s.gelem_s == 0.0 && s.vs_baseline.is_none()));
    }
}
