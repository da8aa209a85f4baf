//! The command line.

use crate::cmd::baseline::BaselineCommand;
use crate::cmd::compare::{CompareArgs, MeasureArgs};
use crate::cmd::completions::{CompletionsArgs, ManArgs};
use crate::cmd::count::CountArgs;
use crate::cmd::doctor::DoctorArgs;
use crate::cmd::engine::EngineCommand;
use crate::cmd::gate::GateArgs;
use crate::cmd::generate::GenerateArgs;
use crate::cmd::limits::LimitsArgs;
use crate::cmd::list::ListArgs;
use crate::cmd::model::ModelCommand;
use crate::cmd::perplexity::PerplexityArgs;
use crate::cmd::receipt::ReceiptCommand;
use crate::cmd::report::ReportArgs;
use crate::cmd::verify::VerifyArgs;
use crate::output::ColorChoice;
use crate::worker::WorkerArgs;
use clap::{Parser, Subcommand};

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "tritbench",
    version = env!("TRITBENCH_VERSION"),
    about = concat!(
        "Which ternary (1.58-bit) LLM kernel is right, which is faster, ",
        "and how far each is from what the machine allows"
    ),
    after_help = concat!(
        "Start with: tritbench compare\n\n",
        "Exit codes: 0 ok, 1 a check failed, 2 bad usage or input, 3 inconclusive, 4 unstable machine, 5 not ",
        "possible on this CPU, 130 interrupted",
    ),
    max_term_width = 100
)]
pub struct Cli {
    /// Colours on the terminal (NO_COLOR turns them off too)
    #[arg(long, value_enum, ignore_case = true, default_value_t = ColorChoice::Auto)]
    #[arg(global = true, value_name = "WHEN")]
    pub color: ColorChoice,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What stands below a command's help.
fn examples(of: &[&str]) -> String {
    format!("Examples:\n  tritbench {}", of.join("\n  tritbench "))
}

/// The subcommands of `tritbench`.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// What there is, what runs on this CPU, and if not, why not
    #[command(after_help = examples(&[
        "list kernels --json",
        "list claims",
        "list claims --field",
        "list claims --run reports/runs/A --json",
    ]))]
    List(ListArgs),
    /// Every kernel against the oracle on random, adversarial and edge shapes
    #[command(after_help = "Example: tritbench verify --kernels scalar-i8,avx2-i8")]
    Verify(VerifyArgs),
    /// The main job: verify, microbenchmark, generate, and write receipt, CSV, charts and report
    #[command(after_help = examples(&[
        "compare",
        "compare --scenario seed-tables --quick",
        "compare --model model.gguf --kernels scalar,avx2-i8 --out my-run",
    ]))]
    Compare(CompareArgs),
    /// The microbenchmark part of compare alone
    #[command(after_help = examples(&[
        "micro --kernels scalar-i8,avx512-vnni --shape 6912x2560",
        "micro --shape 2560x2560x32 --residency l2,llc --rounds 400",
        "micro --scenario seed-tables --kernels scalar,avx2-permute",
    ]))]
    Micro(MeasureArgs),
    /// Exact instruction count and mix of one kernel call, the same on every run and every machine
    #[command(after_help = examples(&[
        "count --kernels avx512-vnni,avx2-i8 --op gemv --shape 256x2560",
        "count --kernel scalar --json",
        "count --asm avx2-i8",
        "count --asm avx2-i8,avx512-vnni",
    ]))]
    Count(CountArgs),
    /// Streaming bandwidth by thread count and size, core clock, and peak products a cycle of this machine
    #[command(after_help = examples(&[
        "limits",
        "limits --quick --json",
        "limits --threads 1 --cpu-features avx2",
    ]))]
    Limits(LimitsArgs),
    /// Is this machine fit to measure? What costs precision or forbids it, each with the command that mends it
    #[command(after_help = examples(&["doctor", "doctor --scenario 2b-4t --threads 2 --json"]))]
    Doctor(DoctorArgs),
    /// Generate text with one kernel
    #[command(after_help = "Example: tritbench generate --prompt \"ROMEO:\" --max-tokens 40 --greedy --kernel avx2-i8")]
    Generate(GenerateArgs),
    /// Perplexity over non-overlapping windows
    #[command(
        after_help = "Example: tritbench perplexity --text scenarios/model/shakespeare.txt --kernel avx2-permute \
                      --lut seed"
    )]
    Perplexity(PerplexityArgs),
    /// Look into model files, or write a synthetic one
    #[command(subcommand)]
    Model(ModelCommand),
    /// Render a run again, two or more side by side with a direction for each comparison, or a page over all runs of a
    /// folder
    #[command(after_help = examples(&[
        "report reports/runs/A",
        "report reports/runs/A reports/runs/B",
        "report reports/runs",
        "report reports/runs/A --markdown > comment.md",
    ]))]
    Report(ReportArgs),
    /// Recheck a receipt, write it in other tools' formats, print its schema
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Keep a build to gate against
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Is this build slower than another, or does it compute something else?
    #[command(
        after_help = concat!(
            "Examples:\n",
            "  tritbench gate --against main\n",
            "  tritbench gate --baseline release --format github\n\n",
            "Exit codes: 0 PASS, 1 FAIL, 2 bad usage or input, 3 INCONCLUSIVE, 4 UNSTABLE, 5 UNSUPPORTED here, ",
            "130 interrupted",
        )
    )]
    Gate(GateArgs),
    /// Foreign engines: which there are, whether one is right, what exactly it is asked
    #[command(subcommand, after_help = examples(&[
        "engine list",
        "engine check ik --threads 2",
        "engine request engines",
    ]))]
    Engine(EngineCommand),
    /// Completions of this command line for a shell, to source
    #[command(after_help = examples(&[
        "completions bash > ~/.local/share/bash-completion/completions/tritbench",
        "completions zsh > ~/.zfunc/_tritbench",
        "completions fish > ~/.config/fish/completions/tritbench.fish",
    ]))]
    Completions(CompletionsArgs),
    /// Manual pages, one a command, into a folder: what packages are made with
    #[command(hide = true)]
    Man(ManArgs),
    /// A child process that runs kernels
    #[command(hide = true)]
    Worker(WorkerArgs),
}
