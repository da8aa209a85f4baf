//! `model inspect --score`: what perplexity a file has by each reading that it allows. The bytes of a file do not say
//! whether they are read rightly; a text does.

use crate::choose::able;
use crate::error::Result;
use crate::load_model;
use crate::machine::Machine;
use crate::model_spec::{apart, with_reading};
use crate::output::table;
use crate::progress::Progress;
use crate::{build_info, interrupt};
use kernels::{CodeTable, HeadFormat};
use model::builtin;
use model::decoder::Decoder;
use model::gguf::Reading;
use model::kernel_weights::KernelWeights;
use model::loading::Loading;
use model::perplexity::{Text, score};
use model::weights::Opened;
use receipt::judge::sanity;
use serde::Serialize;
use std::sync::Arc;

/// Windows of the built-in text that are scored.
const WINDOWS: usize = 4;
/// Tokens of a window, fewer where the model's context is shorter.
const WINDOW: usize = 128;
/// Readings whose perplexities differ by less are alike: no text of this length tells them apart.
const ALIKE: f64 = 0.01;

/// A reading and its perplexity.
#[derive(Debug, Serialize)]
pub struct Scored {
    /// As it is spelled behind a file's name; empty for the file as it is.
    pub reading: String,
    /// Absent where the file cannot be read so, or where the logits are not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What scoring a file found.
#[derive(Debug, Serialize)]
pub struct Score {
    /// Each reading, the one in force first.
    pub readings: Vec<Scored>,
    pub kernel: String,
    pub windows: usize,
    pub window: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// What is wrong with the reading in force, in words; empty where nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// Readings that score alike, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alike: Vec<String>,
}

/// Scores the model by each reading that its file allows.
pub fn readings(spec: &str, machine: &Machine) -> Result<Score> {
    build_info::refuse_to_time_a_debug_build()?;
    let (name, _) = apart(spec);
    let allowed = load_model::open(spec)?.readings();
    let progress = Progress::start(format!("scoring {name} by {} readings", allowed.len()), allowed.len() as u64);
    let mut found = Score {
        readings: Vec::new(),
        kernel: String::new(),
        windows: WINDOWS,
        window: WINDOW,
        vocabulary: 0,
        findings: Vec::new(),
        alike: Vec::new(),
    };
    for (done, &reading) in allowed.iter().enumerate() {
        interrupt::check("interrupted while scoring")?;
        progress.step(done, format!("scoring {}", in_words(reading)));
        let outcome = found.one(&with_reading(name, reading), machine);
        let (perplexity, why) = match outcome {
            Err(e) if e.is_interrupt() => return Err(e),
            // What is wrong with one reading says nothing against the others; with the first, nothing is left to say.
            Err(e) if done == 0 && found.vocabulary == 0 => return Err(e),
            Err(e) => (None, Some(e.to_string())),
            Ok(perplexity) => (Some(perplexity), None),
        };
        found.readings.push(Scored { reading: reading.to_string(), perplexity, why });
    }
    drop(progress);
    found.judge(&allowed);
    Ok(found)
}

/// A reading for people.
fn in_words(reading: Reading) -> String {
    if reading == Reading::default() { "as it is".to_owned() } else { reading.to_string() }
}

impl Score {
    fn one(&mut self, spec: &str, machine: &Machine) -> Result<f64> {
        let model = Opened::new(load_model::open(spec)?, None)?.load()?;
        (self.vocabulary, self.window) = (model.config.vocab, WINDOW.min(model.config.context));
        let tokens = model.tokenizer.encode(builtin::held_out_text(), None)?;
        let kernel = able::fastest(&model, machine)?;
        self.kernel = kernel.id().to_owned();
        let mut loading = Loading::new(machine.team()?, &|_| {}, interrupt::flag());
        let weights = model.weights(kernel.descriptor().layout, CodeTable::TERNARY, &mut loading)?;
        let head = Arc::new(model.head(HeadFormat::F16, machine.features, &mut loading.team)?.into());
        let decoder = Decoder::of(&model, KernelWeights::new(kernel, Arc::new(weights))?, head);
        let decoder = decoder.team(machine.team()?).features(machine.features).context(self.window);
        let text = Text { tokens: &tokens, window: self.window, max_windows: WINDOWS };
        Ok(score(&mut decoder.build()?, text, interrupt::flag(), |_, _| {})?.nats_per_token.exp())
    }

