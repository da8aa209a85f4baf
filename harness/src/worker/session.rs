//! A session of a worker: it prepares cells and runs epochs when the gate orders them.

use super::control::Control;
use super::libraries;
use super::product::Products;
use super::protocol::{Job, JobCell, Offer, Ready, Reply, TextResult};
use super::text::Texts;
use super::visit::{Turns, Visit, parent};
use crate::build_info;
use crate::count::{self, Subject};
use crate::error::{Error, Exit, Result};
use crate::machine::{Machine, MachineArgs};
use crate::registered;
use crate::runs::kernel_records;
use crate::scenario::{Scaling, activations};
use receipt::{KernelRecord, Operation};
use std::path::{Path, PathBuf};

/// A gate's session in this worker.
pub struct Session {
    turns: Turns<'static>,
    cells: Vec<JobCell>,
    machine: Machine,
    seed: u64,
    products: Products,
    texts: Texts,
    /// Kernels of libraries, with the library's path.
    foreign: Vec<(&'static str, PathBuf)>,
}

impl Session {
    /// Maps the control block and makes the threads that a gate asks for.
    pub fn new(job: Job) -> Result<Self> {
        build_info::refuse_to_time_a_debug_build()?;
        if let Some(cpu) = job.cpu {
            // Before the team starts: its threads inherit it. If the system refuses, results are noisier, not wrong.
            core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
        }
        let control = Control::open(Path::new(&job.control))?;
        let machine = MachineArgs::for_child(job.threads, job.cpu_features.clone()).check(1)?;
        let foreign = libraries::add(&job.libraries)?;
        // Every epoch is one; the gate looked at each call of the suite before.
        kernels::foreign::in_series(!foreign.is_empty());
        let products = Products::new(&job, &machine)?;
        let texts = Texts::new(job.seed);
        // For ever: there is one session in a process.
        let turns = Turns { control: Box::leak(Box::new(control)), parent: parent(), inject: job.inject };
        Ok(Self { turns, cells: job.cells, machine, seed: job.seed, products, texts, foreign })
    }

    /// What this build is, and the kernels and operations that it has.
    pub fn ready(&self) -> Reply {
        let offer = |KernelRecord { id, family, exact, ops, reason, .. }| {
            let rules = registered::find(&id).map_or(&[][..], |d| d.rules).iter().copied().map(activations).collect();
            Offer { id, family: Some(family), exact, ops, rules, reason, ..Offer::default() }
        };
        let kernels = kernel_records(&self.machine).into_iter().map(offer);
        let ops = Operation::ALL.into();
        Reply::Ready(Box::new(Ready { build: build_info::build(), kernels: kernels.collect(), ops }))
    }

    /// Makes a cell ready, says so by `prepared` with the hash of its output, and runs epochs until the gate leaves it.
    pub fn cell(&mut self, index: usize, oracle: bool, prepared: &mut dyn FnMut(String) -> Result<()>) -> Result<()> {
        let unknown = || Error::unsupported(format!("the gate asks for cell {index}, which this build does not know"));
        let cell = self.cells.get(index).ok_or_else(unknown)?;
        let kernel = self.machine.kernel(&cell.kernel)?;
        let visit = Visit { cell, kernel, oracle, turns: &self.turns, prepared };
        match (cell.product(), &cell.text) {
            (Some(product), None) => self.products.visit(product, &self.cells, visit),
            (None, Some(text)) => {
                self.products.clear();
                self.texts.visit(text, &self.machine, visit)
            }
            _ => Err(unknown()),
        }
    }

    /// Token ids and perplexity that a kernel computes with the built-in model.
    pub fn generated(&mut self, kernel: &str) -> Result<TextResult> {
        let kernel = self.machine.kernel(kernel)?;
        self.texts.generated(kernel, &self.machine)
    }

    /// Instructions of one call of a kernel. None where the system forbids ptrace, which is no regression.
    pub fn counted(&self, kernel: &str) -> Result<Reply> {
        let (op, shape, scaling) = (kernels::Operation::Gemv, count::SMALL_SHAPE, Scaling::default());
        let call = count::Call { op, shape, tokens: 1, seed: self.seed, scaling };
        let subject = format!("gemv {}x{}", call.shape.m, call.shape.k);
        let kernel = self.machine.kernel(kernel)?;
        let library = self.foreign.iter().find(|(id, _)| *id == kernel.id()).map(|(_, path)| path.as_path());
        let counted = Subject { id: kernel.id(), library };
        let instructions = match count::count(counted, call, count::Method::Branches, &count::Model::none()) {
            Err(error) if error.exit() == Exit::Unsupported => None,
            counted => Some(counted?.record.total.instructions),
        };
        Ok(Reply::Counted { instructions, subject })
    }
}
