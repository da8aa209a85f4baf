//! What every text is generated and scored with: model, machine, output head, and what was packed of them.

use crate::choose::chooser::Chooser;
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

/// A model on a machine, with what was packed of it. Kernels that share a packing share the weights.
pub struct Bench<'a> {
    /// The model and its record.
    pub loaded: &'a Loaded,
    pub machine: &'a Machine,
    pub head: HeadFormat,
    /// A flag that others set to stop the bench between texts, windows and turns.
    pub stop: &'a AtomicBool,
    /// What was chosen for this model on this machine.
    pub chooser: Chooser<'a>,
    weights: HashMap<(&'static Layout, [i8; 4]), Arc<Weights>>,
    heads: HashMap<HeadFormat, Arc<OutputHead>>,
}

/// Packs a model's weights in one packing, and shows the progress.
pub fn packed(model: &Model, machine: &Machine, packing: &'static Layout, table: CodeTable) -> Result<Weights> {
    let what = format!("packing weights as {packing}");
    machine.loading(what, model.packed_bytes(packing), |loading| model.weights(packing, table, loading))
}

impl<'a> Bench<'a> {
    /// A bench on which nothing is packed yet.
    pub fn new(loaded: &'a Loaded, machine: &'a Machine, head: HeadFormat, stop: &'a AtomicBool) -> Self {
        let chooser = Chooser::new(&loaded.model, machine);
        Self { loaded, machine, head, stop, chooser, weights: HashMap::new(), heads: HashMap::new() }
    }

    /// The model that texts are generated and scored with.
    pub fn model(&self) -> &'a Model {
        &self.loaded.model
    }

    /// Whether the run was told to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A kernel with the model's weights in its packing, packed on first use.
    pub fn weights(&mut self, kernel: Kernel, table: CodeTable) -> Result<KernelWeights> {
        let kernel = self.chooser.kernel(kernel)?;
        self.packed_for(kernel, table)
    }

    /// A kernel as it is to be called, with the model's weights in its packing, packed on first use.
    pub fn packed_for(&mut self, kernel: Kernel, table: CodeTable) -> Result<KernelWeights> {
        let (model, packing) = (self.model(), kernel.descriptor().layout);
        let weights = match self.weights.entry((packing, table.0)) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(empty) => Arc::clone(empty.insert(Arc::new(packed(model, self.machine, packing, table)?))),
        };
        Ok(KernelWeights::new(kernel, weights)?)
    }

    /// The output head in the number format `format`, quantised on first use.
    pub fn head_as(&mut self, format: HeadFormat) -> Result<Arc<OutputHead>> {
        let (model, machine) = (self.model(), self.machine);
        Ok(match self.heads.entry(format) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(empty) => {
                let head = model.head(format, machine.features, &mut machine.team()?)?;
                let head = self.chooser.head(head)?;
                Arc::clone(empty.insert(Arc::new(head)))
            }
        })
    }

    /// A decoder for one kernel with this bench's head and threads; what else it has is said to the builder.
    pub fn decoder(&mut self, kernel: Kernel, table: CodeTable) -> Result<Builder<'a>> {
        let weights = self.weights(kernel, table)?;
        self.decoder_of(weights)
    }

    /// The same for weights that are packed.
    pub fn decoder_of(&mut self, weights: KernelWeights) -> Result<Builder<'a>> {
        let head = self.head_as(self.head)?;
        let (machine, ops) = (self.machine, self.chooser.ops()?);
        // Nothing computes with a kernel whose suite failed.
        self.chooser.verified()?;
        Ok(Decoder::of(self.model(), weights, head).team(machine.team()?).features(machine.features).ops(ops))
    }

    /// The kernel of a prefill plan with its weights; `None` without a plan.
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
    let (context, most) = (config.context, config.context.saturating_sub(1));
    let what = format!("--max-tokens {max_tokens} does not fit the model's context of {context} beside a prompt");
    Err(Error::input(format!("{what}; ask for at most {most}")))
}

/// Tokens that prompt and answer need; an error if the context is shorter. `asked` names the answer's length.
pub fn room(context: usize, prompt_tokens: usize, max_tokens: usize, asked: &str) -> Result<usize> {
    let needed = prompt_tokens.saturating_add(max_tokens);
    if needed <= context {
        return Ok(needed);
    }
    let over = needed - context;
    let tokens = |n: usize| if n == 1 { "1 token".to_owned() } else { format!("{n} tokens") };
    let shorter = (over < prompt_tokens).then(|| format!("shorten the prompt by {}", tokens(over)));
    let fewer = context.checked_sub(prompt_tokens).filter(|&most| most > 0).map(|n| format!("ask for at most {n}"));
    let next: Vec<String> = shorter.into_iter().chain(fewer).collect();
    let (answer, verb) = match max_tokens {
        0 => (String::new(), "does"),
        n => (format!(" and {asked} {n}"), "do"),
    };
    let what = format!("a prompt of {}{answer} {verb} not fit the model's context of {context}", tokens(prompt_tokens));
    Err(Error::input(format!("{what}; {}", next.join(", or "))))
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn a_prompt_too_long_is_told_by_how_much() {
        let refused = |prompt, answer| room(64, prompt, answer, "--max-tokens").expect_err("too long").to_string();
        assert_eq!(room(64, 60, 4, "--max-tokens").expect("fits"), 64);
        assert_eq!(
            refused(101, 4),
            "a prompt of 101 tokens and --max-tokens 4 do not fit the model's context of 64; shorten the prompt by 41 \
             tokens"
        );
        assert_eq!(
            refused(101, 0),
            "a prompt of 101 tokens does not fit the model's context of 64; shorten the prompt by 37 tokens"
        );
        assert!(refused(60, 10).ends_with("; shorten the prompt by 6 tokens, or ask for at most 4"));
        assert!(refused(64, 1).ends_with("; shorten the prompt by 1 token"));
        assert!(refused(3, 63).ends_with("; shorten the prompt by 2 tokens, or ask for at most 61"));
        assert!(refused(2, 100).ends_with("; ask for at most 62"));
    }
}