    /// Says what the perplexities mean.
    fn judge(&mut self, readings: &[Reading]) {
        let Some(first) = self.readings.first() else { return };
        let own = first.perplexity.unwrap_or(f64::INFINITY);
        if let Some(why) = &first.why {
            self.findings.push(format!("read {}: {why}", in_words(readings[0])));
        } else if let Some(what) = sanity::of_perplexity(own, self.vocabulary, false) {
            self.findings.push(format!("read {}: {what}", in_words(readings[0])));
        }
        let mut better: Option<(f64, Reading)> = None;
        for (scored, &reading) in self.readings.iter().zip(readings).skip(1) {
            let Some(other) = scored.perplexity else { continue };
            if (other / own - 1.0).abs() < ALIKE {
                let words = (in_words(readings[0]), in_words(reading));
                self.alike.push(format!("{} and {} score alike ({own:.2}, {other:.2})", words.0, words.1));
            } else if other < own && better.is_none_or(|(best, _)| other < best) {
                better = Some((other, reading));
            }
        }
        // One that is nonsense itself says nothing.
        let sound = |other: f64| sanity::of_perplexity(other, self.vocabulary, false).is_none();
        if let Some((other, reading)) = better.filter(|(other, _)| sound(*other)) {
            let how = match reading.i2s.filter(|_| reading.reciprocal == readings[0].reciprocal) {
                Some(layout) => format!("with --i2s-layout {}", layout.name()),
                None => format!("as FILE?{reading}"),
            };
            let what = format!("read {how} its perplexity is {other:.2}, and {own:.2} as it is read now");
            self.findings.push(format!("{what}: the file was written that way"));
        }
    }

    /// As a table for people.
    pub fn to_text(&self) -> String {
        let rows = self.readings.iter().map(|scored| {
            let reading = if scored.reading.is_empty() { "as it is".to_owned() } else { scored.reading.clone() };
            let perplexity = scored.perplexity.map_or("-".to_owned(), |p| format!("{p:.2}"));
            vec![reading, perplexity, scored.why.clone().unwrap_or_default()]
        });
        let Self { windows, window, kernel, .. } = self;
        let title = format!("perplexity of {windows} windows of {window} tokens of the built-in text, kernel {kernel}");
        let mut lines = vec![format!("{title}\n{}", table(&["reading", "perplexity", ""], &[1], rows))];
        lines.extend(self.alike.iter().map(|alike| format!("alike: {alike}")));
        lines.extend(self.findings.iter().map(|finding| format!("finding: {finding}")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::gguf::I2sLayout;

    fn judged(perplexities: [Option<f64>; 3]) -> Score {
        let layout = |layout| Reading { i2s: Some(layout), ..Reading::default() };
        let readings = [Reading::default(), layout(I2sLayout::Arm), Reading { reciprocal: true, ..Reading::default() }];
        let scored = |(reading, perplexity): (&Reading, Option<f64>)| Scored {
            reading: reading.to_string(),
            perplexity,
            why: perplexity.is_none().then(|| "refused".to_owned()),
        };
        let mut score = Score {
            readings: readings.iter().zip(perplexities).map(scored).collect(),
            kernel: "k".into(),
            windows: 4,
            window: 128,
            vocabulary: 1024,
            findings: Vec::new(),
            alike: Vec::new(),
        };
        score.judge(&readings);
        score
    }

    #[test]
    fn readings_are_judged_against_the_one_in_force() {
        let right = judged([Some(17.6), Some(4828.0), Some(22.8)]);
        assert!(right.findings.is_empty() && right.alike.is_empty());
        let layout = judged([Some(2070.0), Some(17.6), Some(3000.0)]);
        assert!(layout.findings[0].contains("worse than guessing"), "{:?}", layout.findings);
        assert!(
            layout.findings[1].starts_with("read with --i2s-layout arm its perplexity is 17.60"),
            "{:?}",
            layout.findings
        );
        let reciprocal = judged([Some(22.8), Some(4000.0), Some(17.6)]);
        assert!(reciprocal.findings[0].contains("scale=reciprocal") && reciprocal.findings.len() == 1);
        let alike = judged([Some(20.0), None, Some(20.1)]);
        assert!(alike.findings.is_empty() && alike.alike[0].contains("score alike (20.00, 20.10)"));
        assert!(judged([None, Some(20.0), None]).findings[0].ends_with("refused"));
        assert!(alike.to_text().contains("refused"));
    }
}
