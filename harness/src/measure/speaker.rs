//! A kernel of a library that generates whole texts: its process has the model, and this one the clock.

use super::bench::Bench;
use super::generation::{Said, Speaker, asked_of, held, same_ids, summarize};
use crate::error::{Error, Result};
use crate::guests::{Failed, Guests, Process, excuse};
use crate::load_model::Head;
use crate::operation;
use crate::worker::composition::{JobComposition, JobVoice};
use kernels::Family;
use model::known::Golden;
use receipt::{GenerationKernel, GenerationRound, RowStatus, WithoutTime};
use std::cell::RefCell;

/// What is the same for all who generate texts of a model.
pub struct Hall<'a> {
    model: &'a str,
    head: Head,
    /// Tokens of prompt and answer.
    room: usize,
}

impl<'a> Hall<'a> {
    /// The model and head of a bench.
    pub fn of(bench: &Bench<'a>, room: usize) -> Self {
        Self { model: &bench.loaded.record.path, head: bench.head.unwrap_or(Head::F16), room }
    }
}

/// A library's kernel with its process, in which the model is loaded.
pub struct Foreign {
    index: usize,
    pub id: String,
    pub family: Family,
    pub process: RefCell<Process>,
    /// How its decoders are made.
    pub job: JobVoice,
    pub bytes_per_token: u64,
    pub runs: Vec<(GenerationRound, Said)>,
}

/// A kernel with the model loaded in its process; none if that fails: then it has no time.
pub fn begin(
    guests: &Guests,
    index: usize,
    hall: &Hall<'_>,
    without_time: &mut Vec<WithoutTime>,
) -> Result<Option<Foreign>> {
    let (id, family) = (guests.record(index).id.clone(), guests.family(index));
    let job = JobVoice { kernel: id.clone(), model: hall.model.into(), head: hall.head, context: hall.room };
    let begun = guests.fresh(index).and_then(|mut process| process.voice(&job).map(|voiced| (process, voiced)));
    let begun = excuse(&id, begun, without_time)?;
    Ok(begun.map(|(process, voiced)| {
        let (process, bytes_per_token, runs) = (RefCell::new(process), voiced.bytes_per_token, Vec::new());
        Foreign { index, id, family, process, job, bytes_per_token, runs }
    }))
}

impl Foreign {
    /// A new process with the model: what a kernel remembers of an earlier text is no speed of it.
    pub fn renew(&self, guests: &Guests) -> std::result::Result<(), Failed> {
        let mut process = guests.fresh(self.index)?;
        process.voice(&self.job)?;
        *self.process.borrow_mut() = process;
        Ok(())
    }

    /// Generates the text once more. The time is taken here, from outside.
    pub fn say(&mut self, round: usize, position: usize, job: &JobComposition) -> std::result::Result<(), Failed> {
        let (composed, [prefill, decode]) = self.process.borrow_mut().compose(job)?;
        let first = self.runs.first().map(|(_, first)| first);
        let wrong = |error: Error| Failed::Row { status: RowStatus::Wrong, why: error.to_string() };
        same_ids(&self.id, round, first, &composed.said).map_err(wrong)?;
        let record = GenerationRound {
            round,
            position,
            prefill_ns: prefill.as_nanos() as u64,
            // What comes after the prompt's logits is one pick.
            time_to_first_token_ns: prefill.as_nanos() as u64,
            decode_ns: decode.as_nanos() as u64,
            decode_tokens: composed.decode_tokens,
            prefill_tokens: Some(composed.prefill_tokens),
            decode_times_ns: Some(composed.times),
            cpu_ns: composed.cpu_ns,
            involuntary_switches: composed.involuntary_switches as u32,
        };
        self.runs.push((record, composed.said));
        Ok(())
    }

    /// What it did, and whether it gives the known answers, which were made with the f16 head.
    pub fn record(&mut self, goldens: &[Golden]) -> std::result::Result<Option<GenerationKernel>, Failed> {
        let runs = std::mem::take(&mut self.runs);
        let (family, bytes_per_token) = (operation::family(self.family), self.bytes_per_token);
        let Some(mut record) = summarize(Speaker { kernel: self.id.clone(), family, bytes_per_token }, runs) else {
            return Ok(None);
        };
        let process = self.process.get_mut();
        if !goldens.is_empty() {
            process.voice(&JobVoice { head: Head::F16, ..self.job.clone() })?;
        }
        for golden in asked_of(self.family, goldens) {
            let (prompt, max_tokens) = (golden.prompt_ids.clone(), golden.token_ids.len());
            let job = JobComposition { prompt, max_tokens, stop_ids: Vec::new(), stop_at_eos: false, timeout_s: None };
            let (composed, _) = process.compose(&job)?;
            record.goldens.push(held(golden, composed.said.token_ids));
        }
        Ok(Some(record))
    }
}
