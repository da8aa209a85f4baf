//! Cells of one matrix in a worker: operands, check and epochs.

use super::protocol::{Job, JobCell};
use super::visit::Visit;
use crate::error::Result;
use crate::machine::Machine;
use crate::measure::micro::epochs::Shared;
use crate::measure::micro::operands::Operands;
use crate::measure::micro::{check, operand_seed};
use crate::measure::rounds::timed;
use crate::scenario::Cell;
use kernels::parallel::Team;
use receipt::Residency;

/// The matrices that a worker multiplies: operands of the last cell, which the next may share, and the threads.
pub struct Products {
    machine: Machine,
    team: Team,
    seed: u64,
    copied_bytes: u64,
    ready: Option<(JobCell, Operands)>,
}

impl Products {
    /// Starts the threads of a job, without operands yet.
    pub fn new(job: &Job, machine: &Machine) -> Result<Self> {
        let (machine, team) = (machine.clone(), machine.team()?);
        // A third of what one process alone would need: between two of its turns, two others read as much.
        let copied_bytes = job.last_level_cache_bytes / 3;
        Ok(Self { machine, team, seed: job.seed, copied_bytes, ready: None })
    }

    /// Frees the operands: three processes share the memory.
    pub fn clear(&mut self) {
        self.ready = None;
    }

    /// Prepares a cell and runs its epochs. `cells` are all cells of the job: some will share its operands.
    pub fn visit(&mut self, cell: Cell, cells: &[JobCell], visit: Visit<'_>) -> Result<()> {
        let kernel = visit.kernel;
        let operands = match self.ready.take() {
            Some((before, mut operands)) if before.shares_operands(visit.cell) => {
                operands.only(self.placed(cell, cells, &visit), &kernel, self.copied_bytes)?;
                operands
            }
            // The old operands are freed before the new ones are made, because three processes share the memory.
            _ => {
                let seed = operand_seed(self.seed, cell, kernel.descriptor().family());
                let cell = self.placed(cell, cells, &visit);
                Operands::new(cell, &[kernel], self.copied_bytes, self.machine.features, seed)?
            }
        };
        let (_, operands) = self.ready.insert((visit.cell.clone(), operands));
        let output = if visit.oracle {
            check::check(cell, operands, &[kernel], &mut self.team)?.remove(0).output_sha256
        } else {
            check::hashes(cell, operands, &[kernel], &mut self.team)?.remove(0)
        };
        let shared = Shared::new(cell, operands, &mut self.team, self.machine.features);
        let mut epoch = shared.epoch(shared.tuned(kernel));
        visit.run(output, |calls| {
            timed(|| {
                epoch(calls);
                Ok(())
            })
        })
    }

    /// The cell with its weights in memory if any cell of the job wants these weights there.
    fn placed(&self, cell: Cell, cells: &[JobCell], visit: &Visit<'_>) -> Cell {
        let layout = visit.kernel.descriptor().layout;
        let shares = |other: &&JobCell| {
            let reads = self.machine.kernel(&other.kernel).is_ok_and(|k| k.descriptor().layout == layout);
            other.shares_operands(visit.cell) && reads
        };
        let in_memory = cells.iter().filter(shares).any(|other| other.residency == Residency::Dram);
        Cell { residency: if in_memory { Residency::Dram } else { cell.residency }, ..cell }
    }
}
