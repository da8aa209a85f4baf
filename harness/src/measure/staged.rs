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

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::{CodeTable, CpuFeatures, HeadFormat, Kernel, registry};
    use model::builtin;
    use model::generate::{Request, Session};
    use model::kernel_weights::KernelWeights;
    use model::loading::Loading;
    use model::sampler::Sampling;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn a_text_of_two_stages_is_that_of_one_and_waiting_is_in_no_rate() {
        let mut loading = Loading::alone();
        let model = Model::load(builtin::open().expect("built in"), None, &mut loading).expect("valid");
        let kernel = Kernel::new(registry::find("scalar-i8").expect("there"), CpuFeatures::NONE).expect("everywhere");
        let layout = kernel.descriptor().layout;
        let there = Arc::new(model.weights_in_place(&mut loading).expect("an I2_S file"));
        let packed = Arc::new(model.weights(layout, CodeTable::TERNARY, &mut loading).expect("packs"));
        let head = model.head(HeadFormat::F16, CpuFeatures::NONE, &mut loading.team).expect("finite");
        let decoder = |weights: &Arc<_>| {
            let weights = KernelWeights::new(kernel, Arc::clone(weights)).expect("reads them");
            Decoder::of(&model, weights, Arc::new(head.clone().into())).context(32).build().expect("fits")
        };
        let request = |max_tokens| Request {
            prompt: vec![836, 27, 5],
            max_tokens,
            sampling: Sampling::Greedy,
            stop_ids: Vec::new(),
            stop_at_eos: false,
            stop_strings: Vec::new(),
            timeout: None,
        };
        let text = |sequence: &mut Staged<'_, '_>, max_tokens| {
            Session::new(sequence, request(max_tokens)).expect("valid").run(&NEVER, &mut |_| {})
        };
        let one = text(&mut Staged::whole(decoder(&packed)), 9).expect("runs");
        assert!(one.aside.is_zero());
        let waited = Duration::from_millis(20);
        let mut staged = Staged::new(decoder(&there), 3, || {
            std::thread::sleep(waited);
            Ok(decoder(&packed))
        });
        // The first token needs no second decoder.
        let first = text(&mut staged, 1).expect("runs");
        assert_eq!((first.token_ids[..].to_vec(), first.aside), (one.token_ids[..1].to_vec(), Duration::ZERO));
        let begun = Instant::now();
        let both = text(&mut staged, 9).expect("runs");
        let all = begun.elapsed();
        assert_eq!(both.token_ids, one.token_ids);
        assert!(both.aside >= waited && both.prefill + both.decode + both.aside <= all);
        let again = text(&mut staged, 9).expect("runs");
        assert_eq!((again.token_ids, again.aside), (one.token_ids, Duration::ZERO), "the second decoder is there");

        let refused = || Err(Error::unsupported("no kernel for it"));
        let mut staged = Staged::new(decoder(&there), 3, refused);
        let failed = text(&mut staged, 9).expect_err("nothing takes over");
        let failure = staged.failure(failed);
        assert_eq!((failure.exit() as i32, failure.to_string()), (5, "no kernel for it".into()));
    }
}
