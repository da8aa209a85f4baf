//! What every text is generated and scored with: model, machine, output head, and what was packed of them.

use crate::choose::able;
use crate::choose::chooser::Chooser;
use crate::choose::prefill_kernel::PrefillPlan;
use crate::error::{Error, Result};
use crate::load_model::{self, Loaded};
use crate::machine::Machine;
use kernels::{CodeTable, F32Ops, HeadFormat, Kernel, Layout, PackedWeights, layouts};
use model::config::ModelConfig;
use model::decoder::{Builder, Decoder, Prefill};
use model::head::{Head, TernaryHead};
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
    /// The output head that was asked for, or settled for all kernels; none: for each kernel what suits it.
    pub head: Option<load_model::Head>,
    /// A flag that others set to stop the bench between texts, windows and turns.
    pub stop: &'a AtomicBool,
    /// What was chosen for this model on this machine.
    pub chooser: Chooser<'a>,
    weights: HashMap<(&'static Layout, [i8; 4]), Arc<Weights>>,
    heads: HashMap<HeadFormat, Arc<Head>>,
    ternary_heads: HashMap<&'static Layout, Arc<PackedWeights>>,
}

/// Packs a model's weights in one packing, and shows the progress.
pub fn packed(model: &Model, machine: &Machine, packing: &'static Layout, table: CodeTable) -> Result<Weights> {
    let what = format!("packing weights as {packing}");
    machine.loading(what, model.packed_bytes(packing), |loading| model.weights(packing, table, loading))
}

/// A model's weights where its file is mapped, and shows the progress of looking at them.
fn looked_at(model: &Model, machine: &Machine) -> Result<Weights> {
    let bytes = model.packed_bytes(&layouts::I2S);
    machine.loading("looking at the weights in the file", bytes, |loading| model.weights_in_place(loading))
}

/// Packs a model's output head as the ternary matrix that it is, for a kernel; or says why it cannot be multiplied so.
pub fn ternary_head(
    model: &Model,
    machine: &Machine,
    kernel: Kernel,
) -> Result<std::result::Result<PackedWeights, String>> {
    let (needs, mut team) = (able::needs(model, machine)?, machine.team()?);
    let descriptor = kernel.descriptor();
    Ok(match model.ternary_head_needs(descriptor, needs, &mut team)? {
        Ok(needs) => Ok(model.ternary_head(descriptor.layout, needs, &mut team)?),
        Err(why) => Err(why),
    })
}

/// That a ternary head was asked for which there cannot be.
pub fn no_ternary_head(model: &Model, why: &str) -> Error {
    Error::unsupported(format!("--head ternary: {}: {why}; take --head f16", model.gguf.path().display()))
}

impl<'a> Bench<'a> {
    /// A bench on which nothing is packed yet.
    pub fn new(loaded: &'a Loaded, machine: &'a Machine, head: Option<load_model::Head>, stop: &'a AtomicBool) -> Self {
        let chooser = Chooser::new(&loaded.model, machine);
        let (weights, heads, ternary_heads) = Default::default();
        Self { loaded, machine, head, stop, chooser, weights, heads, ternary_heads }
    }

    /// The same where weights stay in the mapped file if it has them as a kernel reads them: for one text, which should
    /// begin soon. The file must not change while they are in use ([`Gguf::check_unchanged`](model::gguf::Gguf)).
    pub fn mapped(mut self) -> Self {
        self.chooser.mapped = true;
        self
    }

