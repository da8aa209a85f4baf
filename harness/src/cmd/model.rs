//! The commands about model files, and `model synth`.

use crate::cmd::convert::{self, ConvertArgs};
use crate::cmd::inspect::{self, InspectArgs};
use crate::error::Result;
use crate::files::check_named;
use crate::load_model;
use crate::output::Output;
use crate::progress::Progress;
use clap::{Args, Subcommand};
use model::synth::{SynthShape, SynthSummary, SyntheticModel};
use receipt::figures::mib;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The subcommands of `model`.
#[derive(Subcommand, Debug)]
pub enum ModelCommand {
    /// Metadata, tensors, how a file is read and why, and its hash
    #[command(after_help = "Example: tritbench model inspect builtin")]
    Inspect(InspectArgs),
    /// Write a model with random weights and a real model's shape
    #[command(after_help = "Example: tritbench model synth --shape 2b-4t --layers 2 --out two-layers.gguf")]
    Synth(SynthArgs),
    /// Write a file's ternary matrices in another encoding
    #[command(after_help = "Example: tritbench model convert builtin --to tq2_0 --out tq2_0.gguf")]
    Convert(ConvertArgs),
}

/// Flags of `model synth`.
#[derive(Args, Debug)]
pub struct SynthArgs {
    /// Shape: 2b-4t, tiny, bonsai-1.7b, bonsai-8b, llama3-8b or falcon3-1b
    #[arg(long, default_value = "2b-4t")]
    shape: String,
    /// Blocks, if not the shape's own number
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Share of feed-forward elements whose gate is positive (0 to 1); about half if not given
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    live_share: Option<f64>,
    /// Seed of the weights
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File to write; SHAPE.gguf by default
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `model inspect`, `model synth` or `model convert`.
pub fn run(command: &ModelCommand, out: &Output) -> Result<()> {
    match command {
        ModelCommand::Inspect(args) => inspect::run(args, out),
        ModelCommand::Synth(args) => synth(args, out),
        ModelCommand::Convert(args) => convert::run(args, out),
    }
}

#[derive(Serialize)]
struct Written<'a> {
    path: &'a Path,
    #[serde(flatten)]
    summary: SynthSummary,
}

fn synth(args: &SynthArgs, out: &Output) -> Result<()> {
    let shape = SynthShape::by_name(&args.shape)?;
    let path = &args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.gguf", args.shape)));
    check_named(path, args.force)?;
    let synthetic = SyntheticModel::new(shape, args.layers, args.live_share, args.seed)?;
    let (size, summary) = (synthetic.bytes(), synthetic.summary());
    let progress = Progress::start(format!("writing {} ({})", path.display(), mib(size)), size);
    load_model::write_synthetic(path, &synthetic, &progress)?;
    drop(progress);
    if args.json {
        return out.json(&Written { path, summary });
    }
    let SynthSummary { layers, ternary_weights, bytes, seed, .. } = summary;
    let what = format!("{layers} blocks, {ternary_weights} ternary weights, {}, seed {seed}", mib(bytes));
    out.line(format!("{}: {what} (synthetic: random weights, its text means nothing)", path.display()))
}
