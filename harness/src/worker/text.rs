//! Cells of a whole model: blocks of decoded tokens, passes over a prompt, and the text that two builds must share.

use super::protocol::{JobText, TextResult};
use super::visit::Visit;
use crate::choose::chooser::Chooser;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::load_model;
use crate::machine::Machine;
use crate::measure::bench::packed;
use crate::measure::generation::greedy;
use crate::measure::rounds::timed;
use kernels::random::SplitMix64;
use kernels::{CodeTable, HeadFormat, Kernel};
use model::decoder::Decoder;
use model::generate::Session;
use model::hash::sha256_hex;
use model::head::Head;
use model::kernel_weights::KernelWeights;
use model::perplexity::Text;
use model::sampler::argmax;
use model::weights::{Model, Weights};
use model::{builtin, perplexity};
use std::sync::Arc;

/// Prompt and lengths of that text: any wrong weight shows, and the slowest kernel takes less than a second.
const EXACT_PROMPT: &str = "ROMEO:";
const EXACT_TOKENS: usize = 12;
const EXACT_WINDOW: usize = 48;
/// Tokens before the first block: a few, because a kernel without a gemm takes them one by one.
const BEFORE_BLOCK: usize = 4;
/// Model of the exact text.
const BUILTIN: &str = "builtin";

/// The models that a worker generates with: the last model, and its weights for the last kernel.
pub struct Texts {
    seed: u64,
    loaded: Option<Loaded>,
}

struct Loaded {
    spec: String,
    model: Model,
    head: Arc<Head>,
    weights: Option<Arc<Weights>>,
}

impl Texts {
    /// Begins without a model; `seed` makes the prompts of cells.
    pub fn new(seed: u64) -> Self {
        Self { seed, loaded: None }
    }

    /// Prepares a cell with a fresh decoder and runs its epochs.
    pub fn visit(&mut self, text: &JobText, machine: &Machine, visit: Visit<'_>) -> Result<()> {
        let (seed, kernel, cell) = (self.seed, visit.kernel, visit.cell);
        let loaded = self.loaded(&text.model, machine)?;
        let decode = cell.op == receipt::Operation::Decode;
        let (prompt, block) = if decode { (BEFORE_BLOCK, text.block) } else { (cell.tokens, 0) };
        let vocab = loaded.model.config.vocab as u64;
        let random = &mut SplitMix64::new(seed);
        // What the ids are does not matter to the time, so that one rule does for every model.
        let prompt: Vec<u32> = (0..prompt.max(1)).map(|_| random.below(vocab as u32)).collect();
        let decoder = loaded.decoder(kernel, machine, prompt.len() + block)?;
        let mut passage = Passage { decoder, prompt, ids: Vec::new() };
        let output = passage.prove(block)?;
        visit.run(output, |calls| {
            timed(|| match decode {
                true => passage.block(calls as usize),
                false => (0..calls).try_for_each(|_| passage.begin(|_| {})),
            })
        })
    }

    /// Token ids and perplexity that a kernel computes with the built-in model.
    pub fn generated(&mut self, kernel: Kernel, machine: &Machine) -> Result<TextResult> {
        let loaded = self.loaded(BUILTIN, machine)?;
        let encode = |text: &str| loaded.model.tokenizer.encode(text, None);
        let (prompt, mut scored) = (encode(EXACT_PROMPT)?, encode(builtin::held_out_text())?);
        scored.truncate(EXACT_WINDOW + 1);
        let capacity = (prompt.len() + EXACT_TOKENS).max(EXACT_WINDOW);
        let mut decoder = loaded.decoder(kernel, machine, capacity)?;
        let stop = interrupt::flag();
        let session = Session::new(&mut decoder, greedy(prompt, EXACT_TOKENS, None, Vec::new()))?;
        let token_ids = session.run(stop, &mut |_| {})?.token_ids;
        let scored = Text { tokens: &scored, window: EXACT_WINDOW, max_windows: 1 };
        let score = perplexity::score(&mut decoder, scored, stop, |_, _| {})?;
        Ok(TextResult { kernel: kernel.id().into(), token_ids, nats_per_token: score.nats_per_token })
    }

