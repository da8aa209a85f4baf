//! `baseline`: keeps builds to gate against.

use crate::error::{Error, Result};
use crate::gate::{self, Baseline, Kept, Scratch, Store};
use crate::machine::{MachineArgs, host};
use crate::output::{Output, table};
use crate::scenario::Scenario;
use crate::words;
use clap::{Args, Subcommand};
use receipt::figures::mib;
use std::path::PathBuf;

/// The subcommands of `baseline`.
#[derive(Subcommand, Debug)]
pub enum BaselineCommand {
    /// Keep this program, what it is asked to measure, and what it computes
    #[command(after_help = "Example: tritbench baseline save release --scenario quick")]
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

/// Flags of `baseline save`.
#[derive(Args, Debug)]
pub struct BaselineSaveArgs {
    /// Its name
    pub name: String,
    /// Built-in scenario or TOML file, whose matrix a gate will time
    #[arg(long, value_name = "NAME|FILE", default_value = "quick")]
    pub scenario: String,
    /// Kernels to gate; all by default
    #[arg(long, value_delimiter = ',', value_parser = words::name, value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// Keep the whole matrix of the scenario instead of the smaller one of --quick
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// The smaller matrix, which is the default here
    #[arg(long)]
    pub quick: bool,
    /// Keep this tritbench executable instead of the one that runs
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// Replace a baseline of this name
    #[arg(long, visible_alias = "force")]
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

/// Runs `baseline save`, `list`, `show` or `remove`.
pub fn run(command: &BaselineCommand, out: &Output) -> Result<()> {
    match command {
        BaselineCommand::Save(args) => save(args, out),
        BaselineCommand::List { dir, json } => list(&Store::new(dir.as_deref()), *json, out),
        BaselineCommand::Show { name, dir, json } => show(&Store::new(dir.as_deref()).load(name)?.0, *json, out),
        BaselineCommand::Remove { name, dir } => {
            Store::new(dir.as_deref()).remove(name)?;
            out.line(format!("removed baseline {name}"))
        }
    }
}

fn save(args: &BaselineSaveArgs, out: &Output) -> Result<()> {
    let store = Store::new(args.dir.as_deref());
    store.check_name(&args.name, args.replace)?;
    store.try_out()?;
    let (mut scenario, text) = Scenario::load_of_any_build(&args.scenario)?;
    if !args.full {
        scenario.make_quick();
    }
    scenario.require_micro()?;
    let machine = args.machine.to_measure(1)?;
    let scratch = Scratch::new()?;
    let program = Kept::given("--binary", args.binary.as_deref(), &scratch.path)?;
    let bytes = std::fs::read(&program.path).map_err(|e| Error::io("read the program", &program.path, &e))?;
    let computed = gate::compute(&program, &scenario, args.kernels.clone(), &machine, args.seed);
    let (build, computed) = computed.map_err(|error| match error.is_interrupt() {
        true => Error::interrupted(format!("interrupted; baseline {} is not saved", args.name)),
        false => error,
    })?;
    let baseline = Baseline {
        version: Baseline::version(),
        name: args.name.clone(),
        created: jiff::Timestamp::now().to_string(),
        build,
        cpu: host::host().cpu,
        scenario: text,
        quick: !args.full,
        kernels: args.kernels.clone(),
        threads: machine.threads,
        cpu_features: machine.mask().map(str::to_owned),
        seed: args.seed,
        binary_sha256: program.sha256,
        binary_bytes: bytes.len() as u64,
        computed,
    };
    let path = store.save(&baseline, &bytes)?;
    if args.json {
        return out.json(&baseline);
    }
    let results = baseline.computed.len();
    out.line(format!("baseline {} saved: {}, {results} exact results", baseline.name, mib(baseline.binary_bytes)))?;
    out.line(path.display().to_string())
}

fn commit(baseline: &Baseline) -> String {
    let commit = baseline.build.git_commit.as_deref().unwrap_or("unknown");
    let dirty = if baseline.build.git_dirty == Some(true) { " with changes" } else { "" };
    format!("{}{dirty}", commit.chars().take(12).collect::<String>())
}

fn list(store: &Store, json: bool, out: &Output) -> Result<()> {
    let mut baselines = Vec::new();
    for (name, baseline) in store.all() {
        match baseline {
            Ok(baseline) => baselines.push(baseline),
            Err(error) => crate::output::note(format!("warning: baseline {name} is left out: {error}")),
        }
    }
    if json {
        return out.listing("baselines", &baselines);
    }
    if baselines.is_empty() {
        return out
            .line(format!("no baselines in {}; make one with `tritbench baseline save NAME`", store.folder.display()));
    }
    let rows = baselines.iter().map(|b| {
        let kernels = b.kernels.as_ref().map_or_else(|| "all".into(), |k| k.join(", "));
        vec![b.name.clone(), b.created.clone(), commit(b), b.build.profile.clone(), kernels, mib(b.binary_bytes)]
    });
    out.line(table(&["baseline", "saved", "commit", "profile", "kernels", "size"], &[5], rows))
}

fn show(baseline: &Baseline, json: bool, out: &Output) -> Result<()> {
    if json {
        return out.json(baseline);
    }
    let scenario = Scenario::of_any_build(&format!("baseline {}'s scenario", baseline.name), &baseline.scenario)?;
    let rows = [
        ("saved", baseline.created.clone()),
        ("commit", commit(baseline)),
        ("rustc", baseline.build.rustc.clone()),
        ("profile", baseline.build.profile.clone()),
        ("on", baseline.cpu.clone()),
        ("scenario", format!("{}{}", scenario.name, if baseline.quick { " --quick" } else { " --full" })),
        ("kernels", baseline.kernels.as_ref().map_or_else(|| "all".into(), |k| k.join(", "))),
        ("threads", baseline.threads.to_string()),
        ("program", format!("{}, sha256 {}", mib(baseline.binary_bytes), baseline.binary_sha256)),
        ("exact results", baseline.computed.len().to_string()),
    ];
    out.line(table(&["", &baseline.name], &[], rows.map(|(k, v)| vec![k.into(), v])))
}
