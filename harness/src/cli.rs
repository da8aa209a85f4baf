//! The command line.

use crate::machine::MachineArgs;
use crate::matrix::MatrixArgs;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kernels::HeadFormat;
use reports::export::Format;
use std::path::PathBuf;

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "harness",
    version,
    about = "Which ternary (1.58-bit) LLM kernel is right, which is faster, and how far each is from what the machine allows",
    after_help = "Start with: harness compare\n\nExit codes: 0 ok, 1 a check failed, 2 bad usage or input, 3 inconclusive, 4 unstable machine, 5 not possible on this CPU, 130 interrupted",
    max_term_width = 100
)]
pub struct Cli {
    /// Colours on the terminal (NO_COLOR turns them off too)
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, global = true, value_name = "WHEN")]
    pub color: ColorChoice,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// What there is, what runs on this CPU, and if not, why not
    #[command(
        after_help = "Examples:\n  harness list kernels --json\n  harness list claims\n  harness list claims --run reports/runs/A --json"
    )]
    List(ListArgs),
    /// Every kernel against the oracle on random, adversarial and edge shapes
    #[command(after_help = "Example: harness verify --kernels scalar-i8,avx2-i8")]
    Verify(VerifyArgs),
    /// The main job: verify, microbenchmark, generate, and write receipt, CSV, charts and report
    #[command(
        after_help = "Examples:\n  harness compare\n  harness compare --scenario seed-tables --quick\n  harness compare --model model.gguf --kernels scalar,avx2-i8 --out my-run"
    )]
    Compare(CompareArgs),
    /// The microbenchmark part of compare alone
    #[command(
        after_help = "Examples:\n  harness micro --kernels scalar-i8,avx512-vnni --shape 6912x2560\n  harness micro --shape 2560x2560x32 --residency l2,llc --rounds 400\n  harness micro --scenario seed-tables --kernels scalar,avx2-permute"
    )]
    Micro(MicroArgs),
    /// Exact instruction count and mix of one kernel call, the same on every run and every machine
    #[command(
        after_help = "Examples:\n  harness count --kernels avx512-vnni,avx2-i8 --op gemv --shape 256x2560\n  harness count --kernel scalar --json"
    )]
    Count(CountArgs),
    /// The child process of `count`
    #[command(hide = true)]
    CountChild(CountChildArgs),
    /// Streaming bandwidth by thread count and size, core clock, and peak products a cycle of this machine
    #[command(
        after_help = "Examples:\n  harness limits\n  harness limits --quick --json\n  harness limits --threads 1 --cpu-features avx2"
    )]
    Limits(LimitsArgs),
    /// Generate text with one kernel
    #[command(after_help = "Example: harness generate --prompt \"ROMEO:\" --max-tokens 40 --greedy --kernel avx2-i8")]
    Generate(GenerateArgs),
    /// Perplexity over non-overlapping windows
    #[command(
        after_help = "Example: harness perplexity --text scenarios/model/shakespeare.txt --kernel avx2-permute --lut seed"
    )]
    Perplexity(PerplexityArgs),
    /// Look into model files, or write a synthetic one
    #[command(subcommand)]
    Model(ModelCommand),
    /// Render a run again, two or more side by side with a direction for each comparison, or a page over all runs of a folder
    #[command(
        after_help = "Examples:\n  harness report reports/runs/A\n  harness report reports/runs/A reports/runs/B\n  harness report reports/runs\n  harness report reports/runs/A --markdown > comment.md"
    )]
    Report(ReportArgs),
    /// Recheck a receipt, write it in other tools' formats, print its schema
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Keep a build to gate against
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Is this build slower than another, or does it compute something else?
    #[command(
        after_help = "Examples:\n  harness gate --against main\n  harness gate --baseline release --format github\n\nExit codes: 0 PASS, 1 FAIL, 2 bad usage or input, 3 INCONCLUSIVE, 4 UNSTABLE, 5 UNSUPPORTED here, 130 interrupted"
    )]
    Gate(GateArgs),
    /// How often the gate says FAIL on this machine without a slowdown, and how often with one
    #[command(after_help = "Example: harness calibrate --trials 40 --effects 5,10")]
    Calibrate(CalibrateArgs),
    /// The child process of `gate`
    #[command(hide = true)]
    GateChild,
}

/// `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// What to list
    #[arg(value_enum, default_value_t = Listed::Kernels)]
    pub what: Listed,
    /// With claims: the run folder or receipt whose numbers judge them
    #[arg(long, value_name = "RUN_DIR|RECEIPT")]
    pub run: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// CPU features to assume, see `compare --help`
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What `list` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Registered kernels.
    Kernels,
    /// Built-in scenarios.
    Scenarios,
    /// Built-in, synthetic and known models.
    Models,
    /// Figures of the analysis, and with --run each one's verdict.
    Claims,
}

