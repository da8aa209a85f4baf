//! The machine's limits.

use super::run::Run;
use crate::error::Result;
use crate::interrupt;
use crate::measure::limits;
use crate::measure::limits::Effort;
use crate::progress::Progress;
use kernels::Operation;
use receipt::judge::bound;

/// A short look at the machine's limits, at the sizes that are about to be timed.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let (scenario, machine) = (&run.plan.scenario, &run.plan.machine);
    if scenario.micro.is_none() {
        return Ok(());
    }
    let cells = scenario.cells(machine.l2());
    let operands = cells.iter().map(|c| ((c.shape.m * c.shape.k) as u64, c.op == Operation::Dequantize));
    let mut threads = vec![1, machine.threads];
    threads.dedup();
    let plan = limits::Plan {
        threads,
        caches_bytes: &run.receipt.host.caches_bytes,
        memory_bytes: run.receipt.host.memory_bytes,
        operand_bytes: bound::operand_bytes(operands),
        effort: Effort::BRIEF,
        interrupted: interrupt::flag(),
    };
    let progress = Progress::start("the machine's limits", 1);
    let measured = limits::measure(machine, &run.kernels, &plan, |what| progress.say(what))?;
    drop(progress);
    run.receipt.limits = Some(measured);
    run.save()
}
