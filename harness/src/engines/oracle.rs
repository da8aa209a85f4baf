//! What is right: a model's answers by an exact kernel, activations by the model's own rule, and the output head that
//! an engine has, so that a quantised head is no mistake.

use crate::choose::able;
use crate::choose::chooser::verified;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::load_model::Head;
use crate::machine::Machine;
use crate::scenario::activations;
use kernels::{CodeTable, HeadFormat, Kernel};
use model::decoder::Decoder;
use model::kernel_weights::KernelWeights;
use model::loading::Loading;
use model::perplexity::{Score, Text, score};
use model::weights::Model;
use receipt::judge::sanity;
use receipt::{MistakeRecord, OracleRecord};
use std::sync::Arc;

/// Longest sequence, in ids: nobody is asked for more, and models of 131,072 take gigabytes for their keys and values.
const LONGEST: usize = 4096;

/// Answers for one model.
pub struct Oracle<'m> {
    decoder: Decoder<'m>,
    kernel: &'static str,
    head_bits: u32,
    context: usize,
}

/// A prompt that was continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Continued {
    /// The likeliest id, again and again.
    pub ids: Vec<u32>,
    /// Difference of the two best logits at each: where it is small, rounding may choose the other.
    pub margins: Vec<f32>,
}

impl<'m> Oracle<'m> {
    /// Packs the model's weights for the fastest exact kernel; the output head gets so many bits a weight.
    ///
    /// # Errors
    /// A head of other bits than 16, 8 or 4, and weights that no exact kernel can multiply.
    pub fn new(model: &'m Model, machine: &Machine, head_bits: u32) -> Result<Self> {
        let kernel = verified(able::fastest(model, machine)?)?;
        Self::with(model, machine, head_bits, (kernel, CodeTable::TERNARY))
    }

    /// The same with a kernel that is named, and codes that are taken for the values of a table.
    pub(super) fn with(
        model: &'m Model,
        machine: &Machine,
        head_bits: u32,
        (kernel, table): (Kernel, CodeTable),
    ) -> Result<Self> {
        let format = Head::of_bits(head_bits)?.rows().unwrap_or(HeadFormat::F16);
        let head = Arc::new(model.head(format, machine.features, &mut machine.team()?)?.into());
        // Without a word: mistakes are made by the half dozen.
        let mut loading = Loading::new(machine.team()?, &|_| {}, interrupt::flag());
        let weights = model.weights(kernel.descriptor().layout, table, &mut loading)?;
        let context = model.config.context.min(LONGEST);
        let decoder = Decoder::of(model, KernelWeights::new(kernel, Arc::new(weights))?, head);
        let decoder = decoder.team(machine.team()?).features(machine.features).context(context).build()?;
        Ok(Self { decoder, kernel: kernel.id(), head_bits, context })
    }

    /// Longest sequence, in ids.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Entries of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.decoder.model().config.vocab
    }

    /// The loss of a text: every position of every window predicts the next id.
    pub fn score(&mut self, text: Text<'_>) -> Result<Score> {
        Ok(score(&mut self.decoder, text, interrupt::flag(), |_, _| {})?)
    }

    /// Continues a prompt greedily by `count` ids; none ends the text. The last of them is not computed further, so
    /// that a prompt as long as the context has one.
    pub fn greedy(&mut self, prompt: &[u32], count: usize) -> Result<Continued> {
        let (longest, context) = (prompt.len().saturating_add(count.saturating_sub(1)), self.context);
        if longest > context {
            let what = format!("a prompt of {} ids and {count} more", prompt.len());
            return Err(Error::input(format!(
                "{what} are longer than {context}, which is the most here; ask for fewer"
            )));
        }
        let mut said = Continued { ids: Vec::with_capacity(count), margins: Vec::with_capacity(count) };
        if count == 0 {
            return Ok(said);
        }
        self.feed(prompt)?;
        loop {
            let (id, margin) = best(self.decoder.logits()?)?;
            said.ids.push(id);
            said.margins.push(margin);
            if said.ids.len() == count {
                return Ok(said);
            }
            self.decoder.forward(&[id])?;
        }
    }

    /// Logits after the last of these ids, from an empty cache.
    pub fn logits(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.feed(ids)?;
        Ok(self.decoder.logits()?.to_vec())
    }

    /// Logits after each of these ids from number `from` on, from an empty cache.
    pub fn all_logits(&mut self, ids: &[u32], from: usize) -> Result<Vec<Vec<f32>>> {
        self.decoder.reset();
        let (mut all, batch) = (Vec::new(), self.decoder.batch());
        for (i, part) in ids.chunks(batch).enumerate() {
            interrupt::check("interrupted while the right answers were computed")?;
            self.decoder.forward(part)?;
            for at in from.saturating_sub(i * batch)..part.len() {
                all.push(self.decoder.logits_of(at)?.to_vec());
            }
        }
        Ok(all)
    }

    /// What a receipt keeps of it: what it scored, and what mistakes score.
    pub fn record(&self, scored: &Score, mistakes: Vec<MistakeRecord>) -> OracleRecord {
        // To a model that does no better than guessing the text means nothing.
        let guesses = sanity::of_perplexity(scored.nats_per_token.exp(), self.vocabulary(), false).is_some();
        OracleRecord {
            head_bits: self.head_bits,
            kernel: self.kernel.into(),
            activations: activations(self.decoder.model().activations),
            random_weights: self.decoder.model().gguf.synthetic() || guesses,
            nats_per_token: scored.nats_per_token,
            perplexity: scored.nats_per_token.exp(),
            mistakes,
        }
    }

    /// Puts ids through the model, from an empty cache.
    fn feed(&mut self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Err(Error::input("a prompt without ids has no next one; give at least one"));
        }
        self.decoder.reset();
        for part in ids.chunks(self.decoder.batch()) {
            interrupt::check("interrupted while the right answers were computed")?;
            self.decoder.forward(part)?;
        }
        Ok(())
    }
}

