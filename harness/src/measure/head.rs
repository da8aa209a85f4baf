//! What a quantised output head does to perplexity: both heads on the same hidden states, so that nothing else differs.

use super::bench::Bench;
use crate::error::Result;
use crate::output::note;
use crate::progress::Progress;
use kernels::{CodeTable, HeadFormat, Kernel};
use model::builtin;
use model::head::Head;
use model::perplexity::{Score, Text, score_heads};
use receipt::HeadEffect;

/// Length of the text that is scored: long enough to see the effect, short enough not to delay a run.
const WINDOW: usize = 128;
const WINDOWS: usize = 2;

/// The effect of a quantised head on perplexity, from the scores of the same tokens with the f16 head and with `own`.
pub fn effect(f16: (&Head, Score), own: (&Head, Score), window: usize, text: &str) -> HeadEffect {
    let (f16_nats, own_nats) = (f16.1.nats_per_token, own.1.nats_per_token);
    HeadEffect {
        head: own.0.id().into(),
        f16_head: f16.0.id().into(),
        nats_per_token: own_nats,
        f16_nats_per_token: f16_nats,
        perplexity: own_nats.exp(),
        f16_perplexity: f16_nats.exp(),
        perplexity_change_percent: 100.0 * (own_nats - f16_nats).exp_m1(),
        tokens: own.1.tokens,
        window,
        text: text.into(),
    }
}

/// Measures how the bench's head changes perplexity and prints it on stderr. `None` for one that is
/// not quantised, and for synthetic models.
pub fn announce(bench: &mut Bench<'_>, kernel: Kernel) -> Result<Option<HeadEffect>> {
    let Some(format) = bench.quantised_head() else { return Ok(None) };
    if bench.loaded.record.synthetic {
        let why = "the model is synthetic, text means nothing to it";
        note(format!("head: {} changes the logits; by how much was not measured: {why}", format.name()));
        return Ok(None);
    }
    let (model, own) = (bench.model(), bench.head_as(format)?);
    let tokens = model.tokenizer.encode(builtin::held_out_text(), None)?;
    let text = Text { tokens: &tokens, window: WINDOW.min(model.config.context), max_windows: WINDOWS };
    let heads = [bench.head_as(HeadFormat::F16)?, own];
    let mut decoder = bench.decoder(kernel, CodeTable::TERNARY)?.context(text.window).build()?;
    let progress = Progress::start(format!("measuring what the {} head does to perplexity", format.name()), 100);
    let scores = score_heads(&mut decoder, &heads, text, bench.stop, |done, total| {
        progress.set((done * 100 / total.max(1)) as u64);
    })?;
    drop(progress);
    let [f16_score, own_score] = scores;
    let effect = effect((&heads[0], f16_score), (&heads[1], own_score), text.window, "built-in held-out text");
    note(format!("head: the logits are not those of the file: {}", effect.says()));
    Ok(Some(effect))
}
