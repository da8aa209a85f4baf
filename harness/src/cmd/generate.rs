//! `generate`: text from a prompt with one kernel.

use crate::choose::decode_kernel::Selection;
use crate::choose::prefill_kernel::PrefillPolicy;
use crate::cmd::model_args::{ModelArgs, ModelUsed, prepare, select};
use crate::error::{Error, Result};
use crate::files::{check_named, write_named};
use crate::load_model::Loaded;
use crate::machine::{Machine, all_cpus};
use crate::measure::bench::{Bench, room, room_for_answer};
use crate::measure::own_threads::process_time;
use crate::measure::ready::{Lengths, begun};
use crate::measure::{head, records};
use crate::output::{Output, note};
use crate::scenario::activations;
use crate::{bitnet_environment, build_info, interrupt, words};
use clap::Args;
use model::generate::{Generation, Request, Session};
use model::sampler::Sampling;
use model::sequence::Sequence;
use model::stop::StopReason;
use receipt::judge::sanity;
use receipt::{
    Activations, Build, Choice, ForwardMs, HeadEffect, KvCacheRecord, PhasesMs, PrefillRecord, SparseFfnRecord,
};
use serde::Serialize;
use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

/// Flags of `generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Prompt
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub prompt: String,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_tokens: usize,
    /// Model and kernel
    #[command(flatten)]
    pub model: ModelArgs,
    /// Kernel for batches of prompt tokens: same (the decoding kernel), an id, or auto to measure. Another packing
    /// needs a second copy of the weights
    #[arg(long, value_parser = words::name, value_name = "same|auto|ID", default_value = "auto")]
    pub prefill_kernel: String,
    /// Always the likeliest token (the default when no sampling flag is given)
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p"])]
    pub greedy: bool,
    /// Sample from softmax(logits / TEMPERATURE); 0 means greedy
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Sample from the K likeliest tokens
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Sample from the smallest set of tokens whose share reaches P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Seed of the sampling
    #[arg(long, env = "BITNET_SEED", default_value_t = 1)]
    pub seed: u64,
    /// Same tokens for any number of threads and any exact kernel: refuse what cannot promise that, and generate twice
    /// to see it (BITNET_DETERMINISTIC=1 too)
    #[arg(long)]
    pub deterministic: bool,
    /// Stop after this many seconds (from the start of the prompt, the model loaded) and keep the text so far
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub timeout_s: Option<f64>,
    /// Stop before this string; may be given several times
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Stop at this token id; may be given several times, or several with commas
    #[arg(long, value_delimiter = ',', value_parser = words::id, value_name = "ID", allow_negative_numbers = true)]
    pub stop_id: Vec<u32>,
    /// Go on past the model's own end token
    #[arg(long)]
    pub ignore_eos: bool,
    /// Add the logits after the prompt to the JSON, as logits_last
    #[arg(long, requires = "json")]
    pub logits: bool,
    /// Write the JSON to this file too
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, requires = "receipt")]
    pub force: bool,
}

#[derive(Serialize)]
struct Report {
    prompt_ids: Vec<u32>,
    token_ids: Vec<u32>,
    text: String,
    stop_reason: StopReason,
    kernel: Selection,
    activations: Activations,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_effect: Option<HeadEffect>,
    kv_cache: KvCacheRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefill_kernel: Option<PrefillRecord>,
    /// What was chosen at the start, and what was measured for it.
    choices: Vec<Choice>,
    threads: usize,
    /// Whether `--deterministic` was asked for; then the check has passed.
    deterministic: bool,
    /// Of the sampling; absent when greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Where it is printed or stored: the hash takes its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelUsed>,
    pre_tokenizer: String,
    time_to_first_token_ms: Option<f64>,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
    /// CPU time of all threads over the prompt; divided by the wall time, how many of them ran. Absent where the system
    /// does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefill_cpu_ms: Option<f64>,
    /// The same from there to the end of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    decode_cpu_ms: Option<f64>,
    /// What packing took where it came after the first token; in no figure of decoding but the CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    packed_after_first_token_ms: Option<f64>,
    phases_ms: PhasesMs,
    forward_ms: ForwardMs,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse_ffn: Option<SparseFfnRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits_last: Option<Vec<f32>>,
    /// Warnings about the text, such as one repeated token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    build: Build,
}