/// The id of the largest logit, of equals the lowest, and how far the next is below it.
fn best(logits: &[f32]) -> Result<(u32, f32)> {
    let (mut best, mut first, mut second) = (0, f32::NEG_INFINITY, f32::NEG_INFINITY);
    for (id, &logit) in logits.iter().enumerate() {
        if !logit.is_finite() {
            return Err(Error::failed(format!(
                "the logit of id {id} is {logit}: the weights are damaged or read wrongly"
            )));
        }
        if logit > first {
            (best, first, second) = (id, logit, first);
        } else {
            second = second.max(logit);
        }
    }
    Ok((best as u32, first - second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::CpuFeatures;
    use model::builtin;
    use model::weights::Opened;

    fn model() -> Model {
        Opened::new(builtin::open().expect("built in"), None).expect("valid").load().expect("loads")
    }

    #[test]
    fn goldens_come_back_with_their_margins() {
        let (model, machine) = (model(), Machine::for_tests(CpuFeatures::detect()));
        let mut oracle = Oracle::new(&model, &machine, 16).expect("an exact kernel runs");
        let golden: serde_json::Value = serde_json::from_str(builtin::GOLDEN_JSON).expect("JSON");
        let ids = |value: &serde_json::Value| -> Vec<u32> { serde_json::from_value(value.clone()).expect("ids") };
        for case in golden["cases"].as_array().expect("cases") {
            let (prompt, want) = (ids(&case["prompt_ids"]), ids(&case["greedy_ids"]));
            let margins: Vec<f32> = serde_json::from_value(case["margins"].clone()).expect("numbers");
            let safe = margins.iter().take_while(|margin| **margin > 0.1).count();
            let said = oracle.greedy(&prompt, want.len()).expect("it speaks");
            assert_eq!((said.ids.len(), said.margins.len()), (want.len(), want.len()));
            assert_eq!(said.ids[..safe], want[..safe]);
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.25;
            assert!(said.margins.iter().zip(&margins).take(safe).all(near), "{:?} {margins:?}", said.margins);
            let logits = oracle.logits(&prompt).expect("computes");
            assert_eq!(best(&logits).expect("finite"), (said.ids[0], said.margins[0]));
        }
    }

    #[test]
    fn a_prompt_as_long_as_the_context_has_one_next_id() {
        let (model, machine) = (model(), Machine::for_tests(CpuFeatures::detect()));
        let mut oracle = Oracle::new(&model, &machine, 8).expect("an exact kernel runs");
        let tokens = model.tokenizer.encode(builtin::held_out_text(), None).expect("text");
        assert_eq!(oracle.greedy(&tokens[..512], 1).expect("fits").ids.len(), 1);
        assert!(oracle.greedy(&tokens[..512], 2).expect_err("full").to_string().contains("longer than 512"));
        assert!(oracle.greedy(&[], 1).expect_err("nothing").to_string().contains("at least one"));
        assert!(oracle.logits(&[1024]).expect_err("outside").to_string().contains("token id 1024"));
        let error = Oracle::new(&model, &machine, 6).err().expect("refused").to_string();
        assert!(error.contains("6 bits") && error.contains("16, 8 and 4"), "{error}");
    }

    /// The figure of golden.json's oracle over the first 2 windows of the same text, as near as an f16 cache allows.
    #[test]
    fn its_loss_is_that_of_the_float64_oracle() {
        let (model, machine) = (model(), Machine::for_tests(CpuFeatures::detect()));
        let tokens = model.tokenizer.encode(builtin::held_out_text(), None).expect("text");
        let text = Text { tokens: &tokens, window: 128, max_windows: 2 };
        let mut oracle = Oracle::new(&model, &machine, 16).expect("an exact kernel runs");
        let scored = oracle.score(text).expect("scores");
        assert!((scored.nats_per_token - 3.2230).abs() < 2e-3, "{scored:?}");
        let record = oracle.record(&scored, Vec::new());
        assert_eq!((record.head_bits, record.perplexity), (16, scored.nats_per_token.exp()));
        assert!(crate::registered::find(&record.kernel).is_some_and(kernels::KernelDescriptor::exact));
        // Four bits a weight cost something, and not much.
        let four = Oracle::new(&model, &machine, 4).expect("runs").score(text).expect("scores").nats_per_token;
        assert!((0.001..0.1).contains(&(four - scored.nats_per_token).abs()), "{four}");
    }

    #[test]
    fn the_margin_is_to_the_second_best() {
        assert_eq!(best(&[1.0, 4.0, 3.5]).expect("finite"), (1, 0.5));
        assert_eq!(best(&[2.0, -1.0, 2.0]).expect("finite"), (0, 0.0));
        assert!(best(&[2.0, f32::NAN]).expect_err("NaN").to_string().contains("id 1"));
    }
}
