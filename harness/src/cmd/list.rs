//! `list`: what there is, what runs here, and if not, why not.

use super::kernel_table::kernel_table;
use super::{claims, field_claims};
use crate::error::{Error, Result};
use crate::gpu::{self, DeviceArgs};
use crate::guests::{GuestArgs, Guests};
use crate::machine::{Machine, MachineArgs, host};
use crate::output::{Output, table};
use crate::runs::kernel_records;
use crate::scenario::{self, BUILTIN, L2, Scenario};
use clap::{Args, ValueEnum};
use model::builtin;
use model::known::KnownModel;
use model::synth::{SynthShape, SyntheticModel};
use receipt::figures::mib;
use serde::Serialize;
use std::path::PathBuf;

/// Flags of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// What to list
    #[arg(value_enum, ignore_case = true, default_value_t = Listed::Kernels)]
    pub what: Listed,
    /// With claims: the run folder or receipt whose numbers judge them
    #[arg(long, value_name = "RUN_DIR|RECEIPT")]
    pub run: Option<PathBuf>,
    /// With claims: figures that others publish, and whether the machine that they name can do it
    #[arg(long, conflicts_with = "run")]
    pub field: bool,
    /// With scenarios or claims: the JSON Schema of their files, for editors
    #[arg(long, conflicts_with_all = ["run", "field", "json"])]
    pub schema: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Kernels of others
    #[command(flatten)]
    pub guests: GuestArgs,
    /// With kernels: those of a GPU
    #[command(flatten)]
    pub device: DeviceArgs,
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
    /// GPUs, software ones too.
    Devices,
}

/// Runs `list`.
pub fn run(args: &ListArgs, out: &Output) -> Result<()> {
    let machine = args.machine.check(1)?;
    if args.device.device.is_some() && args.what != Listed::Kernels {
        return Err(Error::input("--device lists kernels; write `list kernels --device gpu`"));
    }
    if args.run.is_some() && args.what != Listed::Claims {
        return Err(Error::input("--run judges claims; write `list claims --run RUN_DIR`"));
    }
    if args.field && args.what != Listed::Claims {
        return Err(Error::input("--field lists published claims; write `list claims --field`"));
    }
    if args.schema && !matches!(args.what, Listed::Scenarios | Listed::Claims) {
        return Err(Error::input(
            "--schema is that of files; write `list scenarios --schema` or `list claims --schema`",
        ));
    }
    match args.what {
        Listed::Scenarios if args.schema => out.json(&scenario::schema()),
        Listed::Claims if args.schema => out.json(&receipt::judge::claims::schema()),
        Listed::Devices => gpu::devices(args.json, out),
        Listed::Kernels => match args.device.gpu()? {
            Some(adapter) => gpu::kernels(&adapter, args.json, out),
            None => kernels(args, &machine, out),
        },
        Listed::Scenarios => scenarios(args.json, out),
        Listed::Models => models(args.json, out),
        Listed::Claims if args.field => field_claims::list(args.json, out),
        Listed::Claims => claims::list(args.run.as_deref(), args.json, out),
    }
}

fn kernels(args: &ListArgs, machine: &Machine, out: &Output) -> Result<()> {
    let guests = Guests::open(&args.guests, machine, 1)?;
    let mut kernels = kernel_records(machine);
    kernels.extend(guests.records().cloned());
    if args.json {
        return out.listing("kernels", &kernels);
    }
    out.line(kernel_table(&kernels))
}

fn scenarios(json: bool, out: &Output) -> Result<()> {
    #[derive(Serialize)]
    struct Row {
        name: String,
        summary: String,
        analysis: String,
        model: Option<String>,
        cells: usize,
    }
    let load = |(name, _): &(&str, &str)| {
        let s = Scenario::load(name)?;
        let l2 = host::l2_bytes().map(|bytes| L2 { bytes, threads: 1 });
        let cells = s.cells(l2).len();
        Ok(Row { name: s.name, summary: s.summary, analysis: s.analysis.trim().into(), model: s.model, cells })
    };
    let scenarios = BUILTIN.iter().map(load).collect::<Result<Vec<_>>>()?;
    if json {
        return out.listing("scenarios", &scenarios);
    }
    let rows = scenarios.into_iter().map(|s| vec![s.name, s.summary, s.model.unwrap_or_else(|| "-".into())]);
    out.line(table(&["scenario", "what it measures", "model"], &[], rows))
}

fn models(json: bool, out: &Output) -> Result<()> {
    #[derive(Serialize)]
    struct Row {
        model: String,
        name: String,
        bytes: Option<u64>,
        sha256: Option<String>,
        notes: Vec<String>,
    }
    let mut models = Vec::new();
    let builtin_sha = model::hash::sha256_hex(builtin::bytes());
    for known in KnownModel::all()? {
        let is_builtin = known.sha256 == builtin_sha;
        models.push(Row {
            model: if is_builtin { "builtin".into() } else { "a GGUF file with this hash".into() },
            name: known.name,
            bytes: is_builtin.then_some(builtin::bytes().len() as u64),
            sha256: Some(known.sha256),
            notes: known.notes,
        });
    }
    for shape in SynthShape::all() {
        models.push(Row {
            model: format!("synth:{}", shape.name),
            name: shape.summary.into(),
            bytes: Some(SyntheticModel::new(shape, None, None, 0)?.bytes()),
            sha256: None,
            notes: vec!["random weights; written once to the cache folder on first use".into()],
        });
    }
    if json {
        return out.listing("models", &models);
    }
    let rows = models.into_iter().map(|m| {
        let sha = m.sha256.map(|s| s.chars().take(12).collect()).unwrap_or_else(|| "-".into());
        vec![m.model, m.name, m.bytes.map_or_else(|| "-".into(), mib), sha, m.notes.join("\n")]
    });
    out.line(table(&["--model", "name", "size", "sha256", "notes"], &[2], rows))
}
