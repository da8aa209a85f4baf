//! Microbenchmarks: one operation at one shape and residency, all kernels of a family in the same interleaved rounds.

pub mod alone;
pub mod check;
pub mod epochs;
pub mod operands;
pub mod ring;

use super::rounds;
use crate::error::Result;
use crate::operation;
use crate::scenario::Cell;
use epochs::Shared;
use kernels::parallel::Team;
use kernels::{CpuFeatures, Family, Kernel};
use operands::Operands;
use receipt::judge::Method;
use receipt::{MicroCell, MicroEntry, Residency, Round, Rule, StreamLimit};
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

/// Measures those of `kernels` (one family) that have the operation, each checked on these bytes. `None` without one.
pub fn measure(cell: Cell, kernels: &[Kernel], plan: &Plan<'_>, team: &mut Team) -> Result<Option<MicroCell>> {
    let entries = with_operation(cell, kernels);
    let Some(&first) = entries.first() else { return Ok(None) };
    let family = first.descriptor().family();
    let (m, k, tokens) = (cell.shape.m, cell.shape.k, cell.tokens);
    let seed = operand_seed(plan.seed, cell, family);
    let operands = Operands::new(cell, &entries, plan.last_level_cache_bytes, plan.features, seed)?;
    let checked = check::check(cell, &operands, &entries, team)?;
    let threads = team.threads();

    let shared = Shared::new(cell, &operands, team, plan.features);
    let entries: Vec<Kernel> = entries.into_iter().map(|kernel| shared.tuned(kernel)).collect();
    // The A/A column: the most advanced kernel once more.
    let again = (entries[entries.len() - 1], &checked[checked.len() - 1], true);
    let each = entries.iter().zip(&checked).map(|(&kernel, checked)| (kernel, checked, false)).chain([again]);
    let mut epochs: Vec<_> = each.clone().map(|(kernel, ..)| shared.epoch(kernel)).collect();
    if cell.residency == Residency::Dram {
        epochs.push(shared.stream(first.descriptor().layout)?);
    }
    let calls = rounds::calibrate(&mut epochs, plan.epoch_ns);
    let bytes_of = |kernel: &Kernel| operands.copies(kernel.descriptor().layout)[0].bytes() as u64;
    let columns = each.map(|(kernel, checked, self_pair)| MicroEntry {
        kernel: kernel.id().into(),
        name: kernel.descriptor().long_name(cell.op),
        self_pair,
        bytes_per_call: bytes_of(&kernel),
        output_sha256: checked.output_sha256.clone(),
        packing: Some(kernel.descriptor().layout.to_string()),
        prefetch: (cell.residency == Residency::Dram).then(|| kernel.tuning().prefetch.name().to_owned()),
        oracle: Some(checked.oracle.into()),
        max_abs_error: Some(checked.max_abs_error),
    });
    let mut record = MicroCell {
        op: operation::recorded(cell.op),
        m,
        k,
        tokens,
        residency: cell.residency,
        family: operation::family(family),
        threads,
        weights_per_call: (m * k * tokens) as u64,
        calls_per_epoch: calls,
        copies: operands.copies(first.descriptor().layout).len(),
        seed,
        entries: columns.collect(),
        rounds: Vec::new(),
        without_time: Vec::new(),
        summaries: Vec::new(),
        stream: None,
        noise_floor: 0.0,
        unstable_first: None,
        lead: None,
        method: Method::Current,
    };
    let settled = |rounds: &[Round]| {
        let late = plan.until.is_some_and(|until| Instant::now() >= until);
        late || plan.rule.looks.contains(&rounds.len()) && {
            let mut so_far = MicroCell { rounds: rounds.to_vec(), ..record.clone() };
            summarize(&mut so_far, Some(&plan.rule));
            so_far.ratios().all(|ratio| ratio.direction().is_settled())
        }
    };
    let orders = rounds::orders(epochs.len(), plan.rule.most(), seed);
    let mut rounds = rounds::run(&mut epochs, calls, orders, plan.interrupted, settled);
    drop(epochs);
    // The stream's column leaves the rounds, so that they hold kernels only.
    record.stream = (cell.residency == Residency::Dram).then(|| {
        let column = record.entries.len();
        let ns = Method::Current.times(&rounds, column, threads);
        for round in &mut rounds {
            round.order.retain(|&e| usize::from(e) < column);
            round.ns.truncate(column);
            round.cpu_ns.truncate(column);
            round.involuntary_switches.truncate(column);
        }
        let bytes = operands.copies(first.descriptor().layout)[0].code_bytes().len() as u64;
        StreamLimit { bytes_per_call: bytes, ns, gb_s: 0.0 }
    });
    record.rounds = rounds;
    summarize(&mut record, Some(&plan.rule));
    Ok(Some(record))
}

