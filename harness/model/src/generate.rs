//! The generation loop: compute the prompt, then pick a token, check the stop rules and compute the next, until one
//! stops it. Nothing is allocated per token.

use crate::error::{Error, Result};
use crate::sampler::{Sampler, Sampling};
use crate::sequence::Sequence;
use crate::stop::{StopReason, StopRules};
use crate::times::{Lap, Times};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What to generate: a prompt, how tokens are picked, and what ends the text.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// Largest number of tokens to generate.
    pub max_tokens: usize,
    /// How each token is picked.
    pub sampling: Sampling,
    /// Token ids that end the text, besides the model's own end tokens.
    pub stop_ids: Vec<u32>,
    /// Whether the model's own end tokens end the text.
    pub stop_at_eos: bool,
    /// Strings that end the text and are cut from it.
    pub stop_strings: Vec<String>,
    /// Wall-clock limit from the start of the prompt; checked before each token and each batch of the prompt,
    /// so it can be passed by the time of one. [`Sequence::aside`] does not count.
    pub timeout: Option<Duration>,
}

/// Generated tokens and text, why they end, and the time they took.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Generated token ids, a stopping token included.
    pub token_ids: Vec<u32>,
    /// Generated text, cut before a stop string.
    pub text: String,
    /// Why generation ended.
    pub stop_reason: StopReason,
    /// Time from the start until the logits after the last prompt token.
    pub prefill: Duration,
    /// Number of prompt tokens that went through the model.
    pub prefill_tokens: usize,
    /// Time from the start to the first picked token, if there was one.
    pub first_token: Option<Duration>,
    /// Time from the end of `prefill` to the end of generation, without [`Self::aside`], 0 if no token was picked.
    pub decode: Duration,
    /// Time in which the sequence got ready for tokens to come, after the first ([`Sequence::aside`]).
    pub aside: Duration,
    /// Number of generated tokens that went through the model within the time `decode`.
    pub decode_tokens: usize,
    /// Time by phase and operation (in nanoseconds), over prompt and decoding.
    pub times: Times,
    /// Time by phase and operation (in nanoseconds), over decoding alone.
    pub decode_times: Times,
    /// Logits after the prompt, if [`Session::keep_prompt_logits`] asked for them.
    pub prompt_logits: Option<Vec<f32>>,
}

impl Generation {
    /// Speed of the prompt: tokens a second.
    pub fn prefill_tokens_per_s(&self) -> f64 {
        rate(self.prefill_tokens, self.prefill)
    }

    /// Speed of decoding: tokens a second, without the first, whose time is the prompt's; 0 when there was only one.
    pub fn decode_tokens_per_s(&self) -> f64 {
        rate(self.decode_tokens, self.decode)
    }
}

/// Speed in tokens a second; 0 for no tokens, or no time.
pub fn rate(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 || time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// One generation that is ready to run. All buffers are made here, so that the loop allocates nothing.
pub struct Session<'d, S> {
    sequence: &'d mut S,
    request: Request,
    sampler: Sampler,
    stops: StopRules,
    ids: Vec<u32>,
    text: Vec<u8>,
    prompt_logits: Option<Vec<f32>>,
    prompted: Option<Box<dyn FnOnce() + 'd>>,
}

impl<'d, S: Sequence> Session<'d, S> {
    /// Prepares one generation: checks the request, resets the sequence and makes all buffers.
    pub fn new(sequence: &'d mut S, request: Request) -> Result<Self> {
        let tokenizer = &sequence.model().tokenizer;
        if request.prompt.is_empty() {
            return Err(Error::input("the prompt has no tokens and the model adds none; give a --prompt with text"));
        }
        let sampler = Sampler::new(request.sampling, sequence.model().config.vocab)?;
        let eos = tokenizer.facts.eos.filter(|_| request.stop_at_eos);
        let own = tokenizer.facts.extra_stop_ids.iter().filter(|_| request.stop_at_eos).copied();
        let stop_ids: Vec<u32> = request.stop_ids.iter().copied().chain(own).collect();
        let stops = StopRules::new(&stop_ids, eos, &request.stop_strings, tokenizer.longest_piece)?;
        let ids = Vec::with_capacity(request.max_tokens);
        let text = Vec::with_capacity(request.max_tokens.saturating_mul(tokenizer.longest_piece).min(1 << 24));
        sequence.reset();
        Ok(Self { sequence, request, sampler, stops, ids, text, prompt_logits: None, prompted: None })
    }