/// What of the flags is checked before a model is opened.
pub struct Asked {
    pub sampling: Sampling,
    pub timeout: Option<Duration>,
    pub deterministic: bool,
}

impl Asked {
    /// Checks the flags.
    pub fn of(args: &GenerateArgs) -> Result<Self> {
        let sampling = sampling(args)?;
        let timeout = match args.timeout_s {
            Some(s) if s.is_finite() && (0.0..1e9).contains(&s) => Some(Duration::from_secs_f64(s)),
            Some(s) => return Err(Error::input(format!("--timeout-s {s} is not a number of seconds from 0 to 1e9"))),
            None => None,
        };
        // Checked before the model runs, not after.
        args.receipt.as_ref().map_or(Ok(()), |path| check_named(path, args.force))?;
        let deterministic = args.deterministic || bitnet_environment::deterministic()?;
        if deterministic && timeout.is_some() {
            let what = "--timeout-s lets the clock decide where the text ends; leave it out";
            return Err(Error::input(format!("--deterministic: {what}")));
        }
        Ok(Self { sampling, timeout, deterministic })
    }
}

/// A model, and a prompt that it has room for.
pub struct Prompted {
    pub machine: Machine,
    pub loaded: Loaded,
    pub prompt: Vec<u32>,
    /// Positions that prompt and answer need.
    pub capacity: usize,
}

impl Prompted {
    /// Loads the model that `model` names, once prompt and flags are known to fit it.
    pub fn of(args: &GenerateArgs, model: &ModelArgs) -> Result<Self> {
        let (mut prompt, mut capacity) = (Vec::new(), 0);
        let (machine, loaded) = prepare(model, |opened| {
            room_for_answer(&opened.config, args.max_tokens)?;
            prompt = opened.tokenizer.encode(&args.prompt, None)?;
            capacity = room(opened.config.context, prompt.len(), args.max_tokens, "--max-tokens")?;
            let last = opened.config.vocab - 1;
            match args.stop_id.iter().find(|id| **id as usize > last) {
                Some(id) => {
                    Err(Error::input(format!("--stop-id {id} is not a token: ids of this model go from 0 to {last}")))
                }
                None => Ok(()),
            }
        })?;
        Ok(Self { machine, loaded, prompt, capacity })
    }
}

/// What is asked of a model, by the flags.
pub fn request(
    args: &GenerateArgs,
    loaded: &Loaded,
    prompt: Vec<u32>,
    (sampling, timeout): (Sampling, Option<Duration>),
) -> Request {
    let known_stops = loaded.known.iter().flat_map(|k| &k.stop_ids).filter(|_| !args.ignore_eos);
    Request {
        prompt,
        max_tokens: args.max_tokens,
        sampling,
        stop_ids: args.stop_id.iter().chain(known_stops).copied().collect(),
        stop_at_eos: !args.ignore_eos,
        stop_strings: args.stop.clone(),
        timeout,
    }
}