/// `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Kernels to verify; all by default
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Threads, pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What the measuring commands share.
#[derive(Args, Debug)]
pub struct MeasureArgs {
    /// Built-in scenario or TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "quick")]
    pub scenario: String,
    /// Kernels to compare; all that run here by default
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// A smaller matrix, same rules
    #[arg(long)]
    pub quick: bool,
    /// Run folder to write; a new one in reports/runs by default
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
    /// Other matrices than the scenario's
    #[command(flatten)]
    pub matrix: MatrixArgs,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `compare`.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// What to measure
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// builtin, synth:SHAPE (2b-4t or tiny) or synth:SHAPE?live=SHARE, or a GGUF file; the scenario's by default
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    /// Output head: as in the file, or its rows quantised to 8 or 4 bits, which changes the logits
    #[arg(long, value_enum, default_value_t = Head::F16)]
    pub head: Head,
    /// Kernel for batches of prompt tokens: same (each kernel its own), an id, or auto to measure. Another packing needs a second
    /// copy of the weights
    #[arg(long, value_name = "same|auto|ID", default_value = "same")]
    pub prefill_kernel: String,
    /// Leave out the row that skips zero gates (KERNEL+sparse)
    #[arg(long, conflicts_with = "sparse")]
    pub dense: bool,
    /// Time the sparse kernel on every block, even where the probe found dense faster
    #[arg(long)]
    pub sparse: bool,
}

/// `micro`.
#[derive(Args, Debug)]
pub struct MicroArgs {
    /// What to measure
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// `count`.
#[derive(Args, Debug)]
pub struct CountArgs {
    /// Kernels to count; all that run here and have the operation by default
    #[arg(long, alias = "kernel", value_delimiter = ',', value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// What to call
    #[arg(long, value_enum, default_value_t = Operation::Gemv)]
    pub op: Operation,
    /// Rows x columns
    #[arg(long, value_name = "MxK", default_value = "256x2560")]
    pub shape: String,
    /// Tokens of a gemm
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub tokens: usize,
    /// Seed of weights and activations
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stop after every instruction instead of at branches: the same counts, slower
    #[arg(long)]
    pub single_step: bool,
    /// Time the call too, and show its cycles beside the static model's; the clock is measured unless given
    #[arg(long, value_name = "X")]
    pub ghz: Option<Option<f64>>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `limits`.
#[derive(Args, Debug)]
pub struct LimitsArgs {
    /// 2 to 3 seconds instead of up to 10
    #[arg(long)]
    pub quick: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Threads to go up to (all CPUs by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// The hidden child of `count`.
#[derive(Args, Debug)]
pub struct CountChildArgs {
    /// Kernel id
    #[arg(long)]
    pub kernel: String,
    /// What to call
    #[arg(long, value_enum)]
    pub op: Operation,
    /// Rows x columns
    #[arg(long)]
    pub shape: String,
    /// Tokens of a gemm
    #[arg(long)]
    pub tokens: usize,
    /// Seed of weights and activations
    #[arg(long)]
    pub seed: u64,
    /// Make the call without stopping for a parent: for other tools that count
    #[arg(long)]
    pub untraced: bool,
}

/// A kernel's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Matrix times vector
    Gemv,
    /// Matrix times a batch of vectors
    Gemm,
    /// Weights as f32
    Dequantize,
}

impl Operation {
    /// Its name in scenarios and receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gemv => "gemv",
            Self::Gemm => "gemm",
            Self::Dequantize => "dequantize",
        }
    }
}

/// Which model and kernel.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// builtin, synth:SHAPE (2b-4t or tiny) or synth:SHAPE?live=SHARE, or a GGUF file
    #[arg(long, value_name = "M", default_value = "builtin")]
    pub model: String,
    /// Kernel id, or auto to probe for the fastest exact one
    #[arg(long, value_name = "ID", default_value = "auto")]
    pub kernel: String,
    /// Output head: as in the file, or its rows quantised to 8 or 4 bits, which changes the logits
    #[arg(long, value_enum, default_value_t = Head::F16)]
    pub head: Head,
    /// Pre-tokenizer instead of the file's: default, gpt-2 or llama-bpe
    #[arg(long, value_name = "NAME")]
    pub pre: Option<String>,
    /// Never skip zero gates of the feed-forward blocks
    #[arg(long, conflicts_with = "sparse")]
    pub dense: bool,
    /// Always skip zero gates of the feed-forward blocks, even where the probe found that slower (same logits, bit for bit)
    #[arg(long)]
    pub sparse: bool,
    /// Threads, pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Prompt
    #[arg(long, value_name = "T")]
    pub prompt: String,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_tokens: usize,
    /// Model and kernel
    #[command(flatten)]
    pub model: ModelArgs,
    /// Kernel for batches of prompt tokens: same (the decoding kernel), an id, or auto to measure. Another packing needs a second
    /// copy of the weights
    #[arg(long, value_name = "same|auto|ID", default_value = "same")]
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
    /// Same tokens for any number of threads and any exact kernel: refuse what cannot promise that, and generate twice to see it
    /// (BITNET_DETERMINISTIC=1 too)
    #[arg(long)]
    pub deterministic: bool,
    /// Stop after this many seconds (from the start of the prompt, the model loaded) and keep the text so far
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub timeout_s: Option<f64>,
    /// Stop before this string; may be given several times
    #[arg(long, value_name = "STR")]
    pub stop: Vec<String>,
    /// Stop at this token id; may be given several times
    #[arg(long, value_name = "ID")]
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
}

