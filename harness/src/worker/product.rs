//! Cells of one matrix.

use super::protocol::{Job, JobCell};
use super::session::Visit;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::measure::micro::epochs::Shared;
use crate::measure::micro::operands::Operands;
use crate::measure::micro::{check, operand_seed};
use crate::scenario::Cell;
use kernels::parallel::Team;
use receipt::Residency;

/// The operands of the last cell, which the next may share, and the threads.
pub struct Products {
    machine: Machine,
    team: Team,
    seed: u64,
    last_level_cache_bytes: u64,
    ready: Option<(JobCell, Operands)>,
}

impl Products {
    /// Nothing yet.
    pub fn new(job: &Job, machine: &Machine) -> Result<Self> {
        let (machine, team) = (machine.clone(), machine.team()?);
        let Job { seed, last_level_cache_bytes, .. } = *job;
        Ok(Self { machine, team, seed, last_level_cache_bytes, ready: None })
    }

    /// Forgets the operands: three processes share the memory.
    pub fn clear(&mut self) {
        self.ready = None;
    }

    /// Prepares a cell and runs its epochs. `cells` are all of the job: some will share its operands.
    pub fn visit(&mut self, cell: Cell, cells: &[JobCell], visit: Visit<'_>) -> Result<()> {
        let operands = match self.ready.take() {
            Some((before, operands)) if before.shares_operands(visit.cell) => operands,
            // The old operands are freed before the new ones are made, because three processes share the memory.
            _ => self.operands(visit.cell, cell, cells)?,
        };
        let (_, operands) = self.ready.insert((visit.cell.clone(), operands));
        let kernel = visit.kernel;
        let output = if visit.oracle {
            check::check(cell, operands, &[kernel], &mut self.team)?.remove(0).output_sha256
        } else {
            check::hashes(cell, operands, &[kernel], &mut self.team)?.remove(0)
        };
        let shared = Shared::new(cell, operands, &mut self.team, self.machine.features);
        let mut epoch = shared.epoch(kernel);
        visit.run(output, |calls| {
            epoch(calls);
            Ok(())
        })
    }

    /// Operands for every cell of the job that can share them: in memory if any of these is.
    fn operands(&self, asked: &JobCell, mut cell: Cell, cells: &[JobCell]) -> Result<Operands> {
        let sharing = || cells.iter().filter(|c| c.shares_operands(asked));
        if sharing().any(|c| c.residency == Residency::Dram) {
            cell.residency = Residency::Dram;
        }
        let mut ids: Vec<String> = sharing().map(|c| c.kernel.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let kernels = self.machine.kernels(Some(&ids))?;
        let family = kernels.first().map(|k| k.descriptor().family());
        let family = family.ok_or_else(|| Error::unsupported("the gate asks for a cell without a kernel"))?;
        let seed = operand_seed(self.seed, cell, family);
        // A third of the bytes that one process would need alone: between two turns of this process, two others read
        // as many.
        Operands::new(cell, &kernels, self.last_level_cache_bytes / 3, self.machine.features, seed)
    }
}
