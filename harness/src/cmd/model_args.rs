//! The model and the kernel of a text: flags that `generate`, `perplexity` and engines share, and what is made of them.

use crate::build_info;
use crate::choose::decode_kernel::{self, Selection};
use crate::error::{Error, Result};
use crate::gpu::DeviceArgs;
use crate::load_model::{Head, Loaded, Reading, load_if};
use crate::machine::{Machine, MachineArgs, all_cpus};
use crate::measure::bench::Bench;
use crate::model_spec::LayoutArgs;
use crate::output::note;
use crate::words;
use clap::Args;
use kernels::ActivationRule;
use model::tokenizer::Pre;
use model::weights::Opened;
use receipt::ModelRecord;
use serde::Serialize;

/// Flags that choose model and kernel, shared by `generate` and `perplexity`.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// builtin, synth:SHAPE (2b-4t, bonsai-1.7b, ...) or synth:SHAPE?live=SHARE, a GGUF file or a folder of
    /// safetensors
    #[arg(long, value_name = "M", default_value = "builtin")]
    pub model: String,
    /// How the model's file is read
    #[command(flatten)]
    pub layout: LayoutArgs,
    /// Kernel id, or auto to probe for the fastest exact one
    #[arg(long, value_parser = words::name, value_name = "ID", default_value = "auto")]
    pub kernel: String,
    /// Output head: f16 rows, or rows quantised to 8 or 4 bits, which changes the logits; by default ternary where the
    /// file stores it so and the kernel can multiply it, else f16
    #[arg(long, value_enum, ignore_case = true)]
    pub head: Option<Head>,
    /// Pre-tokenizer instead of the file's: default, gpt-2, llama-bpe or qwen2
    #[arg(long, value_parser = words::name, value_name = "NAME")]
    pub pre: Option<String>,
    /// Which activations share a scale as int8: all of a token, or 256, 128 or 32 in a row; the model's own rule by
    /// default
    #[arg(long, value_parser = words::activations, value_name = "token|256|128|32")]
    pub activations: Option<ActivationRule>,
    /// Never skip zero gates of the feed-forward blocks
    #[arg(long)]
    pub dense: bool,
    /// The CPU, or a GPU
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads, pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The model that a text was generated or scored with, as printed in JSON.
#[derive(Serialize)]
pub struct ModelUsed {
    path: String,
    sha256: String,
    name: String,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl ModelUsed {
    /// The model with its hash, which is computed here if it was not before.
    pub fn of(loaded: &Loaded) -> Result<Self> {
        let ModelRecord { path, sha256, name, notes, warnings, .. } = loaded.confirm()?;
        Ok(Self { path, sha256, name, notes, warnings })
    }
}

/// A model and a kernel, from the flags that `generate` and `perplexity` share. `fits` checks what
/// is asked of the model before its weights are read.
pub fn prepare(args: &ModelArgs, fits: impl FnOnce(&Opened) -> Result<()>) -> Result<(Machine, Loaded)> {
    build_info::refuse_to_time_a_debug_build()?;
    let machine = args.machine.to_measure(all_cpus())?;
    if args.kernel != "auto" {
        // Refused before the model is loaded, which may take long.
        machine.kernel(&args.kernel)?;
    }
    let unknown =
        |name: &str| Error::input(format!("--pre {name} is not known; use default, gpt-2, llama-bpe or qwen2"));
    let pre = args.pre.as_deref().map(|name| Pre::parse(name).ok_or_else(|| unknown(name))).transpose()?;
    let loaded = load_if(&args.layout.of(&args.model), pre, &machine, Reading::AsNeeded, fits)?;
    let loaded = loaded.by_rule(args.activations);
    let machine = machine.suit(&args.machine, loaded.record.ternary_weights);
    loaded.record.notes.iter().for_each(|text| note(format!("note: {text}")));
    Ok((machine, loaded))
}

/// The kernel that the flags name, or the fastest exact one for a prompt of so many tokens.
pub fn select(args: &ModelArgs, prompt_tokens: usize, bench: &mut Bench<'_>) -> Result<Selection> {
    let selection = decode_kernel::select(&args.kernel, prompt_tokens, &mut bench.chooser)?;
    note(format!("kernel: {} ({})", selection.kernel.id(), selection.reason));
    Ok(selection)
}
