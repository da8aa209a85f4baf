//! A sequence in two stages: a decoder that can begin at once computes the prompt, and the first token comes; then the
//! one that is faster takes over, whose weights take time to pack. All bits are the same: both kernels are exact.

use crate::error::{Error, Result};
use model::Result as Computed;
use model::decoder::Decoder;
use model::sequence::Sequence;
use model::times::Times;
use model::weights::Model;
use std::time::{Duration, Instant};

/// Makes the decoder of the second stage.
type Next<'b, 'm> = Box<dyn FnOnce() -> Result<Decoder<'m>> + 'b>;

/// A decoder, and perhaps the one that takes over behind the prompt.
pub struct Staged<'b, 'm> {
    now: Decoder<'m>,
    next: Option<Next<'b, 'm>>,
    /// Tokens that the first stage computes.
    prompt: usize,
    /// Tokens since the last reset.
    tokens: usize,
    /// What making the second decoder took, in this sequence.
    aside: Duration,
    failed: Option<Error>,
}

impl<'b, 'm> Staged<'b, 'm> {
    /// Begins with `first`; what `next` makes takes over behind the first `prompt` tokens.
    pub fn new(first: Decoder<'m>, prompt: usize, next: impl FnOnce() -> Result<Decoder<'m>> + 'b) -> Self {
        Self { next: Some(Box::new(next)), prompt, ..Self::whole(first) }
    }

    /// A decoder that computes all of it.
    pub fn whole(decoder: Decoder<'m>) -> Self {
        Self { now: decoder, next: None, prompt: 0, tokens: 0, aside: Duration::ZERO, failed: None }
    }

    /// The decoder that has come to compute.
    pub fn decoder(&self) -> &Decoder<'m> {
        &self.now
    }

    /// What a failed run of this sequence ended with: the error of making the second decoder, with its exit code, else
    /// that of computing.
    pub fn failure(&mut self, computing: model::Error) -> Error {
        self.failed.take().unwrap_or_else(|| computing.into())
    }

    fn take_over(&mut self) -> Computed<()> {
        let Some(next) = self.next.take() else { return Ok(()) };
        let begun = Instant::now();
        let mut next = next().map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            model::Error::failed(text)
        })?;
        next.take_over(&mut self.now)?;
        self.now = next;
        self.aside = begun.elapsed();
        Ok(())
    }
}

impl Sequence for Staged<'_, '_> {
    fn model(&self) -> &Model {
        self.now.model()
    }

    fn reset(&mut self) {
        self.now.reset();
        (self.tokens, self.aside) = (0, Duration::ZERO);
    }

    fn batch(&self) -> usize {
        self.now.batch()
    }

    fn forward(&mut self, tokens: &[u32]) -> Computed<()> {
        if self.tokens >= self.prompt {
            self.take_over()?;
        }
        self.tokens += tokens.len();
        self.now.forward(tokens)
    }

    fn predict(&mut self) -> Computed<()> {
        self.now.predict()
    }

    fn predicted(&mut self) -> Computed<&[f32]> {
        self.now.predicted()
    }

    fn logits_behind(&mut self, token: usize) -> Computed<&[f32]> {
        self.now.logits_behind(token)
    }

    fn times(&mut self) -> &mut Times {
        Sequence::times(&mut self.now)
    }

    fn aside(&self) -> Duration {
        self.aside
    }
}
