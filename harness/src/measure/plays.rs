//! Who takes turns in a text: a decoder in this process, or a kernel of a library in its own.

use super::rounds::timed;
use crate::error::{Error, Result as Checked};
use crate::guests::{Failed, Process};
use crate::worker::composition::{JobTurn, Turned};
use kernels::{Family, Kernel};
use model::decoder::Decoder;
use model::sampler::argmax;
use std::cell::RefCell;
use std::time::Instant;

/// Whose turn it is.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    /// A kernel of this program.
    Ours(Kernel),
    /// A library's kernel: its index, id and family.
    Theirs { index: usize, id: &'a str, family: Family },
}

impl Who<'_> {
    /// Id of the kernel.
    pub fn id(&self) -> &str {
        match self {
            Self::Ours(kernel) => kernel.id(),
            Self::Theirs { id, .. } => id,
        }
    }

    /// Family of the kernel.
    pub fn family(&self) -> Family {
        match self {
            Self::Ours(kernel) => kernel.descriptor().family(),
            Self::Theirs { family, .. } => *family,
        }
    }
}

/// One that takes turns. What it gives is not compared yet.
pub trait Plays {
    /// The whole prompt into an empty decoder, up to the id that comes next; without settling.
    fn prompt(&mut self, prompt: &[u32]) -> Result<Turned, Failed>;

    /// Uses the memory for the first time, which is the system's work.
    fn warm_up(&mut self, prompt: &[u32]) -> Result<(), Failed> {
        self.prompt(prompt).map(|_| ())
    }

    /// Feeds ids one by one, of which the first `settling` are timed apart; gives what comes after each.
    fn block(&mut self, ids: &[u32], settling: usize) -> Result<Turned, Failed>;
}

/// Feeds a decoder as [`Plays`] says, wherever it is.
pub fn feed_prompt(decoder: &mut Decoder<'_>, prompt: &[u32]) -> Checked<Turned> {
    decoder.reset();
    let spent = timed(|| {
        for tokens in prompt.chunks(decoder.batch()) {
            decoder.forward(tokens)?;
        }
        decoder.logits()?;
        Ok::<(), Error>(())
    })?;
    Ok(Turned { ids: vec![argmax(decoder.last_logits())?], settling_ns: 0, spent })
}

/// The same of a block.
pub fn feed_block(decoder: &mut Decoder<'_>, ids: &[u32], settling: usize) -> Checked<Turned> {
    let mut out = Vec::with_capacity(ids.len());
    let mut step = |id: &u32| {
        decoder.forward(&[*id])?;
        out.push(argmax(decoder.logits()?)?);
        Ok::<(), Error>(())
    };
    let (before, block) = ids.split_at(settling.min(ids.len()));
    let start = Instant::now();
    before.iter().try_for_each(&mut step)?;
    let settling_ns = start.elapsed().as_nanos() as u64;
    let spent = timed(|| block.iter().try_for_each(&mut step))?;
    Ok(Turned { ids: out, settling_ns, spent })
}

/// A decoder of this process.
impl Plays for Decoder<'_> {
    fn prompt(&mut self, prompt: &[u32]) -> Result<Turned, Failed> {
        Ok(feed_prompt(self, prompt)?)
    }

    fn block(&mut self, ids: &[u32], settling: usize) -> Result<Turned, Failed> {
        Ok(feed_block(self, ids, settling)?)
    }
}

/// A kernel of a library, in its process, which has just begun.
pub struct Theirs<'p>(pub &'p RefCell<Process>);

impl Plays for Theirs<'_> {
    /// With another prompt: the one that is timed is new to the kernel.
    fn warm_up(&mut self, prompt: &[u32]) -> Result<(), Failed> {
        let backwards: Vec<u32> = prompt.iter().rev().copied().collect();
        self.prompt(&backwards).map(|_| ())
    }

    fn prompt(&mut self, prompt: &[u32]) -> Result<Turned, Failed> {
        self.0.borrow_mut().turn(&JobTurn { ids: prompt.into(), prompt: true, settling: 0 })
    }

    fn block(&mut self, ids: &[u32], settling: usize) -> Result<Turned, Failed> {
        self.0.borrow_mut().turn(&JobTurn { ids: ids.into(), prompt: false, settling })
    }
}