/// `perplexity`.
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
    #[arg(long, value_enum, default_value_t = Lut::File)]
    pub lut: Lut,
    /// Score 2 windows only
    #[arg(long)]
    pub quick: bool,
    /// Model and kernel
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Output head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Head {
    /// 16 bits a weight, as in the file
    F16,
    /// 8 bits a weight, a scale a row
    Q8,
    /// 4 bits a weight, a scale for each 128 of a row
    Q4,
}

impl From<Head> for HeadFormat {
    fn from(head: Head) -> Self {
        match head {
            Head::F16 => Self::F16,
            Head::Q8 => Self::Q8,
            Head::Q4 => Self::Q4,
        }
    }
}

/// Code table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lut {
    /// [-1, 0, 1]
    File,
    /// [-2, -1, 1, 2]
    Seed,
}

/// `model ...`.
#[derive(Subcommand, Debug)]
pub enum ModelCommand {
    /// Metadata, tensors, layout checks and hash of a GGUF file
    #[command(after_help = "Example: harness model inspect builtin")]
    Inspect {
        /// builtin, synth:SHAPE or a GGUF file
        model: String,
        /// Run the file's known greedy answers with every kernel, if it has any
        #[arg(long)]
        goldens: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Threads, features
        #[command(flatten)]
        machine: MachineArgs,
    },
    /// Write a model with random weights and a real model's shape
    #[command(after_help = "Example: harness model synth --shape 2b-4t --layers 2 --out two-layers.gguf")]
    Synth {
        /// Shape: 2b-4t or tiny
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
    },
}

/// `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Run folders or receipt files; or one folder that holds run folders, at any depth
    #[arg(required = true, value_name = "RUN_DIR|RECEIPT|DIR")]
    pub runs: Vec<PathBuf>,
    /// Where to write: a folder for one run (its own by default), a file for several (comparison.html in the folder that holds
    /// them by default), a file for a folder of runs (index.html in it by default)
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Print all tables instead of the summary
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub full: bool,
    /// Print the summary as GitHub Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `baseline ...`.