    /// The model, loaded if the last was another, which is freed first: three processes share the memory.
    fn loaded(&mut self, spec: &str, machine: &Machine) -> Result<&mut Loaded> {
        if self.loaded.as_ref().is_none_or(|loaded| loaded.spec != spec) {
            self.loaded = None;
            let model = load_model::load(spec, None, machine)?.model;
            let made = model.head(HeadFormat::F16, machine.features, &mut machine.team()?)?;
            let head = Arc::new(Chooser::new(&model, machine).head(made)?.into());
            self.loaded = Some(Loaded { spec: spec.to_owned(), model, head, weights: None });
        }
        self.loaded.as_mut().ok_or_else(|| Error::failed("no model is loaded"))
    }
}

impl Loaded {
    fn decoder(&mut self, kernel: Kernel, machine: &Machine, capacity: usize) -> Result<Decoder<'_>> {
        let packing = kernel.descriptor().layout;
        let weights = match self.weights.take() {
            Some(weights) if weights.layout == packing => weights,
            // The others are freed by now.
            _ => Arc::new(packed(&self.model, machine, packing, CodeTable::TERNARY)?),
        };
        self.weights = Some(Arc::clone(&weights));
        // As every text of this program is generated: each process makes its own choices.
        let mut chooser = Chooser::new(&self.model, machine);
        let (kernel, ops) = (chooser.kernel(kernel)?, chooser.ops()?);
        let decoder = Decoder::of(&self.model, KernelWeights::new(kernel, weights)?, Arc::clone(&self.head));
        Ok(decoder.team(machine.team()?).features(machine.features).ops(ops).context(capacity).build()?)
    }
}

/// A prompt and what a kernel makes of it: each block begins right behind the prompt, so that all epochs of all
/// processes decode the same tokens at the same positions.
struct Passage<'m> {
    decoder: Decoder<'m>,
    prompt: Vec<u32>,
    /// Greedy continuation, one more than the longest block.
    ids: Vec<u32>,
}

impl Passage<'_> {
    /// Computes the prompt and the longest block for the first time. Returns the hash of all logits.
    fn prove(&mut self, block: usize) -> Result<String> {
        let mut logits: Vec<u8> = Vec::new();
        self.begin(|l| logits.extend_from_slice(bytemuck::cast_slice(l)))?;
        for at in 0..block {
            let next = self.step(at)?;
            logits.extend_from_slice(bytemuck::cast_slice(self.decoder.last_logits()));
            self.ids.push(next);
        }
        Ok(sha256_hex(&logits))
    }

    /// One pass over the prompt, up to the logits of the first token.
    fn begin(&mut self, see: impl FnOnce(&[f32])) -> Result<()> {
        self.decoder.reset();
        for tokens in self.prompt.chunks(self.decoder.batch()) {
            self.decoder.forward(tokens)?;
        }
        let logits = self.decoder.logits()?;
        let id = argmax(logits)?;
        see(logits);
        match self.ids.first() {
            None => self.ids.push(id),
            Some(&first) => same(0, first, id)?,
        }
        Ok(())
    }

    /// So many tokens right behind the prompt.
    fn block(&mut self, tokens: usize) -> Result<()> {
        if tokens >= self.ids.len() {
            let most = self.ids.len().saturating_sub(1);
            return Err(Error::failed(format!("a block of {tokens} tokens is asked for, the longest is {most}")));
        }
        self.decoder.rewind(self.prompt.len())?;
        for at in 0..tokens {
            let next = self.step(at)?;
            same(at + 1, self.ids[at + 1], next)?;
        }
        Ok(())
    }

    /// Feeds one id of the continuation; returns the next.
    fn step(&mut self, at: usize) -> Result<u32> {
        self.decoder.forward(&[self.ids[at]])?;
        Ok(argmax(self.decoder.logits()?)?)
    }
}

fn same(at: usize, first: u32, now: u32) -> Result<()> {
    if first == now {
        return Ok(());
    }
    Err(Error::failed(format!("id {now} at {at} while it is timed, {first} before; run `tritbench verify`")))
}
