//! What every text is generated and scored with: a model, a machine, a format of the output head, and what was packed
//! of them already.

use crate::choose::prefill_kernel::PrefillPlan;
use crate::error::{Error, Result};
use crate::load_model::Loaded;
use crate::machine::Machine;
use kernels::{CodeTable, HeadFormat, Kernel, Layout, OutputHead};
use model::config::ModelConfig;
use model::decoder::{Builder, Decoder, Prefill};
use model::kernel_weights::KernelWeights;
use model::weights::{Model, Weights};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A model on a machine. Kernels that share a packing share the weights.
pub struct Bench<'a> {
    /// The model and what is known of it.
    pub loaded: &'a Loaded,
    /// Threads and features.
    pub machine: &'a Machine,
    /// Format of the output head.
    pub head: HeadFormat,
    /// Set to stop between texts, windows and turns.
    pub stop: &'a AtomicBool,
    weights: HashMap<(&'static Layout, [i8; 4]), Arc<Weights>>,
    heads: HashMap<HeadFormat, Arc<OutputHead>>,
}

/// A model's weights in one packing, with progress while they are packed.
pub fn packed(model: &Model, machine: &Machine, packing: &'static Layout, table: CodeTable) -> Result<Weights> {
    let what = format!("packing weights as {packing}");
    machine.loading(what, model.packed_bytes(packing), |loading| model.weights(packing, table, loading))
}

impl<'a> Bench<'a> {
    /// Nothing is packed yet.
    pub fn new(loaded: &'a Loaded, machine: &'a Machine, head: HeadFormat, stop: &'a AtomicBool) -> Self {
        Self { loaded, machine, head, stop, weights: HashMap::new(), heads: HashMap::new() }
    }

    /// The model.
    pub fn model(&self) -> &'a Model {
        &self.loaded.model
    }

    /// Whether it was told to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A kernel with its weights, packed on first use.
    pub fn weights(&mut self, kernel: Kernel, table: CodeTable) -> Result<KernelWeights> {
        let (model, packing) = (self.model(), kernel.descriptor().layout);
        let weights = match self.weights.entry((packing, table.0)) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(empty) => Arc::clone(empty.insert(Arc::new(packed(model, self.machine, packing, table)?))),
        };
        Ok(KernelWeights::new(kernel, weights)?)
    }

    /// The output head in a format, quantised on first use.
    pub fn head_as(&mut self, format: HeadFormat) -> Result<Arc<OutputHead>> {
        let (model, machine) = (self.model(), self.machine);
        Ok(match self.heads.entry(format) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(empty) => {
                let head = model.head(format, machine.features, &mut machine.team()?)?;
                Arc::clone(empty.insert(Arc::new(head)))
            }
        })
    }

    /// A decoder for one kernel with this bench's head and threads; what else it has is said to the builder.
    pub fn decoder(&mut self, kernel: Kernel, table: CodeTable) -> Result<Builder<'a>> {
        let (weights, head) = (self.weights(kernel, table)?, self.head_as(self.head)?);
        Ok(Decoder::of(self.model(), weights, head).team(self.machine.team()?).features(self.machine.features))
    }

    /// The kernel of a plan with its weights.
    pub fn prefill(&mut self, plan: Option<&PrefillPlan>) -> Result<Option<Prefill>> {
        let Some(&PrefillPlan { kernel, from_tokens }) = plan else { return Ok(None) };
        Ok(Some(Prefill { weights: self.weights(kernel, CodeTable::TERNARY)?, from_tokens }))
    }
}

/// Checks that the answer alone fits the model's context, which is known before the prompt's tokens are.
pub fn room_for_answer(config: &ModelConfig, max_tokens: usize) -> Result<()> {
    if max_tokens < config.context {
        return Ok(());
    }
    let context = config.context;
    Err(Error::input(format!(
        "--max-tokens {max_tokens} does not fit the model's context of {context} beside a prompt; ask for at most {}",
        context.saturating_sub(1)
    )))
}

/// Checks that prompt and answer fit the model's context, and how much room they need.
pub fn room(model: &Model, prompt_tokens: usize, max_tokens: usize) -> Result<usize> {
    let context = model.config.context;
    let needed = prompt_tokens.saturating_add(max_tokens);
    if needed > context {
        return Err(Error::input(format!(
            "{prompt_tokens} prompt tokens and --max-tokens {max_tokens} do not fit the model's context of \
             {context}; ask for at most {}",
            context.saturating_sub(prompt_tokens)
        )));
    }
    Ok(needed)
}
