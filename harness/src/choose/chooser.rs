//! Makes the choices of one run on one model, each once, and keeps the record.

use super::operands::Operands;
use super::tuning::{self, batches_choice, name};
use super::{by_evidence, cannot_probe, element_wise, head, without_probe};
use crate::error::{Error, Result};
use crate::machine::Machine;
use kernels::{CpuFeatures, F32Ops, Family, Kernel, OutputHead, conformance};
use model::weights::Model;
use receipt::Choice;
use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

/// Time for the probe of the ways of one kernel.
const ONE_KERNEL: Duration = Duration::from_millis(12);

/// What was chosen so far for a model on a machine.
pub struct Chooser<'a> {
    pub model: &'a Model,
    pub machine: &'a Machine,
    operands: Option<Operands<'a>>,
    kernels: HashMap<&'static str, Kernel>,
    ops: Option<F32Ops>,
    /// Suites of kernels that were taken, run beside the packing of weights.
    suites: Vec<JoinHandle<Result<Kernel>>>,
    choices: Vec<Choice>,
}

impl<'a> Chooser<'a> {
    /// Nothing is chosen yet.
    pub fn new(model: &'a Model, machine: &'a Machine) -> Self {
        let (kernels, suites, choices) = (HashMap::new(), Vec::new(), Vec::new());
        Self { model, machine, operands: None, kernels, ops: None, suites, choices }
    }

    /// The model's matrices as candidates take them, made on first use.
    pub fn operands(&mut self) -> Result<&mut Operands<'a>> {
        if self.operands.is_none() {
            self.operands = Some(Operands::new(self.model, self.machine)?);
        }
        self.operands.as_mut().ok_or_else(|| Error::failed("the probe has no operands"))
    }

    /// Why nothing can be probed here, if so.
    pub fn cannot_probe(&mut self) -> Result<Option<String>> {
        let (cold, machine) = (self.operands()?.cold, self.machine);
        Ok(cannot_probe(machine, cold))
    }

    /// Keeps the record of a choice, and, if it is one kernel's, the way to call it from now on.
    pub fn keep(&mut self, choice: Choice, kernel: Option<Kernel>) {
        self.choices.push(choice);
        if let Some(kernel) = kernel {
            self.kernels.insert(kernel.id(), kernel);
        }
    }

    /// Takes the kernel as it is called for what it will be called from now on, unless it was chosen for before.
    pub fn adopt(&mut self, kernel: Kernel) {
        self.kernels.entry(kernel.id()).or_insert(kernel);
    }

    /// All choices so far, in the order in which they were made.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The kernel as it is called: how it asks ahead, and which batches its gemm takes.
    pub fn kernel(&mut self, kernel: Kernel) -> Result<Kernel> {
        if let Some(known) = self.kernels.get(kernel.id()) {
            return Ok(*known);
        }
        let d = kernel.descriptor();
        let one_way = d.requires == CpuFeatures::NONE && d.gemm.is_none();
        if d.family() == Family::W2A32 || !d.exact() || one_way {
            return Ok(kernel);
        }
        let what = format!("calls of {}", kernel.id());
        if let Some(why) = self.cannot_probe()? {
            self.keep(without_probe(&what, &name(&kernel), &why), Some(kernel));
            return Ok(kernel);
        }
        let operands = self.operands()?;
        let (tuned, one, batches) = tuning::alone(kernel, operands, ONE_KERNEL)?;
        let names: Vec<String> = one.ways.iter().map(name).collect();
        let choice = by_evidence(&what, &operands.shape(), &names, &one.evidence);
        self.keep(choice, Some(tuned));
        if let Some(choice) = batches_choice(&tuned, &batches) {
            self.keep(choice, None);
        }
        Ok(tuned)
    }

    /// The head in the fastest way.
    pub fn head(&mut self, made: OutputHead) -> Result<OutputHead> {
        let (head, choice) = head::fastest(made, self.machine)?;
        self.keep(choice, None);
        Ok(head)
    }

    /// What computes between the products.
    pub fn ops(&mut self) -> Result<F32Ops> {
        if let Some(ops) = self.ops {
            return Ok(ops);
        }
        let (ops, choice) = element_wise::fastest(&self.model.config, self.machine)?;
        self.keep(choice, None);
        Ok(*self.ops.insert(ops))
    }

    /// Starts the conformance suite of a kernel that was taken; [`Self::verified`] waits for it.
    pub fn verify_meanwhile(&mut self, kernel: Kernel) -> Result<()> {
        let suite = std::thread::Builder::new().name("suite".into()).spawn(move || verified(kernel));
        self.suites.push(suite.map_err(|e| Error::input(format!("cannot start a thread: {e}")))?);
        Ok(())
    }

    /// Fails unless every kernel that was taken passed its suite.
    pub fn verified(&mut self) -> Result<()> {
        self.suites.drain(..).try_for_each(|suite| match suite.join() {
            Ok(passed) => passed.map(|_| ()),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

/// Returns `kernel` if it passes the conformance suite, an error if it does not.
pub fn verified(kernel: Kernel) -> Result<Kernel> {
    let conformance::Outcome { first_mismatch, mismatches, cases, .. } = conformance::verify(&kernel);
    let Some(first) = first_mismatch else { return Ok(kernel) };
    let what = format!("fails {mismatches} of {cases} conformance cases and is not used; first: {first}");
    Err(Error::failed(format!("{} {what}", kernel.id())))
}
