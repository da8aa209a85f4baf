//! Flags of `compare` and `micro`.

use crate::gpu::DeviceArgs;
use crate::guests::GuestArgs;
use crate::load_model::Head;
use crate::machine::MachineArgs;
use crate::matrix::MatrixArgs;
use crate::model_spec::LayoutArgs;
use crate::words;
use clap::Args;
use kernels::ActivationRule;
use std::path::PathBuf;

/// Flags of `micro`, which `compare` has too.
#[derive(Args, Debug)]
pub struct MeasureArgs {
    /// Built-in scenario or TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "quick")]
    pub scenario: String,
    /// Kernels to compare; all that run here by default
    #[arg(long, value_delimiter = ',', value_parser = words::name, value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// A smaller matrix, same rules
    #[arg(long)]
    pub quick: bool,
    /// Run folder to write; by default a new one in tritbench-runs, in a checkout in reports/runs
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Exit 4 on an unstable comparison, 5 on a masked CPU feature
    #[arg(long)]
    pub strict: bool,
    /// Seed of data and order
    #[arg(long, env = "BITNET_SEED", default_value_t = 1)]
    pub seed: u64,
    /// Fail unless every round and every exact kernel gives the same tokens (BITNET_DETERMINISTIC=1 too)
    #[arg(long)]
    pub deterministic: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the summary as GitHub Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Kernels of others
    #[command(flatten)]
    pub guests: GuestArgs,
    /// The CPU, or a GPU
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Other matrices than the scenario's
    #[command(flatten)]
    pub matrix: MatrixArgs,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `compare`.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// What to measure
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// builtin, synth:SHAPE (2b-4t, bonsai-1.7b, ...) or synth:SHAPE?live=SHARE, a GGUF file or a folder; the
    /// scenario's by default
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    /// How the model's file is read
    #[command(flatten)]
    pub layout: LayoutArgs,
    /// Output head: f16 rows, or rows quantised to 8 or 4 bits, which changes the logits; by default ternary where the
    /// file stores it so and the kernel can multiply it, else f16
    #[arg(long, value_enum, ignore_case = true)]
    pub head: Option<Head>,
    /// Kernel for batches of prompt tokens: same (each kernel its own), an id, or auto to measure. Another packing
    /// needs a second copy of the weights
    #[arg(long, value_parser = words::name, value_name = "same|auto|ID", default_value = "same")]
    pub prefill_kernel: String,
    /// Which activations share a scale as int8: all of a token, or 256, 128 or 32 in a row; the scenario's or the
    /// model's own rule by default
    #[arg(long, value_parser = words::activations, value_name = "token|256|128|32")]
    pub activations: Option<ActivationRule>,
    /// An engine to compare our own program with, of `engine list` or of the scenario; it is run. May be given several
    /// times
    #[arg(long, value_name = "NAME", value_parser = words::name)]
    pub engine: Vec<String>,
    /// Leave out the row that skips zero gates (KERNEL+sparse)
    #[arg(long)]
    pub dense: bool,
}
