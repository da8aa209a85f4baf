//! What computes a sequence of tokens, wherever: the decoder of this CPU, or whoever drives a device.

use crate::decoder::Decoder;
use crate::error::Result;
use crate::times::Times;
use crate::weights::Model;
use std::time::Duration;

/// One sequence: tokens go in, what may follow comes out.
pub trait Sequence {
    /// The model that computes it.
    fn model(&self) -> &Model;

    /// Starts a new sequence and sets the times to 0.
    fn reset(&mut self);

    /// Most tokens of a [`Self::forward`].
    fn batch(&self) -> usize;

    /// Appends tokens, 1 to [`Self::batch`].
    ///
    /// # Errors
    /// More tokens than there is room for, ids outside the vocabulary, and what computing them comes to.
    fn forward(&mut self, tokens: &[u32]) -> Result<()>;

    /// Sees to it that what follows the last token is computed.
    ///
    /// # Errors
    /// As [`Self::forward`].
    fn predict(&mut self) -> Result<()>;

    /// The logits behind the last token, after [`Self::predict`]: one f32 for each entry of the vocabulary.
    ///
    /// # Errors
    /// As [`Self::forward`].
    fn predicted(&mut self) -> Result<&[f32]>;

    /// The logits behind token `token` (from 0) of the last [`Self::forward`].
    ///
    /// # Errors
    /// As [`Self::forward`].
    fn logits_behind(&mut self, token: usize) -> Result<&[f32]>;

    /// The likeliest token behind the last one, of equal ones the lowest id, where it is computed without its logits
    /// coming here; none where they have to be looked at.
    ///
    /// # Errors
    /// As [`Self::forward`].
    fn likeliest(&mut self) -> Result<Option<u32>> {
        Ok(None)
    }

    /// Times since the last [`Self::reset`], as far as they are known.
    fn times(&mut self) -> &mut Times;

    /// Time since the last [`Self::reset`] in which [`Self::forward`] got ready for tokens to come: it is no token's.
    fn aside(&self) -> Duration {
        Duration::ZERO
    }
}

impl Sequence for Decoder<'_> {
    fn model(&self) -> &Model {
        Decoder::model(self)
    }

    fn reset(&mut self) {
        Decoder::reset(self);
    }

    fn batch(&self) -> usize {
        Decoder::batch(self)
    }

    fn forward(&mut self, tokens: &[u32]) -> Result<()> {
        Decoder::forward(self, tokens)
    }

    fn predict(&mut self) -> Result<()> {
        self.logits().map(|_| ())
    }

    fn predicted(&mut self) -> Result<&[f32]> {
        Ok(self.last_logits())
    }

    fn logits_behind(&mut self, token: usize) -> Result<&[f32]> {
        self.logits_of(token)
    }

    fn times(&mut self) -> &mut Times {
        &mut self.times
    }
}
