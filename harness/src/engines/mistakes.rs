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
use receipt::judge::sanity;

/// A loss so close to a mistake's, in nats, is that mistake's: engines round activations by rules of their own, which
/// moved a loss by up to 0.005.
const NEAR: f64 = 0.03;
/// Or so close, as a share of the way from the right loss: what rounding moves, a mistake magnifies.
const NEAR_SHARE: f64 = 0.03;
/// How many times as close to the mistake's as to the right one it must be.
const CLEARLY: f64 = 4.0;
/// So much closer, in nats, than to any other mistake's.
const APART: f64 = 0.01;

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

/// The mistake whose loss an engine has: the nearest, if it is near, clearly nearer than the right loss, and nearer
/// than every other mistake. Where two fit, none is named.
pub fn likeliest(nats: f64, right: f64, mistakes: &[MistakeRecord]) -> Option<&MistakeRecord> {
    let gap = (nats - right).abs();
    let away = |mistake: &MistakeRecord| (nats - mistake.nats_per_token).abs();
    let (at, nearest) = mistakes.iter().enumerate().min_by(|a, b| away(a.1).total_cmp(&away(b.1)))?;
    let least = away(nearest);
    let near = least <= NEAR.max(NEAR_SHARE * gap) && CLEARLY * least < gap;
    let rival = |(i, other): (usize, &MistakeRecord)| i != at && away(other) < 2.0 * least + APART;
    (near && !mistakes.iter().enumerate().any(rival)).then_some(nearest)
}

/// Why an engine with this loss is wrong, as far as it can be said. A loss about as high as that of guessing is a
/// misread weight's, and how high depends on the tool and its batches (one engine's I2_S scored 1,266 and 5e11): there
/// no figure fits another.
pub fn in_words(nats: f64, right: f64, vocabulary: usize, mistakes: &[MistakeRecord]) -> String {
    if !nats.is_finite() {
        return "its loss is no finite number: a layout, a scale or a table is read wrongly".into();
    }
    if sanity::of_perplexity(nats.exp(), vocabulary, false).is_some() {
        let what = "a layout, a scale or a table is read wrongly; no figure says which";
        return format!("about as good as guessing among {vocabulary} tokens: {what}");
    }
    match likeliest(nats, right, mistakes) {
        Some(MistakeRecord { mistake, nats_per_token }) => {
            format!("likeliest: {mistake}, which has a perplexity of {:.2}", nats_per_token.exp())
        }
        None => "none of the known mistakes has this perplexity".into(),
    }
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

    fn mistake(words: &str, nats_per_token: f64) -> MistakeRecord {
        MistakeRecord { mistake: words.into(), nats_per_token }
    }

    /// The figures are those of scenarios/model/oracle.py with another gate, other pairs and reciprocal scales, over
    /// the first 4 windows of the built-in text; the right one has 2.8672. An f16 cache moves them by up to 0.004.
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
        let silu = likeliest(3.2559 + 0.004, 2.8672, &found).expect("one fits");
        assert_eq!(silu.mistake, "SiLU instead of relu squared");
        assert_eq!(likeliest(3.6, 2.8672, &found), None, "{found:?}");
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

    #[test]
    fn one_is_named_only_where_it_alone_fits() {
        let known = [mistake("SiLU", 3.4732), mistake("reciprocal", 3.36), mistake("arm", 8.48)];
        let named = |nats| likeliest(nats, 3.1373, &known).map(|m| &m.mistake[..]);
        assert_eq!(named(32.37f64.ln()), Some("SiLU"), "llama.cpp's TQ2_0 as arch bitnet");
        assert_eq!([named(3.1393), named(3.1373), named(3.25), named(3.55), named(f64::NAN)], [None; 5]);
        let twins = [mistake("a", 4.0), mistake("b", 4.02)];
        assert_eq!(likeliest(4.005, 3.0, &twins), None);
        assert_eq!(likeliest(3.998, 3.0, &twins).map(|m| &m.mistake[..]), Some("a"));
        assert_eq!(likeliest(4.0, 3.0, &[]), None);
    }

    #[test]
    fn words_name_a_mistake_or_say_that_none_fits() {
        let known = [mistake("SiLU instead of relu squared", 3.4732), mistake("arm", 1266f64.ln())];
        let said = |nats| in_words(nats, 3.1373, 1024, &known);
        assert_eq!(said(32.37f64.ln()), "likeliest: SiLU instead of relu squared, which has a perplexity of 32.24");
        assert!(said(1266f64.ln()).starts_with("about as good as guessing among 1024 tokens: a layout"));
        assert!(said(5e11f64.ln()).contains("no figure says which"));
        assert!(said(3.3).starts_with("none of the known mistakes"));
        assert!(said(f64::NAN).contains("no finite number") && said(f64::INFINITY).contains("no finite number"));
    }
}