    /// Whether weights of this kernel are there, or need no packing.
    pub fn has_weights(&self, kernel: &Kernel) -> bool {
        let layout = kernel.descriptor().layout;
        self.chooser.stays_mapped(layout) || self.weights.contains_key(&(layout, CodeTable::TERNARY.0))
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
        let in_place = table == CodeTable::TERNARY && self.chooser.stays_mapped(packing);
        let weights = match self.weights.entry((packing, table.0)) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(empty) => {
                let made = if in_place {
                    looked_at(model, self.machine)?
                } else {
                    packed(model, self.machine, packing, table)?
                };
                empty.insert(Arc::new(made))
            }
        };
        Ok(KernelWeights::new(kernel, Arc::clone(weights))?)
    }

    /// The output head in the number format `format`, quantised on first use.
    pub fn head_as(&mut self, format: HeadFormat) -> Result<Arc<Head>> {
        let (model, machine) = (self.model(), self.machine);
        Ok(match self.heads.entry(format) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(empty) => {
                let head = model.head(format, machine.features, &mut machine.team()?)?;
                let head = self.chooser.head(head)?;
                Arc::clone(empty.insert(Arc::new(head.into())))
            }
        })
    }

    /// The ternary output head for a kernel, packed on first use; or why there is none.
    fn ternary_head(&mut self, kernel: Kernel) -> Result<std::result::Result<Arc<Head>, String>> {
        let (model, packing) = (self.model(), kernel.descriptor().layout);
        let kernel = self.chooser.kernel(kernel)?;
        let weights = match self.ternary_heads.entry(packing) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(empty) => match ternary_head(model, self.machine, kernel)? {
                Ok(packed) => Arc::clone(empty.insert(Arc::new(packed))),
                Err(why) => return Ok(Err(why)),
            },
        };
        Ok(Ok(Arc::new(TernaryHead::new(kernel, weights).into())))
    }

    /// The output head of a kernel: what was asked for; else the file's ternary matrix where the kernel can multiply
    /// it, and f16 rows where not.
    pub fn head_for(&mut self, kernel: Kernel) -> Result<Arc<Head>> {
        if let Some(format) = self.head.and_then(load_model::Head::rows) {
            return self.head_as(format);
        }
        match (self.ternary_head(kernel)?, self.head) {
            (Ok(head), _) => Ok(head),
            (Err(_), None) => self.head_as(HeadFormat::F16),
            (Err(why), Some(_)) => Err(no_ternary_head(self.model(), &why)),
        }
    }

    /// Gives kernels that are compared one kind of output head, where none was asked for: the ternary one if all of
    /// them can multiply it, and there are `no_others`.
    pub fn settle_head(&mut self, kernels: &[Kernel], no_others: bool) -> Result<()> {
        if self.head.is_some() {
            return Ok(());
        }
        let (needs, mut team) = (able::needs(self.model(), self.machine)?, self.machine.team()?);
        let mut ternary = no_others && !kernels.is_empty();
        for kernel in kernels {
            ternary = ternary && self.model().ternary_head_needs(kernel.descriptor(), needs, &mut team)?.is_ok();
        }
        self.head = Some(if ternary { load_model::Head::Ternary } else { load_model::Head::F16 });
        Ok(())
    }

    /// The format of an output head whose weights are not those of the file.
    pub fn quantised_head(&self) -> Option<HeadFormat> {
        self.head.and_then(load_model::Head::rows).filter(|format| *format != HeadFormat::F16)
    }

    /// The same where it was not made yet.
    pub fn head_to_quantise(&self) -> Option<HeadFormat> {
        self.quantised_head().filter(|format| !self.heads.contains_key(format))
    }

    /// What receipts call the output head of a kernel; without one, of kernels that others run.
    pub fn head_id(&mut self, kernel: Option<&Kernel>) -> Result<&'static str> {
        match (kernel, self.head.map_or(Some(HeadFormat::F16), load_model::Head::rows)) {
            (Some(&kernel), _) => Ok(self.head_for(kernel)?.id()),
            (None, Some(format)) => Ok(self.head_as(format)?.id()),
            (None, None) => Ok("ternary"),
        }
    }

    /// A decoder for one kernel with this bench's head and threads; what else it has is said to the builder.
    pub fn decoder(&mut self, kernel: Kernel, table: CodeTable) -> Result<Builder<'a>> {
        // The head first: it can be refused.
        let (head, weights) = (self.head_for(kernel)?, self.weights(kernel, table)?);
        self.builder(weights, head)
    }

    /// A decoder for weights that are packed, whose output head is rows: one that rounds activations too would be a
    /// part of what is compared.
    pub fn decoder_of(&mut self, weights: KernelWeights) -> Result<Builder<'a>> {
        let head = self.head_of_rows()?;
        self.builder(weights, head)
    }

    /// The output head as rows: in the format that was asked for, else f16.
    pub fn head_of_rows(&mut self) -> Result<Arc<Head>> {
        self.head_as(self.head.and_then(load_model::Head::rows).unwrap_or(HeadFormat::F16))
    }

    /// A decoder for the first token alone, whose kernel needs nothing packed: its head is quantised while it is
    /// multiplied, if it is, with the bits of [`Self::head_for`]. Waits for no other kernel's suite.
    pub fn first_decoder(&mut self, kernel: Kernel) -> Result<Builder<'a>> {
        let (model, features) = (self.model(), self.machine.features);
        let anew = match self.head_to_quantise() {
            Some(format) => model.output_rows().head_anew(format, features)?,
            None => None,
        };
        let head = match anew {
            Some(head) => Arc::new(head.into()),
            None => self.head_for(kernel)?,
        };
        let weights = self.packed_for(kernel, CodeTable::TERNARY)?;
        let ops = self.chooser.ops()?;
        self.chooser.verified_alone(&kernel)?;
        self.unverified(weights, head, ops)
    }

    fn builder(&mut self, weights: KernelWeights, head: Arc<Head>) -> Result<Builder<'a>> {
        let ops = self.chooser.ops()?;
        // Nothing computes with a kernel whose suite failed.
        self.chooser.verified()?;
        self.unverified(weights, head, ops)
    }

    fn unverified(&self, weights: KernelWeights, head: Arc<Head>, ops: F32Ops) -> Result<Builder<'a>> {
        let machine = self.machine;
        Ok(Decoder::of(self.model(), weights, head).team(machine.team()?).features(machine.features).ops(ops))
    }

    /// The kernel of a prefill plan with its weights; `None` without a plan.
    pub fn prefill(&mut self, plan: Option<&PrefillPlan>) -> Result<Option<Prefill>> {
        let Some(&PrefillPlan { kernel, from_tokens, .. }) = plan else { return Ok(None) };
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
