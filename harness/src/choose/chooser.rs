//! Makes the choices of one run on one model, each once, and keeps the record.

use super::able;
use super::operands::{MOST_TOKENS, Operands};
use super::tuning::{Batch, SIZES, batches_choice, name, one_token, with_batches};
use super::{by_evidence, cannot_probe, element_wise, head, without_probe};
use crate::error::{Error, Result};
use crate::machine::Machine;
use kernels::{ActivationRule, CpuFeatures, F32Ops, Family, Kernel, Layout, OutputHead, conformance};
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
    /// Whether weights stay in the mapped file where it has them as a kernel reads them. Kernels are compared on copies
    /// alone: all on the same kind of memory.
    pub mapped: bool,
    /// Which activations share a scale in what is probed.
    rule: ActivationRule,
    operands: Option<Operands<'a>>,
    kernels: HashMap<&'static str, Kernel>,
    ops: Option<F32Ops>,
    /// Suites of kernels that were taken, run beside what comes before they are called.
    suites: Vec<(&'static str, JoinHandle<Result<Kernel>>)>,
    choices: Vec<Choice>,
}

impl<'a> Chooser<'a> {
    /// Nothing is chosen yet.
    pub fn new(model: &'a Model, machine: &'a Machine) -> Self {
        Self::by_rule(model, machine, model.activations)
    }

    /// The same for activations by another rule than the model's.
    pub fn by_rule(model: &'a Model, machine: &'a Machine, rule: ActivationRule) -> Self {
        let (kernels, suites, choices) = (HashMap::new(), Vec::new(), Vec::new());
        Self { model, machine, mapped: false, rule, operands: None, kernels, ops: None, suites, choices }
    }

    /// The model's matrices as candidates take them, made on first use.
    pub fn operands(&mut self) -> Result<&mut Operands<'a>> {
        if self.operands.is_none() {
            self.operands = Some(Operands::new(self.model, self.machine, self.rule)?);
        }
        self.operands.as_mut().ok_or_else(|| Error::failed("the probe has no operands"))
    }

    /// Why nothing can be probed here, if so.
    pub fn cannot_probe(&mut self) -> Result<Option<String>> {
        let (cold, machine) = (self.operands()?.cold, self.machine);
        Ok(cannot_probe(machine, cold))
    }

    /// Whether the weights of kernels that read `layout` are those of the mapped file.
    pub fn stays_mapped(&self, layout: &Layout) -> bool {
        self.mapped && self.model.lies_as(layout)
    }

    /// Keeps the record of a choice.
    pub fn keep(&mut self, choice: Choice) {
        self.choices.push(choice);
    }

    /// Takes the kernel as it is called for what it will be called from now on, unless it was chosen for before.
    pub fn adopt(&mut self, kernel: Kernel) {
        self.kernels.entry(kernel.id()).or_insert(kernel);
    }

    /// The kernels that run here and can multiply the model's weights.
    pub fn candidates(&self) -> Result<Vec<Kernel>> {
        Ok(self.machine.kernels_for(able::needs(self.model, self.machine)?))
    }

    /// Fails if this kernel cannot multiply the model's weights, and says why.
    pub fn check_needs(&self, kernel: &Kernel) -> Result<()> {
        let needs = able::needs(self.model, self.machine)?;
        kernel.descriptor().can_run(needs).map_err(|why| able::refusal(self.model, &why, self.machine, needs))
    }

    /// All choices so far, in the order in which they were made.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The kernel as it is called: how it asks ahead, and which batches its gemm takes; probed where it was not yet.
    pub fn kernel(&mut self, kernel: Kernel) -> Result<Kernel> {
        if let Some(known) = self.kernels.get(kernel.id()) {
            return Ok(*known);
        }
        let kernel = self.one_way(kernel)?;
        self.with_batches(kernel, MOST_TOKENS)
    }

    /// The kernel in the way to ask ahead that is fastest for one token.
    pub fn one_way(&mut self, kernel: Kernel) -> Result<Kernel> {
        let d = kernel.descriptor();
        if d.family() == Family::W2A32 || !d.exact() || d.requires == CpuFeatures::NONE {
            return Ok(kernel);
        }
        let what = format!("calls of {}", kernel.id());
        if let Some(why) = self.cannot_probe()? {
            self.keep(without_probe(&what, &name(&kernel), &why));
            return Ok(kernel);
        }
        let operands = self.operands()?;
        let one = one_token(&[kernel], operands, ONE_KERNEL)?;
        let names: Vec<String> = one.ways.iter().map(name).collect();
        let choice = by_evidence(&what, &operands.shape(), &names, &one.evidence);
        self.keep(choice);
        Ok(one.ways[one.evidence.chosen().unwrap_or(0)])
    }

    /// The kernel with its gemm where that is faster, by a probe of batches of up to `most` tokens. So it is called
    /// from now on.
    pub fn with_batches(&mut self, kernel: Kernel, most: usize) -> Result<Kernel> {
        let d = kernel.descriptor();
        let gemm = d.gemm.is_some() && d.exact() && most >= SIZES[0];
        if !gemm || self.cannot_probe()?.is_some() {
            self.kernels.insert(kernel.id(), kernel);
            return Ok(kernel);
        }
        let (kernel, sizes) = with_batches(kernel, self.operands()?, most.min(MOST_TOKENS))?;
        self.batches_of(kernel, &sizes);
        Ok(kernel)
    }

    /// Keeps what a probe of batches said of a kernel, which is called so from now on.
    pub fn batches_of(&mut self, kernel: Kernel, sizes: &[Batch]) {
        self.choices.extend(batches_choice(&kernel, sizes));
        self.kernels.insert(kernel.id(), kernel);
    }

    /// The head in the fastest way.
    pub fn head(&mut self, made: OutputHead) -> Result<OutputHead> {
        let (head, choice) = head::fastest(made, self.machine)?;
        self.keep(choice);
        Ok(head)
    }

    /// What computes between the products.
    pub fn ops(&mut self) -> Result<F32Ops> {
        if let Some(ops) = self.ops {
            return Ok(ops);
        }
        let (ops, choice) = element_wise::fastest(&self.model.config, self.machine)?;
        self.keep(choice);
        Ok(*self.ops.insert(ops))
    }

    /// Starts the conformance suite of a kernel that was taken; [`Self::verified`] waits for it.
    pub fn verify_meanwhile(&mut self, kernel: Kernel) -> Result<()> {
        let suite = std::thread::Builder::new().name("suite".into()).spawn(move || verified(kernel));
        self.suites.push((kernel.id(), suite.map_err(|e| Error::input(format!("cannot start a thread: {e}")))?));
        Ok(())
    }

    /// Fails unless every kernel that was taken passed its suite.
    pub fn verified(&mut self) -> Result<()> {
        self.verified_if(|_| true)
    }

    /// Fails unless this kernel, which was taken, passed its suite; those of others go on.
    pub fn verified_alone(&mut self, kernel: &Kernel) -> Result<()> {
        self.verified_if(|id| id == kernel.id())
    }

    fn verified_if(&mut self, is: impl Fn(&str) -> bool) -> Result<()> {
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.suites).into_iter().partition(|(id, _)| is(id));
        self.suites = later;
        now.into_iter().try_for_each(|(_, suite)| match suite.join() {
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
