//! Whole texts with a kernel of a library: ids come in, ids go out. Calls are looked at after a text, not after each.

use super::look;
use crate::choose::chooser::Chooser;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::load_model;
use crate::machine::Machine;
use crate::measure::bench::{no_ternary_head, packed, ternary_head};
use crate::measure::generation::{Said, greedy};
use crate::measure::own_threads::Busy;
use crate::measure::plays::{feed_block, feed_prompt};
use crate::measure::records::decode_times_ns;
use crate::measure::rounds::ThreadUsage;
use crate::worker::composition::{Composed, JobComposition, JobScore, JobTurn, JobVoice, Scored, Turned, Voiced};
use kernels::foreign;
use kernels::{CodeTable, F32Ops, Kernel};
use model::decoder::Decoder;
use model::generate::{Request, Session};
use model::head::{Head, TernaryHead};
use model::kernel_weights::KernelWeights;
use model::perplexity::{self, Text};
use model::weights::{Model, Weights};
use std::sync::Arc;
use std::time::Duration;

/// A model in this process, packed for one kernel, and a decoder.
pub struct Voice {
    job: JobVoice,
    model: &'static Model,
    weights: Arc<Weights>,
    heads: Vec<(load_model::Head, Arc<Head>)>,
    ops: F32Ops,
    threads: usize,
    decoder: Decoder<'static>,
}

impl Voice {
    /// Loads the model and packs it, or takes both over from `before`; the decoder is a new one.
    pub fn new(job: JobVoice, kernel: Kernel, machine: &Machine, before: Option<Self>) -> Result<(Self, Voiced)> {
        let same = |before: &Self| before.job.model == job.model && before.job.kernel == job.kernel;
        let (model, weights, mut heads, ops) = match before.filter(same) {
            Some(Self { model, weights, heads, ops, .. }) => (model, weights, heads, ops),
            None => {
                // For ever: there is one model in a process, and decoders borrow it.
                let model: &'static Model = Box::leak(Box::new(load_model::load(&job.model, None, machine)?.model));
                let layout = kernel.descriptor().layout;
                let weights = Arc::new(packed(model, machine, layout, CodeTable::TERNARY)?);
                (model, weights, Vec::new(), Chooser::new(model, machine).ops()?)
            }
        };
        let head = head_as(job.head, (model, kernel), machine, &mut heads)?;
        let decoder = Decoder::of(model, KernelWeights::new(kernel, Arc::clone(&weights))?, head);
        let decoder = decoder.team(machine.team()?).features(machine.features).ops(ops).context(job.context).build()?;
        let voiced = Voiced { bytes_per_token: decoder.bytes_per_token() };
        Ok((Self { job, model, weights, heads, ops, threads: machine.threads, decoder }, voiced))
    }

    /// Generates a text; `prompted` is called when the logits behind the prompt are there.
    pub fn compose(&mut self, job: JobComposition, prompted: impl FnOnce()) -> Result<Composed> {
        let JobComposition { prompt, max_tokens, stop_ids, stop_at_eos, timeout_s } = job;
        let timeout = timeout_s.map(Duration::from_secs_f64);
        let request = Request { stop_at_eos, ..greedy(prompt, max_tokens, timeout, stop_ids) };
        let mut session = Session::new(&mut self.decoder, request)?;
        session.when_prompted(prompted);
        let (out, used) = in_text(self.threads, || {
            let before = ThreadUsage::now();
            let out = session.run(interrupt::flag(), &mut |_| {})?;
            Ok((out, ThreadUsage::now().since(before)))
        })?;
        Ok(Composed {
            prefill_tokens: out.prefill_tokens,
            decode_tokens: out.decode_tokens,
            times: decode_times_ns(&out.decode_times),
            said: Said { token_ids: out.token_ids, text: out.text, stop_reason: out.stop_reason },
            cpu_ns: used.cpu_ns,
            involuntary_switches: used.involuntary_switches,
        })
    }

    /// Feeds ids, and says what came out and what it took.
    pub fn turn(&mut self, job: &JobTurn) -> Result<Turned> {
        let JobTurn { ids, prompt, settling } = job;
        in_text(self.threads, || match prompt {
            true => feed_prompt(&mut self.decoder, ids),
            false => feed_block(&mut self.decoder, ids, *settling),
        })
    }

    /// Scores a text with the same head.
    pub fn score(&mut self, job: &JobScore) -> Result<Scored> {
        let text = Text { tokens: &job.tokens, window: job.window, max_windows: job.windows };
        let score =
            in_text(self.threads, || Ok(perplexity::score(&mut self.decoder, text, interrupt::flag(), |_, _| {})?))?;
        let nats_per_token = Some(score.nats_per_token).filter(|nats| nats.is_finite());
        Ok(Scored { tokens: score.tokens, nats_per_token })
    }
}

/// The head that is asked for, chosen as for this program's own kernels.
fn head_as(
    asked: load_model::Head,
    (model, kernel): (&'static Model, Kernel),
    machine: &Machine,
    heads: &mut Vec<(load_model::Head, Arc<Head>)>,
) -> Result<Arc<Head>> {
    if let Some((_, head)) = heads.iter().find(|(of, _)| *of == asked) {
        return Ok(Arc::clone(head));
    }
    let head = match asked.rows() {
        Some(format) => {
            let head = model.head(format, machine.features, &mut machine.team()?)?;
            Head::from(Chooser::new(model, machine).head(head)?)
        }
        None => {
            let packed = ternary_head(model, machine, kernel)?.map_err(|why| no_ternary_head(model, &why))?;
            Head::from(TernaryHead::new(kernel, Arc::new(packed)))
        }
    };
    let head = Arc::new(head);
    heads.push((asked, Arc::clone(&head)));
    Ok(head)
}

/// Runs a text, and looks at what its calls left behind, and at whether these threads made them.
fn in_text<R>(threads: usize, text: impl FnOnce() -> Result<R>) -> Result<R> {
    let mut busy = Busy::default();
    foreign::in_series(true);
    let made = busy.over(text);
    foreign::in_series(false);
    match (made, look::look().or_else(|| busy.too_many(threads))) {
        (Ok(_), Some(left)) => Err(Error::failed(format!("{left} while it generates"))),
        (made, _) => made,
    }
}