/// Number of judged pairs of a cell: each kernel against the first and what it builds on, the fastest against the next.
pub fn comparisons(kernels: &[Kernel]) -> usize {
    let ids: Vec<&str> = kernels.iter().map(Kernel::id).collect();
    let builds_on = |id: &&str| registered(id).and_then(|before| ids.iter().position(|other| *other == before));
    let others = ids.iter().skip(1).filter(|id| builds_on(id).is_some_and(|before| before > 0)).count();
    kernels.len().saturating_sub(1) + others + usize::from(kernels.len() > 1)
}

/// Seed of a cell's weights, activations and order.
pub fn operand_seed(seed: u64, cell: Cell, family: Family) -> u64 {
    seed ^ (cell.shape.m as u64) << 40 ^ (cell.shape.k as u64) << 16 ^ (cell.tokens as u64) << 4 ^ family as u64
}

/// Those of `kernels` that have the cell's operation.
pub fn with_operation(cell: Cell, kernels: &[Kernel]) -> Vec<Kernel> {
    kernels.iter().filter(|k| k.descriptor().has(cell.op)).copied().collect()
}

/// Id of the kernel that the kernel `id` of this build builds on, if it builds on one.
pub fn registered(id: &str) -> Option<String> {
    crate::registered::find(id).and_then(|d| d.builds_on).map(str::to_owned)
}

/// Fills in summaries, verdicts and the deviation of single rounds from the raw rounds.
pub fn summarize(cell: &mut MicroCell, rule: Option<&Rule>) {
    receipt::judge::micro::summarize(cell, rule, &registered);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Shape;
    use kernels::Operation;
    use kernels::registry;

    fn kernels_of(family: Family) -> Vec<Kernel> {
        let available = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
        available.filter(|k| k.descriptor().family() == family).collect()
    }

    fn run(op: Operation, family: Family, residency: Residency, stop: bool) -> MicroCell {
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
        let cell = Cell { op, shape: Shape { m: 40, k: 512 }, tokens: 1, residency };
        let team = &mut Team::new(2, |_| {}).expect("threads start");
        measure(cell, &kernels_of(family), &plan, team).expect("measures").expect("has the operation")
    }

    #[test]
    fn a_cell_holds_what_its_rounds_say() {
        let gemv = Operation::Gemv;
        for (op, family) in [(gemv, Family::W2A32), (gemv, Family::W2A8), (Operation::Dequantize, Family::W2A32)] {
            let cell = run(op, family, Residency::Cache, false);
            assert_eq!((cell.rounds.len(), cell.copies, cell.threads), (9, 1, 2));
            let count = kernels_of(family).len();
            assert_eq!((cell.entries.len(), cell.summaries.len()), (count + 1, count + 1));
            assert!(cell.entries[count].self_pair && cell.entries[count].kernel == cell.entries[count - 1].kernel);
            assert!(cell.rounds.iter().flat_map(|r| &r.ns).all(|&ns| ns > 0));
            assert!(cell.summaries[0].vs_baseline.is_none() && cell.summaries[0].gelem_s > 0.0);
            let mut again = cell.clone();
            again.summaries.clear();
            summarize(&mut again, Some(&Rule::new(0.03, "round", &[9], 9, 1)));
            assert_eq!(format!("{again:?}"), format!("{cell:?}"));
        }
    }

    #[test]
    fn exact_kernels_have_one_output_hash_and_copies_exceed_the_cache_in_dram_cells() {
        let cell = run(Operation::Gemv, Family::W2A8, Residency::Dram, false);
        assert!(cell.entries.iter().all(|e| e.output_sha256 == cell.entries[0].output_sha256));
        assert!(cell.copies as u64 * cell.entries[0].bytes_per_call >= 2 << 16);
    }

    #[test]
    fn an_interrupted_cell_is_valid_and_empty() {
        let cell = run(Operation::Gemv, Family::W2A8, Residency::Cache, true);
        assert!(cell.rounds.is_empty() && cell.summaries.iter().all(|s| s.gelem_s == 0.0 && s.vs_baseline.is_none()));
    }
}
