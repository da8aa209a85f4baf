//! Generated texts as records.

use super::records;
use super::rounds::ThreadUsage;
use crate::error::{Error, Result};
use kernels::Family;
use model::decoder::Decoder;
use model::generate::{Generation, Request, Session};
use model::known::Golden;
use model::sampler::Sampling;
use model::stop::StopReason;
use receipt::judge::medians;
use receipt::{ForwardMs, GenerationKernel, GenerationRound, GoldenCheck, PhasesMs};
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Known answers are compared up to the first token whose lead over the next is at most this: there rounding alone may
/// decide (measured by changing the oracle's precision).
pub const SAFE_MARGIN: f32 = 0.1;

/// The longest prompt, in ids, whose known answer a kernel of float activations is asked for.
const LONGEST_FOR_FLOATS: usize = 65;

/// The known answers that a kernel of this family is asked for. Kernels of float activations leave the longest out: a
/// prompt of 512 ids takes the slowest of them 1.3 s, those of int8 activations 0.05 s, and on the two longest prompts
/// alone they would spend twice the time of all the others. What these add to one of 65 ids are later positions and
/// more batches, and the code for those is the same for all kernels.
pub fn asked_of(family: Family, goldens: &[Golden]) -> impl Iterator<Item = &Golden> {
    goldens.iter().filter(move |golden| family != Family::W2A32 || golden.prompt_ids.len() <= LONGEST_FOR_FLOATS)
}

/// A generated text without its times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    pub token_ids: Vec<u32>,
    pub text: String,
    pub stop_reason: StopReason,
}

impl Said {
    /// Whether the text was cut short, by a time limit or the user.
    pub fn cut_off(&self) -> bool {
        matches!(self.stop_reason, StopReason::Timeout | StopReason::Interrupted)
    }
}

/// Whose texts are summarised.
pub struct Speaker {
    /// Id of the kernel.
    pub kernel: String,
    pub family: receipt::Family,
    pub bytes_per_token: u64,
}

/// The record of one generated text: its times, its round, and its place in the round's order.
pub fn as_round(round: usize, position: usize, out: &Generation, used: ThreadUsage) -> GenerationRound {
    let ns = |time: Duration| time.as_nanos() as u64;
    GenerationRound {
        round,
        position,
        prefill_ns: ns(out.prefill),
        time_to_first_token_ns: out.first_token.map_or(0, ns),
        decode_ns: ns(out.decode),
        decode_tokens: out.decode_tokens,
        prefill_tokens: Some(out.prefill_tokens),
        decode_times_ns: Some(records::decode_times_ns(&out.decode_times)),
        cpu_ns: used.cpu_ns,
        involuntary_switches: used.involuntary_switches as u32,
    }
}

/// Medians over a kernel's generated texts. `None` without a round.
pub fn summarize(speaker: Speaker, runs: Vec<(GenerationRound, Said)>) -> Option<GenerationKernel> {
    let first = &runs.first()?.1;
    // A time limit or the user may cut a round short; compare as far as both go.
    let agrees = |out: &Said| out.token_ids.iter().zip(&first.token_ids).all(|(a, b)| a == b);
    let same_in_rounds = runs.iter().all(|(_, out)| agrees(out));
    let mut record = GenerationKernel {
        kernel: speaker.kernel,
        family: speaker.family,
        token_ids: first.token_ids.clone(),
        text: first.text.clone(),
        stop_reason: reason(first),
        ids_equal_baseline: true,
        ids_equal_in_rounds: Some(same_in_rounds),
        bytes_per_token: speaker.bytes_per_token,
        prefill_tokens_per_s: 0.0,
        decode_tokens_per_s: 0.0,
        time_to_first_token_ms: 0.0,
        decode_vs_baseline: None,
        phases_ms_per_token: PhasesMs::default(),
        forward_ms_per_token: ForwardMs::default(),
        sparse_ffn: None,
        prefill: None,
        goldens: Vec::new(),
        rounds: runs.into_iter().map(|(round, _)| round).collect(),
    };
    // Each round says how much of the prompt it went through.
    medians::summarize(&mut record, 0);
    Some(record)
}

/// Checks that a kernel generates the same ids in every round, as far as a round that was cut short goes.
pub fn same_ids(kernel: &str, round: usize, first: Option<&Said>, out: &Said) -> Result<()> {
    let both = first.map_or(0, |first| first.token_ids.len().min(out.token_ids.len()));
    match first.and_then(|first| (0..both).find(|&i| first.token_ids[i] != out.token_ids[i])) {
        Some(i) => Err(Error::failed(format!("{kernel} generates another id {i} in round {round} than in its first"))),
        None => Ok(()),
    }
}

fn reason(out: &Said) -> String {
    // A unit variant serialises to a string.
    serde_json::to_value(out.stop_reason).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Generates a known answer and compares it up to the first token that rounding may decide.
pub fn check_golden(decoder: &mut Decoder<'_>, golden: &Golden, interrupted: &AtomicBool) -> Result<GoldenCheck> {
    let mut request = greedy(golden.prompt_ids.clone(), golden.token_ids.len(), None, Vec::new());
    request.stop_at_eos = false;
    Ok(held(golden, Session::new(decoder, request)?.run(interrupted, &mut |_| {})?.token_ids))
}

/// Compares ids with a known answer up to the first token that rounding may decide.
pub fn held(golden: &Golden, got: Vec<u32>) -> GoldenCheck {
    let unsafe_step = golden.margins.iter().flatten().position(|margin| *margin <= SAFE_MARGIN);
    let compared = unsafe_step.unwrap_or(golden.token_ids.len());
    GoldenCheck {
        prompt: golden.prompt.clone(),
        passed: got.len() >= compared && got[..compared] == golden.token_ids[..compared],
        expected: golden.token_ids.clone(),
        got,
        compared,
    }
}

/// A greedy request that stops where the model ends its text.
pub fn greedy(prompt: Vec<u32>, max_tokens: usize, timeout: Option<Duration>, stop_ids: Vec<u32>) -> Request {
    let sampling = Sampling::Greedy;
    Request { prompt, max_tokens, sampling, stop_ids, stop_at_eos: true, stop_strings: Vec::new(), timeout }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::known::KnownModel;

    #[test]
    fn floats_are_spared_the_longest_prompts_alone() {
        let known = KnownModel::find(&model::hash::sha256_hex(model::builtin::bytes())).expect("sound").expect("known");
        let lengths =
            |family| asked_of(family, &known.goldens).map(|golden| golden.prompt_ids.len()).collect::<Vec<usize>>();
        assert_eq!(lengths(Family::W2A32), [2, 11, 7, 1, 63, 64, 65]);
        assert_eq!(lengths(Family::W2A8), [2, 11, 7, 1, 63, 64, 65, 128, 512]);
        assert_eq!(lengths(Family::W2gA8), lengths(Family::W2A8));
    }
}
