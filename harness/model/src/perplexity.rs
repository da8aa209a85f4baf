//! Perplexity over non-overlapping windows, each from an empty cache: every position predicts the next token.

use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::sequence::Sequence;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How well a model predicts a text: the mean negative log-likelihood of its tokens.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// Mean negative log-likelihood in nats a token; its exp is the perplexity.
    pub nats_per_token: f64,
    /// Number of tokens that were predicted.
    pub tokens: usize,
}

/// The text to score, as token ids, cut into windows.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Token ids of the whole text.
    pub tokens: &'a [u32],
    /// Number of input tokens in each window.
    pub window: usize,
    /// Largest number of windows; tokens after the last whole window are left out, as in the golden rule.
    pub max_windows: usize,
}

/// Measures how well a model predicts a text. `progress` gets (windows done, windows). The sequence needs room for one
/// window.
pub fn score<S: Sequence>(
    sequence: &mut S,
    text: Text<'_>,
    interrupted: &AtomicBool,
    progress: impl FnMut(usize, usize),
) -> Result<Score> {
    let mut nats = 0.0;
    let tokens = each_token((sequence, text), interrupted, progress, |sequence, token, target| {
        nats += nats_of(sequence.logits_behind(token)?, target)?;
        Ok(())
    })?;
    Ok(Score { nats_per_token: nats / tokens as f64, tokens })
}

/// Scores a text with several output heads on the same hidden states, as [`score`] does with one: the model runs once.
pub fn score_heads<const HEADS: usize>(
    decoder: &mut Decoder<'_>,
    heads: &[Arc<Head>; HEADS],
    text: Text<'_>,
    interrupted: &AtomicBool,
    progress: impl FnMut(usize, usize),
) -> Result<[Score; HEADS]> {
    let mut nats = [0.0; HEADS];
    let tokens = each_token((decoder, text), interrupted, progress, |decoder, token, target| {
        for (nats, head) in nats.iter_mut().zip(heads) {
            *nats += nats_of(decoder.logits_with(head, token)?, target)?;
        }
        Ok(())
    })?;
    Ok(nats.map(|nats| Score { nats_per_token: nats / tokens as f64, tokens }))
}

/// Runs the windows of a text; `each` is called for every token of a batch, with its place there and the one that
/// follows it. Returns how many there were.
fn each_token<S: Sequence>(
    (sequence, Text { tokens, window, max_windows }): (&mut S, Text<'_>),
    interrupted: &AtomicBool,
    mut progress: impl FnMut(usize, usize),
    mut each: impl FnMut(&mut S, usize, u32) -> Result<()>,
) -> Result<usize> {
    let windows = tokens.len().saturating_sub(1) / window.max(1);
    let windows = windows.min(max_windows);
    if windows == 0 || window == 0 {
        return Err(Error::input(format!(
            "a window of {window} needs {} tokens and the text has {}; use a shorter --window or a longer text",
            window + 1,
            tokens.len()
        )));
    }
    for (done, start) in (0..windows).map(|w| w * window).enumerate() {
        progress(done, windows);
        if interrupted.load(Ordering::Relaxed) {
            return Err(Error::interrupted(format!("interrupted after {done} of {windows} windows")));
        }
        sequence.reset();
        let (inputs, targets) = (&tokens[start..start + window], &tokens[start + 1..start + window + 1]);
        let batch = sequence.batch();
        for (inputs, targets) in inputs.chunks(batch).zip(targets.chunks(batch)) {
            sequence.forward(inputs)?;
            targets.iter().enumerate().try_for_each(|(t, &target)| each(sequence, t, target))?;
        }
    }
    progress(windows, windows);
    Ok(windows * window)
}

/// Negative log of the softmax at `target`, in f64.
pub(crate) fn nats_of(logits: &[f32], target: u32) -> Result<f64> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&l| (f64::from(l) - largest).exp()).sum();
    let at = logits.get(target as usize).copied().map(f64::from);
    match at.map(|at| largest + sum.ln() - at) {
        Some(nats) if nats.is_finite() => Ok(nats),
        Some(_) => {
            Err(Error::failed("the logits are not finite: the weights or the code table are wrong for this model"))
        }
        None => Err(Error::failed(format!("token {target} is outside the vocabulary of {}", logits.len()))),
    }
}
