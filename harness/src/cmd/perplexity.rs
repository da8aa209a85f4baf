//! `perplexity`: nats a token over non-overlapping windows.

use super::model_args::{ModelArgs, ModelUsed, prepare, select};
use crate::choose::decode_kernel::Selection;
use crate::choose::skipping::{self, skipping};
use crate::error::{Error, Result};
use crate::files::read_limited;
use crate::interrupt;
use crate::load_model::Loaded;
use crate::machine::Machine;
use crate::measure::bench::Bench;
use crate::measure::{head, records};
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::scenario::activations;
use clap::{Args, ValueEnum};
use kernels::{CodeTable, Family, HeadFormat};
use model::builtin;
use model::perplexity::{Text, score, score_heads};
use model::sparse_ffn::Sparsity;
use receipt::judge::sanity;
use receipt::{Activations, HeadEffect};
use serde::Serialize;
use std::path::PathBuf;

/// Flags of `perplexity`.
#[derive(Args, Debug)]
pub struct PerplexityArgs {
    /// Text file; the built-in model's held-out text (24,000 bytes) by default
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Tokens a window
    #[arg(long, default_value_t = 128)]
    pub window: usize,
    /// Score at most this many windows
    #[arg(long, value_name = "N")]
    pub windows: Option<usize>,
    /// Code table: the file's, or the analysis's [-2,-1,1,2] (W2A32 kernels only)
    #[arg(long, value_enum, ignore_case = true, default_value_t = Lut::File)]
    pub lut: Lut,
    /// Score 2 windows only
    #[arg(long)]
    pub quick: bool,
    /// Model and kernel
    #[command(flatten)]
    pub model: ModelArgs,
}

/// The table that turns 2-bit codes into weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lut {
    /// [-1, 0, 1]
    File,
    /// [-2, -1, 1, 2]
    Seed,
}

#[derive(Serialize)]
struct Report {
    nats_per_token: f64,
    perplexity: f64,
    tokens: usize,
    window: usize,
    lut: [i8; 4],
    text: String,
    threads: usize,
    kernel: Selection,
    activations: Activations,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_effect: Option<HeadEffect>,
    model: ModelUsed,
}

/// The text to score, and its name.
pub fn text_of(args: &PerplexityArgs) -> Result<(String, String)> {
    for (flag, value) in [("--window", Some(args.window)), ("--windows", args.windows)] {
        if value == Some(0) {
            return Err(Error::input(format!("{flag} 0 scores nothing; give at least 1")));
        }
    }
    match &args.text {
        Some(path) => {
            let text = read_limited(path, "a text", 1 << 30)?;
            let name = path.display().to_string();
            let text = String::from_utf8(text).map_err(|e| {
                let at = e.utf8_error().valid_up_to();
                Error::input(format!("{name}: not UTF-8 text (first bad byte at {at}); convert it to UTF-8"))
            })?;
            Ok((name, text))
        }
        None => Ok(("builtin held-out text".to_owned(), builtin::held_out_text().to_owned())),
    }
}

/// A model, and the text's tokens, which make a window at least.
pub fn tokens_of(
    args: &PerplexityArgs,
    model: &ModelArgs,
    (name, text): (&str, &str),
) -> Result<(Machine, Loaded, Vec<u32>)> {
    let mut tokens = Vec::new();
    let (machine, loaded) = prepare(model, |opened| {
        let (window, context) = (args.window, opened.config.context);
        if window > context {
            let next = format!("give at most --window {context}");
            return Err(Error::input(format!("--window {window} is above the model's context of {context}; {next}")));
        }
        tokens = opened.tokenizer.encode(text, None)?;
        if tokens.len() > window {
            return Ok(());
        }
        let (need, has, next) = (window.saturating_add(1), tokens.len(), "use a shorter --window or a longer text");
        Err(Error::input(format!("{name}: a window of {window} needs {need} tokens and the text has {has}; {next}")))
    })?;
    Ok((machine, loaded, tokens))
}

