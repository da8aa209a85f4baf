//! Perplexity of the same text with every kernel.

use super::bench::Bench;
use super::speaker::{self, Hall};
use crate::error::Result;
use crate::guests::{Guests, excuse};
use crate::scenario::{self, activations};
use crate::worker::composition::JobScore;
use kernels::{CodeTable, Family, Kernel};
use model::perplexity::{Score, Text};
use model::{builtin, perplexity};
use receipt::{LutFinding, PerplexityKernel, PerplexityRecord, RowStatus, WithoutTime};

/// Perplexity of the built-in held-out text with every kernel and one head, and with the seed's table on the fastest
/// ladder stage (the last). `step` is called before each with (kernel, kernels done).
pub fn perplexity(
    bench: &mut Bench<'_>,
    asked: &scenario::Perplexity,
    kernels: &[Kernel],
    mut step: impl FnMut(&str, usize),
) -> Result<PerplexityRecord> {
    let model = bench.model();
    let tokens = model.tokenizer.encode(builtin::held_out_text(), None)?;
    let text = Text { tokens: &tokens, window: asked.window.min(model.config.context), max_windows: asked.windows };
    let mut record = PerplexityRecord {
        text: "the first tokens of the built-in model's held-out text".into(),
        text_sha256: String::new(),
        tokens: 0,
        window: text.window,
        head: Some(bench.head_id(kernels.first())?.to_owned()),
        activations: activations(model.activations),
        kernels: Vec::new(),
        lut: None,
        without_score: Vec::new(),
    };
    for (done, &kernel) in kernels.iter().enumerate() {
        if bench.stopped() {
            break;
        }
        step(kernel.id(), done);
        let result = score(bench, kernel, CodeTable::TERNARY, text)?;
        record.tokens = result.tokens;
        record.kernels.push(PerplexityKernel {
            kernel: kernel.id().into(),
            nats_per_token: result.nats_per_token,
            perplexity: result.nats_per_token.exp(),
        });
    }
    let scored = model.tokenizer.decode(&tokens[..(record.tokens + 1).min(tokens.len())]);
    record.text_sha256 = model::hash::sha256_hex(scored.as_bytes());
    let stage = kernels.iter().rfind(|k| k.descriptor().family() == Family::W2A32);
    if let (true, false, Some(&stage)) = (asked.seed_table, bench.stopped(), stage) {
        let file = record.kernels.iter().find(|k| k.kernel == stage.id()).map_or(f64::NAN, |k| k.perplexity);
        step(stage.id(), kernels.len());
        // Logits that are not finite are reported as a finding; the run goes on.
        let seed = score(bench, stage, CodeTable::SEED, text).ok().map(|s| s.nats_per_token.exp());
        record.lut = Some(LutFinding {
            kernel: stage.id().into(),
            file_lut: CodeTable::TERNARY.0,
            file_perplexity: file,
            seed_lut: CodeTable::SEED.0,
            seed_perplexity: seed.filter(|p| p.is_finite()),
            uniform_perplexity: model.config.vocab as f64,
        });
    }
    Ok(record)
}

/// The same with the kernels of libraries, each in its process, on the tokens that the record names.
pub fn foreign(
    bench: &Bench<'_>,
    asked: &scenario::Perplexity,
    kernels: &[Kernel],
    guests: &Guests,
    record: &mut PerplexityRecord,
) -> Result<()> {
    let tokens = bench.model().tokenizer.encode(builtin::held_out_text(), None)?;
    let most = record.window.saturating_mul(asked.windows).saturating_add(1).min(tokens.len());
    let job = JobScore { tokens: tokens[..most].to_vec(), window: record.window, windows: asked.windows };
    let hall = Hall::of(bench, record.window);
    for index in guests.to_speak() {
        if bench.stopped() {
            break;
        }
        // One process at a time: each holds the model.
        let begun = speaker::begin(guests, index, &hall, &mut record.without_score)?;
        let Some(mut foreign) = begun else { continue };
        let scored = foreign.process.get_mut().score(&job);
        let Some(scored) = excuse(&foreign.id, scored, &mut record.without_score)? else { continue };
        let (kernel, nats_per_token) = (foreign.id.clone(), scored.nats_per_token.unwrap_or(f64::NAN));
        // Exact kernels of one family compute the same logits, bit for bit.
        let alike = |k: &&Kernel| k.descriptor().exact() && k.descriptor().family() == foreign.family;
        let exact = kernels.iter().find(alike).filter(|_| guests.is_exact(&kernel));
        let ours = exact.and_then(|exact| record.kernels.iter().find(|scored| scored.kernel == exact.id()));
        if let Some(ours) = ours.filter(|ours| ours.nats_per_token.to_bits() != nats_per_token.to_bits()) {
            let why = format!("{nats_per_token} nats a token, {} {}", ours.kernel, ours.nats_per_token);
            record.without_score.push(WithoutTime { kernel, status: RowStatus::Wrong, why });
            continue;
        }
        record.tokens = scored.tokens;
        record.kernels.push(PerplexityKernel { kernel, nats_per_token, perplexity: nats_per_token.exp() });
    }
    Ok(())
}

fn score(bench: &mut Bench<'_>, kernel: Kernel, table: CodeTable, text: Text<'_>) -> Result<Score> {
    let mut decoder = bench.decoder(kernel, table)?.context(text.window).build()?;
    Ok(perplexity::score(&mut decoder, text, bench.stop, |_, _| {})?)
}