/// Runs `generate`.
pub fn run(args: &GenerateArgs, out: &Output) -> Result<()> {
    let Asked { sampling, timeout, deterministic } = Asked::of(args)?;
    let policy = PrefillPolicy::parse(&args.prefill_kernel)?;
    policy.check(&args.model.machine.check(all_cpus())?)?;
    let Prompted { machine, loaded, prompt, capacity } = Prompted::of(args, &args.model)?;
    let mut bench = Bench::new(&loaded, &machine, args.model.head, interrupt::flag()).mapped();
    let selection = select(&args.model, prompt.len(), &mut bench)?;
    if deterministic && !selection.kernel.descriptor().exact() {
        let what = "sums in f32, so its tokens are its own; take an exact kernel (--kernel auto does)";
        return Err(Error::input(format!("--deterministic: {} {what}", selection.kernel.id())));
    }
    let request = request(args, &loaded, prompt.clone(), (sampling, timeout));
    let head_effect = head::announce(&mut bench, selection.kernel)?;
    if matches!(policy, PrefillPolicy::Named(_)) && !selection.kernel.descriptor().exact() {
        let what = "is not exact on int8, so no other kernel gives its results";
        let next = "leave it at same, or decode with an exact one";
        return Err(Error::input(format!("--prefill-kernel: {} {what}; {next}", selection.kernel.id())));
    }
    if let PrefillPolicy::Named(id) = &policy {
        bench.chooser.check_needs(&machine.kernel(id)?)?;
    }
    let lengths = Lengths { prompt: prompt.len(), answer: args.max_tokens, context: capacity };
    let (mut staged, prefill) = begun(&mut bench, selection.kernel, &policy, args.model.dense, lengths)?;
    let again = request.clone();
    let prompted = Cell::new(None);
    let mut session = Session::new(&mut staged, request)?;
    session.when_prompted(|| prompted.set(process_time()));
    if args.logits {
        session.keep_prompt_logits();
    }
    let mut written = Ok(());
    let begun = process_time();
    let generation = session.run(interrupt::flag(), &mut |text| {
        if !args.model.json && written.is_ok() {
            written = out.text(text);
        }
    });
    let generation = generation.map_err(|error| staged.failure(error))?;
    let ended = process_time();
    written?;
    if deterministic {
        repeat(&mut staged, again, &generation)?;
    }
    let decoder = staged.decoder();
    let (head, kv_cache) = (decoder.head().id().into(), KvCacheRecord::f16(decoder.kv_bytes_per_position()));
    let sparse_ffn = decoder.sparse().map(records::sparse_ffn);
    drop(staged);
    // Rows of the head were read where they are mapped.
    loaded.model.gguf.check_unchanged()?;
    // A model that was recognised by its name is confirmed too.
    let stored = args.model.json || args.receipt.is_some() || loaded.known.is_some();
    let record = &loaded.record;
    let warning = sanity::of_text(&generation.token_ids, record.known).filter(|_| !record.synthetic);
    let report = Report {
        prompt_ids: prompt,
        time_to_first_token_ms: generation.first_token.map(|t| t.as_secs_f64() * 1e3),
        prefill_tokens_per_s: generation.prefill_tokens_per_s(),
        decode_tokens_per_s: generation.decode_tokens_per_s(),
        prefill_cpu_ms: cpu_ms(begun, prompted.get()),
        decode_cpu_ms: cpu_ms(prompted.get(), ended),
        packed_after_first_token_ms: (!generation.aside.is_zero()).then_some(generation.aside.as_secs_f64() * 1e3),
        phases_ms: records::phases_ms(&generation.times),
        forward_ms: records::forward_ms(&generation.times),
        token_ids: generation.token_ids,
        text: generation.text,
        stop_reason: generation.stop_reason,
        logits_last: generation.prompt_logits,
        kernel: selection,
        activations: activations(loaded.model.activations),
        head,
        head_effect,
        kv_cache,
        prefill_kernel: prefill,
        choices: bench.chooser.choices().to_vec(),
        threads: machine.threads,
        deterministic,
        seed: (sampling != Sampling::Greedy).then_some(args.seed),
        model: stored.then(|| ModelUsed::of(&loaded)).transpose()?,
        pre_tokenizer: record.pre_tokenizer.clone(),
        sparse_ffn,
        warnings: warning.into_iter().collect(),
        build: build_info::build(),
    };
    let said = Said { summary: summary(&report), warnings: &report.warnings, stop_reason: report.stop_reason };
    let finished = finish(args, out, &report, said);
    // The process ends: a vocabulary's hundreds of thousands of strings need not be freed one by one.
    std::mem::forget(loaded);
    finished
}