/// Runs `perplexity`.
pub fn run(args: &PerplexityArgs, out: &Output) -> Result<()> {
    let (name, text) = text_of(args)?;
    // Integer kernels cannot read the seed's table, so `auto` means the last W2A32 kernel that runs here.
    let mut model_args = args.model.clone();
    if args.lut == Lut::Seed && model_args.kernel == "auto" {
        let machine = model_args.machine.check(crate::machine::all_cpus())?;
        let stages = machine.kernels(None)?;
        if let Some(stage) = stages.iter().rfind(|k| k.descriptor().family() == Family::W2A32) {
            model_args.kernel = stage.id().to_owned();
        }
    }
    if let (Lut::Seed, Some(d)) = (args.lut, crate::registered::find(&model_args.kernel))
        && d.family() != Family::W2A32
    {
        let what = format!("{} computes with -1, 0, +1 only (try avx2-permute or scalar)", d.id);
        return Err(Error::input(format!("--lut seed needs a W2A32 kernel; {what}")));
    }
    let (machine, loaded, tokens) = tokens_of(args, &model_args, (&name, &text))?;
    let model = &loaded.model;
    let table = if args.lut == Lut::Seed { CodeTable::SEED } else { CodeTable::TERNARY };
    let mut bench = Bench::new(&loaded, &machine, args.model.head, interrupt::flag());
    let selection = select(&model_args, args.window, &mut bench)?;
    bench.chooser.with_batches(selection.kernel, args.window)?;
    // Kernels with a gemm score in batches, in which zeros are not skipped; the others score token by token.
    let in_batches = selection.kernel.descriptor().gemm.is_some();
    let skips = args.lut == Lut::File && !in_batches;
    let sparsity = if skips { skipping(args.model.dense, Some(tokens.len())) } else { Sparsity::Dense };
    let mut decoder = bench.decoder(selection.kernel, table)?.context(args.window).sparse(sparsity).build()?;
    if let Some(sparse) = decoder.sparse() {
        note(records::sparse_in_words(sparse));
    } else if let Some(off) = skipping::off_by_rule(model, args.model.dense || !skips) {
        note(format!("skipping zero gates: off ({})", off.reason));
    }
    let windows = if args.quick { 2 } else { args.windows.unwrap_or(usize::MAX) };
    let progress = Progress::start(format!("scoring {} tokens with {}", tokens.len(), selection.kernel.id()), 100);
    let step = |done: usize, total: usize| progress.set((done * 100 / total.max(1)) as u64);
    let scored = Text { tokens: &tokens, window: args.window, max_windows: windows };
    let (result, head_effect) = if let Some(format) = bench.quantised_head() {
        let heads = [bench.head_as(HeadFormat::F16)?, bench.head_as(format)?];
        let scores = score_heads(&mut decoder, &heads, scored, bench.stop, step)?;
        let (f16, own) = ((&*heads[0], scores[0]), (&*heads[1], scores[1]));
        (scores[1], Some(head::effect(f16, own, args.window, "same text")))
    } else {
        (score(&mut decoder, scored, bench.stop, step)?, None)
    };
    drop(progress);
    let report = Report {
        nats_per_token: result.nats_per_token,
        perplexity: result.nats_per_token.exp(),
        tokens: result.tokens,
        window: args.window,
        lut: table.0,
        text: name,
        threads: machine.threads,
        kernel: selection,
        activations: activations(model.activations),
        head: decoder.head().id().into(),
        head_effect,
        model: ModelUsed::of(&loaded)?,
    };
    // With the seed's table a high perplexity is expected and needs no warning.
    let strange = sanity::of_perplexity(report.perplexity, model.config.vocab, loaded.record.known);
    if let Some(what) = strange.filter(|_| args.lut == Lut::File && !loaded.record.synthetic) {
        note(format!("warning: {what}"));
    }
    if args.model.json {
        return out.json(&report);
    }
    out.line(format!(
        "perplexity {:.4} ({:.6} nats/token over {} tokens in windows of {}; kernel {}, activations by {}, head {}, \
         codes read as {:?})",
        report.perplexity,
        report.nats_per_token,
        report.tokens,
        report.window,
        report.kernel.kernel.id(),
        report.activations,
        report.head,
        report.lut
    ))?;
    report.head_effect.map_or(Ok(()), |effect| out.line(format!("the head alone: {}", effect.says())))
}
