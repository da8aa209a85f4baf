//! Microbenchmarks: every cell of the scenario, the kernels of each family in turn.

use super::run::Run;
use crate::error::Result;
use crate::measure::micro::{Asked, Plan};
use crate::measure::{last_level, micro};
use crate::output::note;
use crate::progress::Progress;
use crate::scenario::Cell;
use crate::{interrupt, matrix};
use kernels::parallel::Team;
use kernels::{Family, Kernel};
use receipt::judge::{bound, reading, sequential};
use receipt::{MicroCell, RowStatus, Rule, WithoutTime, titles};
use std::time::{Duration, Instant};

/// Most time for cells that are measured once more.
const ONCE_MORE: Duration = Duration::from_secs(20);

/// A cell that was measured, in the order of the receipt's.
struct Measured<'k> {
    asked: Asked<'k>,
    took: Duration,
}

/// Times every cell of the scenario, and once more those in which the same code differed from itself.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let (scenario, machine) = (&run.plan.scenario, &run.plan.machine);
    let Some(asked) = &scenario.micro else { return Ok(()) };
    let cells = scenario.cells(machine.l2());
    let families = [false, true].map(|of_groups| Family::ALL.map(|family| run.in_family(family, of_groups)));
    let rule = rule(run, asked.rounds, &cells, &families);
    run.receipt.rule = Some(rule.clone());
    let found = run.receipt.limits.as_ref().and_then(|limits| limits.last_level.as_ref());
    let last_level_cache_bytes = last_level::outgrown(&run.receipt.host.caches_bytes, found, machine.threads);
    matrix::require_memory(&cells, &run.kernels, last_level_cache_bytes)?;
    run.guests.last_level_cache(last_level_cache_bytes);
    let plan = Plan {
        rule,
        epoch_ns: f64::from(asked.epoch_us) * 1e3,
        seed: run.receipt.settings.seed,
        last_level_cache_bytes,
        features: machine.features,
        interrupted: interrupt::flag(),
        until: None,
    };
    let mut team = machine.team()?;
    let progress =
        Progress::start("microbenchmarks", cells.iter().map(|cell| in_cell(*cell, &families).count() as u64).sum());
    let mut done = 0;
    let mut measured: Vec<Measured<'_>> = Vec::new();
    for cell in cells {
        for (family, kernels) in in_cell(cell, &families) {
            interrupt::check("interrupted during the microbenchmarks")?;
            let (op, m, k) = (cell.op, cell.shape.m, cell.shape.k);
            progress.say(format!("{op} {m}x{k} {} {}", family.name(), titles::residency(cell.residency)));
            let start = Instant::now();
            let asked = Asked { cell, family, kernels };
            let record = possible(run, asked, &plan, &mut team)?;
            done += 1;
            progress.set(done);
            if let Some(record) = record {
                measured.push(Measured { asked, took: start.elapsed() });
                run.receipt.micro.push(record);
                bound::fill(&mut run.receipt);
                run.save()?;
            }
        }
    }
    once_more(run, &measured, &plan, &mut team, &progress)
}

/// The kernels of each family, in cells of all families and in those of groups.
type Families = [[Vec<Kernel>; Family::ALL.len()]; 2];

/// The families that are timed in a cell, each with its kernels.
fn in_cell(cell: Cell, families: &Families) -> impl Iterator<Item = (Family, &Vec<Kernel>)> {
    let all = Family::ALL.into_iter().zip(&families[usize::from(cell.of_groups)]);
    all.filter(move |(family, _)| cell.is_for(*family))
}

/// The rule of the run: all its comparisons share the chance of a false alarm. A cell may be measured once more, and
/// both measurements count.
fn rule(run: &Run<'_>, rounds: usize, cells: &[Cell], families: &Families) -> Rule {
    let of_cell = |cell: &Cell| {
        let in_family =
            |(family, kernels): (Family, &Vec<Kernel>)| micro::comparisons(*cell, family, kernels, &run.guests);
        in_cell(*cell, families).map(in_family).sum::<usize>()
    };
    let comparisons = 2 * cells.iter().map(of_cell).sum::<usize>() + run.block_comparisons();
    Rule::new(sequential::DELTA, "round", &sequential::ROUND_LOOKS, rounds, comparisons)
}

/// Measures a cell without the kernels whose times cannot be: those have none.
fn possible(run: &mut Run<'_>, asked: Asked<'_>, plan: &Plan<'_>, team: &mut Team) -> Result<Option<MicroCell>> {
    let mut without_time: Vec<WithoutTime> = Vec::new();
    loop {
        let guests = &mut run.guests;
        let Some(record) = micro::measure(asked, plan, team, guests, without_time)? else {
            return Ok(None);
        };
        let found = reading::impossible(&run.receipt, &record);
        if found.is_empty() || interrupt::requested() {
            return Ok(Some(record));
        }
        without_time = record.without_time.clone();
        for (row, why) in found {
            let kernel = record.entries[row].kernel.clone();
            if without_time.iter().all(|out| out.kernel != kernel) {
                note(format!("{kernel} is left out of {}: {why}", titles::cell_title(&record)));
                without_time.push(WithoutTime { kernel, status: RowStatus::Impossible, why });
            }
        }
    }
}

/// Cells in which the same code differed from itself get a second chance when all others are done: what disturbed them
/// may be over. The first measurement stays in the receipt.
fn once_more(
    run: &mut Run<'_>,
    measured: &[Measured<'_>],
    plan: &Plan<'_>,
    team: &mut Team,
    progress: &Progress,
) -> Result<()> {
    let until = Instant::now() + ONCE_MORE;
    let plan = Plan { until: Some(until), ..plan.clone() };
    for (i, first) in measured.iter().enumerate() {
        let record = &run.receipt.micro[i];
        if !micro::has_second_chance(record, first.took, until) {
            continue;
        }
        progress.say(format!("once more: {} {}", record.family, titles::cell_title(record)));
        let Some(again) = possible(run, first.asked, &plan, team)? else { continue };
        if micro::replace_first(&mut run.receipt.micro[i], again, &plan.rule) {
            bound::fill(&mut run.receipt);
            run.save()?;
        }
    }
    Ok(())
}
