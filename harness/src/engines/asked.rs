//! Everything that an engine is asked of one model, as lines: what `engine request` prints.

use super::oracle::{Continued, Oracle};
use super::process::line;
use super::protocol::Request;
use super::truth::{Questions, longest};
use crate::error::Result;
use crate::load_model::Loaded;
use crate::machine::Machine;
use crate::scenario::Engines;
use model::builtin;

/// Bits of the head that questions are chosen with, and that are asked for where nobody says others.
pub const HEAD_BITS: u32 = 16;

/// The ids that questions are made of: the built-in model's held-out text, by this model's tokenizer.
pub fn ids(loaded: &Loaded) -> Result<Vec<u32>> {
    Ok(loaded.model.tokenizer.encode(builtin::held_out_text(), None)?)
}

/// The questions on these ids, the texts behind their prompts, and the oracle with the head of the file that chose
/// them.
pub fn questions<'m>(
    loaded: &'m Loaded,
    machine: &Machine,
    ids: &[u32],
    asked: &Engines,
) -> Result<(Questions, Vec<Continued>, Oracle<'m>)> {
    let mut oracle = Oracle::new(&loaded.model, machine, HEAD_BITS)?;
    let size = (asked.window, asked.windows);
    let (questions, texts) = Questions::new(ids, loaded.model.ternary_weights(), size, &mut oracle)?;
    Ok((questions, texts, oracle))
}

/// Most ids of a sequence that an engine is given.
pub fn context(loaded: &Loaded, asked: &Engines) -> usize {
    loaded.model.config.context.min(asked.long.max(asked.short + asked.tokens).max(longest()))
}

/// The prompt of the turns, of which the long request has all and the short one the end.
pub fn prompt<'i>(loaded: &Loaded, ids: &'i [u32], asked: &Engines) -> &'i [u32] {
    &ids[..asked.long.min(loaded.model.config.context).min(ids.len())]
}

/// Writes each request in order: the gate, then one turn.
pub fn lines(
    loaded: &Loaded,
    asked: &Engines,
    machine: &Machine,
    mut write: impl FnMut(String) -> Result<()>,
) -> Result<()> {
    let ids = ids(loaded)?;
    let (questions, ..) = questions(loaded, machine, &ids, asked)?;
    let (threads, context) = (machine.threads, context(loaded, asked));
    let model = &loaded.record.path;
    let load = Request::Load { model, threads, head_bits: HEAD_BITS, batch: context, context };
    let prompt = prompt(loaded, &ids, asked);
    let short = &prompt[prompt.len().saturating_sub(asked.short)..];
    let turn = [(short, 1), (short, asked.tokens), (prompt, 1)].map(|(ids, count)| Request::Generate { ids, count });
    let all = [Request::Describe, load].into_iter().chain(questions.requests()).chain(turn).chain([Request::Quit]);
    all.into_iter().try_for_each(|request| write(line(&request)?))
}