#[derive(Subcommand, Debug)]
pub enum BaselineCommand {
    /// Keep this program, what it is asked to measure, and what it computes
    #[command(after_help = "Example: harness baseline save release --scenario quick")]
    Save(BaselineSaveArgs),
    /// All baselines
    List {
        /// Folder of baselines; ci/baselines by default
        #[arg(long, value_name = "DIR", env = "TRITBENCH_BASELINES")]
        dir: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One baseline
    Show {
        /// Its name
        name: String,
        /// Folder of baselines; ci/baselines by default
        #[arg(long, value_name = "DIR", env = "TRITBENCH_BASELINES")]
        dir: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a baseline
    Remove {
        /// Its name
        name: String,
        /// Folder of baselines; ci/baselines by default
        #[arg(long, value_name = "DIR", env = "TRITBENCH_BASELINES")]
        dir: Option<PathBuf>,
    },
}

/// `baseline save`.
#[derive(Args, Debug)]
pub struct BaselineSaveArgs {
    /// Its name
    pub name: String,
    /// Built-in scenario or TOML file, whose matrix a gate will time
    #[arg(long, value_name = "NAME|FILE", default_value = "quick")]
    pub scenario: String,
    /// Kernels to gate; all by default
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// Keep the whole matrix of the scenario instead of the smaller one of --quick
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// The smaller matrix, which is the default here
    #[arg(long)]
    pub quick: bool,
    /// Keep this harness executable instead of the one that runs
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// Replace a baseline of this name
    #[arg(long)]
    pub replace: bool,
    /// Seed of data and order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder of baselines; ci/baselines by default
    #[arg(long, value_name = "DIR", env = "TRITBENCH_BASELINES")]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Threads (1 by default), features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `gate`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("other").required(true).args(["baseline", "against"]))]
pub struct GateArgs {
    /// A saved baseline: its kept program runs beside this one, on its scenario
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// A harness executable, or a git revision to build
    #[arg(long, value_name = "BINARY|GIT-REV")]
    pub against: Option<String>,
    /// The build to judge; this program by default
    #[arg(long, value_name = "BINARY")]
    pub current: Option<PathBuf>,
    /// Built-in scenario or TOML file whose matrix is timed; quick by default (a baseline brings its own)
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "baseline")]
    pub scenario: Option<String>,
    /// Kernels to gate; all that both builds have and this CPU runs by default
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// The whole matrix of the scenario instead of the smaller one of --quick (a baseline brings its own)
    #[arg(long, conflicts_with_all = ["quick", "baseline"])]
    pub full: bool,
    /// The smaller matrix, which is the default here
    #[arg(long)]
    pub quick: bool,
    /// Smallest slowdown that matters; 3% by default
    #[arg(long, value_name = "PERCENT")]
    pub delta: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = GateFormat::Human)]
    pub format: GateFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Also fail when a kernel is left out or the build has uncommitted changes
    #[arg(long)]
    pub strict: bool,
    /// Run folder to write; a new one in reports/runs by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of data and order; 1 by default, or the baseline's
    #[arg(long)]
    pub seed: Option<u64>,
    /// Folder of baselines; ci/baselines by default
    #[arg(long, value_name = "DIR", env = "TRITBENCH_BASELINES")]
    pub dir: Option<PathBuf>,
    /// Plant a slowdown in the current side, to calibrate the gate; recorded in the receipt
    #[arg(long, value_name = "KERNEL:PERCENT", hide = true)]
    pub inject: Option<String>,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// `calibrate`.
#[derive(Args, Debug)]
pub struct CalibrateArgs {
    /// Gates for each planted slowdown, and as many of the build against itself
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub trials: usize,
    /// Slowdowns to plant, in percent
    #[arg(long, value_delimiter = ',', value_name = "P,Q", default_values_t = [5.0, 10.0], allow_negative_numbers = true)]
    pub effects: Vec<f64>,
    /// Built-in scenario or TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "quick")]
    pub scenario: String,
    /// The whole matrix of the scenario instead of the smaller one of --quick
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// The smaller matrix, which is the default here
    #[arg(long)]
    pub quick: bool,
    /// Kernels to gate; the most advanced of each family by default
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// Run folder to write; a new one in reports/runs by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of data and order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What `gate` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GateFormat {
    /// A table and the verdict
    Human,
    /// The gate's record, raw rounds included
    Json,
    /// JUnit XML, a test case a comparison and exact check
    Junit,
    /// Workflow commands, and a summary for GITHUB_STEP_SUMMARY
    Github,
}

/// `receipt ...`.
#[derive(Subcommand, Debug)]
pub enum ReceiptCommand {
    /// Recompute every figure and verdict from the raw rounds and compare digests; exit 1 names the first that differs
    #[command(after_help = "Example: harness receipt verify reports/runs/A")]
    Verify {
        /// Run folder or receipt file
        #[arg(value_name = "RUN_DIR|RECEIPT")]
        receipt: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a receipt in another tool's format
    #[command(after_help = "Example: harness receipt export reports/runs/A --format junit --out junit.xml")]
    Export {
        /// Run folder or receipt file
        #[arg(value_name = "RUN_DIR|RECEIPT")]
        receipt: PathBuf,
        /// Format to write
        #[arg(long, value_parser = export_format())]
        format: Format,
        /// File to write instead of standard output
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the JSON Schema of receipts
    #[command(after_help = "Example: harness receipt schema > receipt-1.schema.json")]
    Schema,
}

/// The formats of exports, as `reports` names them.
fn export_format() -> impl TypedValueParser<Value = Format> {
    let names = Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.help()));
    // The list of names is the list of formats, so one is always found.
    let named = |name: String| Format::ALL.into_iter().find(|format| format.name() == name).unwrap_or(Format::Csv);
    PossibleValuesParser::new(names).map(named)
}
