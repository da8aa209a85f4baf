//! `model inspect` and `model synth`; `model convert` has a file of its own.

use crate::cmd::convert::{self, ConvertArgs};
use crate::error::{Error, Result};
use crate::files::check_named;
use crate::interrupt;
use crate::load_model;
use crate::machine::MachineArgs;
use crate::measure::bench::Bench;
use crate::measure::generation::check_golden;
use crate::output::{Output, note, table};
use crate::progress::Progress;
use clap::{Args, Subcommand};
use kernels::{CodeTable, HeadFormat};
use model::inspect::{Inspection, inspect};
use model::synth::{SynthShape, SynthSummary, SyntheticModel};
use receipt::GoldenCheck;
use receipt::figures::mib;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The subcommands of `model`.
#[derive(Subcommand, Debug)]
pub enum ModelCommand {
    /// Metadata, tensors, layout checks and hash of a GGUF file
    #[command(after_help = "Example: tritbench model inspect builtin")]
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
    #[command(after_help = "Example: tritbench model synth --shape 2b-4t --layers 2 --out two-layers.gguf")]
    Synth(SynthArgs),
    /// Write a file's ternary matrices in another encoding
    #[command(after_help = "Example: tritbench model convert builtin --to tq2_0 --out tq2_0.gguf")]
    Convert(ConvertArgs),
}

/// Flags of `model synth`.
#[derive(Args, Debug)]
pub struct SynthArgs {
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
}

/// Runs `model inspect`, `model synth` or `model convert`.
pub fn run(command: &ModelCommand, out: &Output) -> Result<()> {
    match command {
        ModelCommand::Inspect { model, goldens, json, machine } => inspect_model(model, *goldens, *json, machine, out),
        ModelCommand::Synth(args) => synth(args, out),
        ModelCommand::Convert(args) => convert::run(args, out),
    }
}

#[derive(Serialize)]
struct KernelGoldens {
    kernel: String,
    goldens: Vec<GoldenCheck>,
}

#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    #[serde(skip_serializing_if = "Option::is_none")]
    goldens: Option<Vec<KernelGoldens>>,
}

fn inspect_model(spec: &str, goldens: bool, json: bool, machine: &MachineArgs, out: &Output) -> Result<()> {
    let gguf = load_model::open(spec)?;
    let inspection = inspect(&gguf)?;
    drop(gguf);
    let fault = inspection.checks.iter().find(|check| !check.ok);
    let fault = fault.map(|check| Error::input(check.detail.clone()));
    // Known answers are checked with --goldens, and always for a known file below 64 MiB, where it is quick.
    let known_and_small = inspection.known.is_some() && inspection.bytes < 64 << 20;
    let checked = match (goldens || known_and_small, &fault) {
        (true, None) => check_goldens(spec, machine)?,
        _ => None,
    };
    if goldens && checked.is_none() && fault.is_none() {
        note("note: no known answers for a file with this hash");
    }
    let failed = checked.iter().flatten().flat_map(|k| &k.goldens).filter(|g| !g.passed).count();
    if json {
        out.json(&Inspected { inspection: &inspection, goldens: checked })?;
    } else {
        out.line(inspection.to_text().trim_end())?;
        if let Some(checked) = &checked {
            out.line(goldens_table(checked))?;
        } else if inspection.known.is_some() && fault.is_none() {
            out.line("known answers: not checked; add --goldens to run them with every kernel")?;
        }
    }
    match fault {
        Some(fault) => Err(fault),
        None if failed > 0 => Err(Error::failed(format!("{failed} known answers are not reproduced"))),
        None => Ok(()),
    }
}

/// The file's known answers with every kernel that runs here; None when the file is not known.
fn check_goldens(spec: &str, args: &MachineArgs) -> Result<Option<Vec<KernelGoldens>>> {
    let machine = args.check(crate::machine::all_cpus())?;
    let loaded = load_model::load(spec, None, &machine)?;
    let machine = machine.suit(args, loaded.record.ternary_weights);
    let Some(known) = loaded.known.as_ref().filter(|k| !k.goldens.is_empty()) else { return Ok(None) };
    let capacity = known.goldens.iter().map(|g| g.prompt_ids.len() + g.token_ids.len()).max().unwrap_or(1);
    let kernels = machine.kernels(None)?;
    let progress = Progress::start("checking known answers", kernels.len() as u64);
    let mut bench = Bench::new(&loaded, &machine, HeadFormat::F16, interrupt::flag());
    let mut all = Vec::new();
    for (done, kernel) in kernels.into_iter().enumerate() {
        progress.set(done as u64);
        let mut decoder = bench.decoder(kernel, CodeTable::TERNARY)?.context(capacity).build()?;
        let goldens = known.goldens.iter().map(|golden| {
            interrupt::check("interrupted while checking known answers")?;
            check_golden(&mut decoder, golden, interrupt::flag())
        });
        all.push(KernelGoldens { kernel: kernel.id().into(), goldens: goldens.collect::<Result<_>>()? });
    }
    // The prompt's tokens must be the known ones too.
    for golden in &known.goldens {
        let ids = loaded.model.tokenizer.encode(&golden.prompt, None)?;
        if ids != golden.prompt_ids {
            let (prompt, known) = (&golden.prompt, &golden.prompt_ids);
            note(format!("note: {prompt:?} tokenises to {ids:?} here, the known answer starts from {known:?}"));
        }
    }
    Ok(Some(all))
}

fn goldens_table(checked: &[KernelGoldens]) -> String {
    let rows = checked.iter().flat_map(|k| {
        k.goldens.iter().map(|g| {
            let verdict = if g.passed { "equal" } else { "DIFFERENT" };
            let compared = format!("{} of {}", g.compared, g.expected.len());
            vec![k.kernel.clone(), format!("{:?}", g.prompt), compared, verdict.into()]
        })
    });
    format!("known answers\n{}", table(&["kernel", "prompt", "ids compared", "verdict"], &[2], rows))
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