/// Generates a text once more: the same request gives the same tokens.
///
/// # Errors
/// At which token it did not.
pub fn repeat(sequence: &mut impl Sequence, request: Request, first: &Generation) -> Result<()> {
    if first.stop_reason == StopReason::Interrupted {
        return Ok(());
    }
    let again = Session::new(sequence, request)?.run(interrupt::flag(), &mut |_| {})?;
    if again.stop_reason == StopReason::Interrupted || again.token_ids == first.token_ids {
        return Ok(());
    }
    let at = again.token_ids.iter().zip(&first.token_ids).take_while(|(a, b)| a == b).count();
    let what = format!("the same request gave another token {at} the second time");
    Err(Error::failed(format!("--deterministic: {what}; run `verify`")))
}

/// What is said of a text beside itself.
pub struct Said<'a> {
    pub summary: String,
    pub warnings: &'a [String],
    pub stop_reason: StopReason,
}

/// Prints and stores what a text's report says.
///
/// # Errors
/// What cannot be written; an interrupted text.
pub fn finish(args: &GenerateArgs, out: &Output, report: &impl Serialize, said: Said<'_>) -> Result<()> {
    // Printed first: a file that cannot be written takes nothing with it.
    if args.model.json {
        out.json(report)?;
    } else {
        out.line("")?;
        note(said.summary);
    }
    said.warnings.iter().for_each(|text| note(format!("warning: {text}")));
    if let Some(path) = &args.receipt {
        let json = serde_json::to_vec_pretty(report).map_err(|e| Error::failed(format!("cannot write JSON: {e}")))?;
        write_named(path, &json, args.force)?;
    }
    match said.stop_reason {
        StopReason::Interrupted => Err(Error::interrupted("interrupted; the text so far is above")),
        _ => Ok(()),
    }
}

/// Milliseconds between two readings of the CPU time.
fn cpu_ms(from: Option<Duration>, to: Option<Duration>) -> Option<f64> {
    Some(to?.saturating_sub(from?).as_secs_f64() * 1e3)
}

fn sampling(args: &GenerateArgs) -> Result<Sampling> {
    let asked = args.temperature.is_some() || args.top_k.is_some() || args.top_p.is_some();
    match args.temperature.unwrap_or(1.0) {
        _ if args.greedy || !asked => Ok(Sampling::Greedy),
        0.0 => Ok(Sampling::Greedy),
        t if !(t.is_finite() && t > 0.0) => {
            Err(Error::input(format!("--temperature {t} must be 0 (greedy) or a number above it")))
        }
        temperature => {
            let (top_k, top_p) = (args.top_k.unwrap_or(0), args.top_p.unwrap_or(1.0));
            Ok(Sampling::Random { temperature, top_k, top_p, seed: args.seed })
        }
    }
}

fn summary(r: &Report) -> String {
    let (tokens, prompt, threads) = (r.token_ids.len(), r.prompt_ids.len(), r.threads);
    let first = r.time_to_first_token_ms.map(|ms| format!("first token after {ms:.1} ms"));
    let first = first.unwrap_or_else(|| "no token".into());
    let reason = serde_json::to_string(&r.stop_reason).unwrap_or_default();
    let prefill = format!("prefill {:.1} tokens/s over {prompt}, {first}", r.prefill_tokens_per_s);
    let packed = r.packed_after_first_token_ms.map(|ms| format!("packed in {ms:.0} ms, "));
    let decode = format!("{}decode {:.1} tokens/s", packed.unwrap_or_default(), r.decode_tokens_per_s);
    format!("{tokens} tokens, stopped by {reason}; {prefill}, {decode}; {threads} thread(s)")
}
