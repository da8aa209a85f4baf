//! The mistakes that engines are known to make, made by our own oracle on purpose: a wrong engine whose loss is that of
//! one of them is told which.

use super::oracle::Oracle;
use crate::choose::able;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::load_model;
use crate::machine::Machine;
use crate::model_spec::{apart, with_reading};
use kernels::{CodeTable, Family};
use model::arch::{Activation, Pairing};
use model::gguf::Reading;
use model::perplexity::Text;
use model::weights::{Model, Opened};
use receipt::MistakeRecord;

/// One mistake.
enum Mistake {
    /// The gate goes through this.
    Gate(Activation),
    /// These elements of a head turn together.
    Pairs(Pairing),
    /// The file is read so.
    Reading(Reading),
    /// Codes are taken for the values of the analysis's table.
    Table,
    /// This id is fed in place of the first of every window (`add_bos_token`).
    BosInPlace(u32),
    /// The text's first id, which begins a text, is left out.
    NoBos,
}

/// What each known mistake makes of a text, with a head of so many bits a weight. Those that the model does not allow
/// and those that have no finite loss are left out.
pub fn all(spec: &str, machine: &Machine, head_bits: u32, text: Text<'_>) -> Result<Vec<MistakeRecord>> {
    let mut found = Vec::new();
    for mistake in possible(&open(spec)?, text.tokens) {
        interrupt::check("interrupted while known mistakes were scored")?;
        match mistake.nats(spec, machine, head_bits, text) {
            Ok(nats) if nats.is_finite() => {
                found.push(MistakeRecord { mistake: mistake.in_words(), nats_per_token: nats });
            }
            Err(error) if error.is_interrupt() => return Err(error),
            // A reading that the file does not bear, logits that are no numbers: no engine could score with it either.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

/// A model whose weights are read when they are packed.
fn open(spec: &str) -> Result<Model> {
    Ok(Opened::new(load_model::open(spec)?, None)?.load()?)
}

/// The mistakes that can be made with this model and this text.
fn possible(model: &Model, ids: &[u32]) -> Vec<Mistake> {
    let mut all = vec![
        Mistake::Gate(match model.config.activation {
            Activation::ReluSquared => Activation::Silu,
            Activation::Silu => Activation::ReluSquared,
        }),
        Mistake::Pairs(match model.config.pairing {
            Pairing::Halves => Pairing::Neighbours,
            Pairing::Neighbours => Pairing::Halves,
        }),
    ];
    all.extend(model.gguf.readings().into_iter().skip(1).map(Mistake::Reading));
    all.push(Mistake::Table);
    if let Some(bos) = model.tokenizer.facts.bos {
        all.push(Mistake::BosInPlace(bos));
        all.extend((ids.first() == Some(&bos)).then_some(Mistake::NoBos));
    }
    all
}

impl Mistake {
    /// As a reader is told it.
    fn in_words(&self) -> String {
        match self {
            Self::Gate(Activation::Silu) => "SiLU instead of relu squared".into(),
            Self::Gate(Activation::ReluSquared) => "relu squared instead of SiLU".into(),
            Self::Pairs(Pairing::Neighbours) => "rotary pairs of neighbours instead of halves of a head (NeoX)".into(),
            Self::Pairs(Pairing::Halves) => "rotary pairs of halves of a head (NeoX) instead of neighbours".into(),
            Self::Reading(Reading { i2s: Some(layout), reciprocal: false }) => {
                format!("I2_S read in the layout {}", layout.name())
            }
            Self::Reading(_) => "scales taken for their reciprocals".into(),
            Self::Table => "codes read as -2, -1, 1 and 2".into(),
            Self::BosInPlace(_) => "BOS in place of the first id of each window (add_bos_token)".into(),
            Self::NoBos => "no BOS before the text".into(),
        }
    }

    /// Nats a position of a model that makes it.
    fn nats(&self, spec: &str, machine: &Machine, head_bits: u32, text: Text<'_>) -> Result<f64> {
        let (name, reading) = apart(spec);
        let reading = if let Self::Reading(other) = self { *other } else { reading };
        let mut model = open(&with_reading(name, reading))?;
        match self {
            Self::Gate(other) => model.config.activation = *other,
            Self::Pairs(other) => model.config.pairing = *other,
            Self::Table => {
                // Integer kernels know -1, 0 and 1 alone.
                let able = machine.kernels_for(able::needs(&model, machine)?);
                let kernel = able.into_iter().rfind(|kernel| kernel.descriptor().family() == Family::W2A32);
                let kernel = kernel.ok_or_else(|| Error::unsupported("no kernel reads a table of codes"))?;
                let mut oracle = Oracle::with(&model, machine, head_bits, (kernel, CodeTable::SEED))?;
                return Ok(oracle.score(text)?.nats_per_token);
            }
            _ => {}
        }
        let mut oracle = Oracle::new(&model, machine, head_bits)?;
        match self {
            Self::BosInPlace(bos) => begun_with(&mut oracle, *bos, text),
            Self::NoBos => Ok(oracle.score(Text { tokens: &text.tokens[1..], ..text })?.nats_per_token),
            _ => Ok(oracle.score(text)?.nats_per_token),
        }
    }
}

/// The loss of a text of which every window is fed with `bos` in place of its first id; what is predicted stays.
fn begun_with(oracle: &mut Oracle<'_>, bos: u32, text: Text<'_>) -> Result<f64> {
    let windows = (text.tokens.len().saturating_sub(1) / text.window.max(1)).min(text.max_windows);
    let mut nats = 0.0;
    for start in (0..windows).map(|window| window * text.window) {
        let mut tokens = text.tokens[start..=start + text.window].to_vec();
        tokens[0] = bos;
        nats += oracle.score(Text { tokens: &tokens, window: text.window, max_windows: 1 })?.nats_per_token;
    }
    Ok(nats / windows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::CpuFeatures;
    use model::builtin;
    use receipt::judge::engines::likeliest_mistake;

    #[test]
    fn mistakes_have_the_loss_that_an_independent_oracle_has_with_them() {
        let machine = Machine::for_tests(CpuFeatures::detect());
        let model = open("builtin").expect("built in");
        let tokens = model.tokenizer.encode(builtin::held_out_text(), None).expect("text");
        let text = Text { tokens: &tokens, window: 128, max_windows: 4 };
        let found = all("builtin", &machine, 16, text).expect("scored");
        let nats = |words: &str| found.iter().find(|m| m.mistake.contains(words)).expect(words).nats_per_token;
        for (words, want) in [("SiLU instead", 3.2559), ("neighbours", 4.3922), ("reciprocals", 3.1238)] {
            assert!((nats(words) - want).abs() < 5e-3, "{words}: {} instead of {want}", nats(words));
        }
        // Misread weights guess.
        for words in ["layout arm", "layout x86-rows", "-2, -1, 1 and 2"] {
            assert!(nats(words) > (1024f64 / 4.0).ln(), "{words}: {}", nats(words));
        }
        // One id of 128 is another.
        assert!((0.0..0.2).contains(&(nats("BOS in place") - 2.8672)), "{found:?}");
        assert!(found.iter().all(|m| !m.mistake.contains("no BOS")), "the text has none");
        // An engine that rounds by another rule, with the same mistake.
        let silu = likeliest_mistake(3.2559 + 0.004, 2.8672, &found).expect("one fits");
        assert_eq!(silu.mistake, "SiLU instead of relu squared");
        assert_eq!(likeliest_mistake(3.6, 2.8672, &found), None, "{found:?}");
    }

    /// A model of another architecture, of random weights: each mistake that it allows changes its loss.
    #[test]
    fn mistakes_are_those_that_the_model_allows() {
        let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/model/tiny/llama.gguf");
        let machine = Machine::for_tests(CpuFeatures::detect());
        let model = open(spec).expect("committed");
        let bos = model.tokenizer.facts.bos.expect("it has one");
        let tokens: Vec<u32> = [bos].into_iter().chain((0..64).map(|i| 300 + 7 * i)).collect();
        let text = Text { tokens: &tokens, window: 21, max_windows: 3 };
        let right = Oracle::new(&model, &machine, 16).expect("runs").score(text).expect("scores").nats_per_token;
        let found = all(spec, &machine, 16, text).expect("scored");
        let words: Vec<&str> = found.iter().map(|mistake| &mistake.mistake[..]).collect();
        let want = [
            "relu squared instead of SiLU",
            "rotary pairs of halves of a head (NeoX) instead of neighbours",
            "scales taken for their reciprocals",
            "codes read as -2, -1, 1 and 2",
            "BOS in place of the first id of each window (add_bos_token)",
            "no BOS before the text",
        ];
        assert_eq!(words, want);
        assert!(found.iter().all(|mistake| mistake.nats_per_token != right), "{right}: {found:?}");
    }
}