    /// Keeps the logits after the last prompt token, for comparison with goldens.
    pub fn keep_prompt_logits(&mut self) {
        self.prompt_logits = Some(Vec::with_capacity(self.sequence.model().config.vocab));
    }

    /// Calls this once, right after the logits behind the prompt: for those who take the time from outside.
    pub fn when_prompted(&mut self, prompted: impl FnOnce() + 'd) {
        self.prompted = Some(Box::new(prompted));
    }

    /// The next token's id.
    fn pick(&mut self) -> Result<u32> {
        if self.sampler.is_greedy()
            && let Some(id) = self.sequence.likeliest()?
        {
            return Ok(id);
        }
        self.sampler.sample(self.sequence.predicted()?)
    }

    /// Generates until a stop rule ends it. `on_text` gets each piece of text (raw bytes, perhaps part of a character)
    /// once no stop string can take it back.
    pub fn run(mut self, interrupted: &AtomicBool, on_text: &mut dyn FnMut(&[u8])) -> Result<Generation> {
        let start = Instant::now();
        let deadline = self.request.timeout.and_then(|limit| start.checked_add(limit));
        let stopped = |aside: Duration| {
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline + aside);
            let interrupted = interrupted.load(Ordering::Relaxed).then_some(StopReason::Interrupted);
            interrupted.or(late.then_some(StopReason::Timeout))
        };
        let mut prefill_tokens = 0;
        let mut ended = None;
        let batch = self.sequence.batch();
        for tokens in self.request.prompt.chunks(batch) {
            ended = stopped(Duration::ZERO);
            if ended.is_some() {
                break;
            }
            self.sequence.forward(tokens)?;
            prefill_tokens += tokens.len();
        }
        if ended.is_none() {
            self.sequence.predict()?;
            if let Some(kept) = &mut self.prompt_logits {
                kept.extend_from_slice(self.sequence.predicted()?);
            }
        }
        let prefill = start.elapsed();
        if let Some(prompted) = self.prompted.take() {
            prompted();
        }
        let prompt_times = *self.sequence.times();
        let mut first_token = None;
        let mut decode_tokens = 0;
        let mut written = 0;
        if self.request.max_tokens == 0 {
            ended = ended.or(Some(StopReason::MaxTokens));
        }
        let decode_start = Instant::now();
        let stop_reason = loop {
            if let Some(reason) = ended {
                break reason;
            }
            let mut lap = Lap::start();
            let id = self.pick()?;
            lap.add_to(&mut self.sequence.times().sample);
            first_token.get_or_insert_with(|| start.elapsed());
            self.ids.push(id);
            let piece = self.sequence.model().tokenizer.piece(id);
            let stop = self.stops.push(id, piece);
            self.text.extend_from_slice(piece);
            self.text.truncate(stop.map_or(usize::MAX, |stop| stop.text_bytes));
            let settled = if stop.is_some() { self.text.len() } else { self.stops.settled_bytes() };
            if settled > written {
                on_text(&self.text[written..settled]);
                written = settled;
            }
            lap.add_to(&mut self.sequence.times().stop_check);
            if let Some(stop) = stop {
                break stop.reason;
            }
            if self.ids.len() >= self.request.max_tokens {
                break StopReason::MaxTokens;
            }
            ended = stopped(self.sequence.aside());
            if ended.is_none() {
                self.sequence.forward(&[id])?;
                self.sequence.predict()?;
                decode_tokens += 1;
            }
        };
        if written < self.text.len() {
            on_text(&self.text[written..]);
        }
        let aside = self.sequence.aside();
        let decode = if first_token.is_some() { decode_start.elapsed().saturating_sub(aside) } else { Duration::ZERO };
        let times = *self.sequence.times();
        Ok(Generation {
            text: String::from_utf8_lossy(&self.text).into_owned(),
            token_ids: self.ids,
            stop_reason,
            prefill,
            prefill_tokens,
            first_token,
            decode,
            aside,
            decode_tokens,
            times,
            decode_times: times.since(&prompt_times),
            prompt_logits: self.prompt_logits,
        })
    }
}
