//! `gate`: is the current build slower than another, or does it compute something else? Exit codes follow the verdict.

use crate::build_info;
use crate::machine::MachineArgs;

use crate::bitnet_environment;
use crate::error::{Error, Result};
use crate::gate::{self, Asked, Scratch, Store};
use crate::interrupt;
use crate::machine::Machine;
use crate::machine::host;
use crate::measure::last_level;
use crate::output::Output;
use crate::progress::Progress;
use crate::runs;
use crate::runs::RunFolder;
use crate::scenario::Scenario;
use crate::words;
use clap::{Args, ValueEnum};
use receipt::judge::gate::title;
use receipt::judge::sequential;
use receipt::{ExactCheck, GateRecord, Injection, Outcome, Receipt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// `gate`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("other").required(true).args(["baseline", "against"]))]
pub struct GateArgs {
    /// A saved baseline: its kept program runs beside this one, on its scenario
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// A tritbench executable, or a git revision to build
    #[arg(long, value_name = "BINARY|GIT-REV")]
    pub against: Option<String>,
    /// The build to judge; this program by default
    #[arg(long, value_name = "BINARY")]
    pub current: Option<PathBuf>,
    /// Built-in scenario or TOML file whose matrix is timed; quick by default (a baseline brings its own)
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "baseline")]
    pub scenario: Option<String>,
    /// Kernels to gate; all that both builds have and this CPU runs by default
    #[arg(long, value_delimiter = ',', value_parser = words::name, value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// The whole matrix of the scenario instead of the smaller one of --quick, and decoding of synth:2b-4t, which takes
    /// half an hour more (a baseline brings its own)
    #[arg(long, conflicts_with_all = ["quick", "baseline"])]
    pub full: bool,
    /// The smaller matrix, which is the default here
    #[arg(long)]
    pub quick: bool,
    /// Smallest slowdown that matters; 3% by default
    #[arg(long, value_name = "PERCENT")]
    pub delta: Option<String>,
    /// What to print
    #[arg(long, value_enum, ignore_case = true, default_value_t = GateFormat::Human)]
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

/// What the flags come to.
struct Against {
    label: String,
    program: PathBuf,
    scenario: Scenario,
    full: bool,
    kernels: Option<Vec<String>>,
    machine: Machine,
    seed: u64,
    stored: Vec<ExactCheck>,
}

/// Runs the command.
pub fn run(args: &GateArgs, out: &Output) -> Result<()> {
    build_info::refuse_to_time_a_debug_build()?;
    let delta = percent(args.delta.as_deref(), sequential::DELTA)?;
    let inject = args.inject.as_deref().map(injection).transpose()?;
    let scratch = Scratch::new()?;
    let against = against(args, scratch.path())?;
    let strict = args.strict || bitnet_environment::strict_mode()?;
    if strict {
        against.machine.refuse_mask()?;
    }
    let current = match &args.current {
        Some(path) => path.clone(),
        None => std::env::current_exe().map_err(|e| Error::failed(format!("cannot find this program: {e}")))?,
    };
    let last_level_cache_bytes = last_level::to_outgrow(&against.machine, interrupt::flag())?;
    let (mut folder, mut receipt) = begin(args.out.as_deref(), &against)?;
    let asked = Asked {
        label: against.label,
        baseline: against.program,
        current,
        scenario: &against.scenario,
        full: against.full,
        kernels: against.kernels,
        machine: &against.machine,
        seed: against.seed,
        delta,
        inject,
        last_level_cache_bytes,
        stored: against.stored,
    };
    folder.begin(&receipt)?;
    let start = Instant::now();
    let progress = Progress::start("gate: exact checks", sequential::PAIR_LOOKS[0] as u64);
    let outcome = gate::run(&asked, &progress, |record| {
        receipt.gate = Some(record.clone());
        receipt.elapsed_s = start.elapsed().as_secs_f64();
        folder.save(&receipt).map(|_| ())
    });
    drop(progress);
    receipt.elapsed_s = start.elapsed().as_secs_f64();
    receipt.host.load_after = Some(host::load());
    let record = match outcome {
        Ok(record) => record,
        Err(error) if receipt.gate.as_ref().is_none_or(|g| g.cells.iter().all(|c| c.pairs.is_empty())) => {
            folder.abandon();
            return Err(error);
        }
        Err(error) => {
            runs::close(&mut receipt, Some(&error));
            folder.save(&receipt)?;
            runs::render_run(folder.path())?;
            return Err(error);
        }
    };
    receipt.gate = Some(record.clone());
    runs::close(&mut receipt, None);
    folder.save(&receipt)?;
    let paths = runs::render_run(folder.path())?;
    let summary = reports::gate_markdown(&receipt);
    crate::files::write_atomic(&folder.path().join("summary.md"), summary.as_bytes())?;
    match if args.json { GateFormat::Json } else { args.format } {
        GateFormat::Human => {
            out.line(reports::gate_table(&record, out.color()).trim_end())?;
            out.line(paths.html.display().to_string())?;
        }
        GateFormat::Json => out.json(&record)?,
        GateFormat::Junit => out.line(reports::export::junit(&receipt)?.trim_end())?,
        GateFormat::Github => {
            out.line(reports::gate_annotations(&record).trim_end())?;
            step_summary(&summary)?;
        }
    }
    hold_to_strict(strict, &record)?;
    conclude(&record)
}

/// The exit code of the verdict. PASS says so on the last line before the path.
fn conclude(record: &GateRecord) -> Result<()> {
    let words = format!("{}: {}; next: {}", reports::outcome_word(record.outcome), record.reason, record.next_step);
    if record.outcome == Outcome::Pass { Ok(()) } else { Err(Error::verdict(record.outcome, words)) }
}

/// `--strict`: a kernel that was asked for and left out is an error, as is everything that is not PASS.
fn hold_to_strict(strict: bool, record: &GateRecord) -> Result<()> {
    let broken = record.cells.iter().filter(|c| c.verdict.outcome == Outcome::Unsupported).map(title);
    let left_out: Vec<String> = record.unsupported.iter().map(|u| u.kernel.clone()).chain(broken).collect();
    if !strict || record.outcome != Outcome::Pass {
        return Ok(());
    }
    if !left_out.is_empty() {
        let which = left_out.join(", ");
        return Err(Error::unsupported(format!("--strict: not compared here: {which}; run where all of them do")));
    }
    let dirty = [&record.baseline, &record.current].into_iter().find(|s| s.build.git_dirty != Some(false));
    match dirty {
        Some(side) => Err(Error::failed(format!(
            "--strict: {} was not built from a clean commit; commit, build and gate again",
            side.label
        ))),
        None => Ok(()),
    }
}

fn step_summary(summary: &str) -> Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from) else { return Ok(()) };
    use std::io::Write;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut f| f.write_all(summary.as_bytes()))
        .map_err(|e| Error::io("write the step summary to", &path, &e))
}

/// The receipt of a gate before anything is known, and its folder.
fn begin(out: Option<&Path>, against: &Against) -> Result<(RunFolder, Receipt)> {
    let timestamp = jiff::Timestamp::now().to_string();
    let folder = RunFolder::create(out, "gate", &timestamp)?;
    let receipt = crate::runs::new_receipt(timestamp, &against.scenario, &against.machine, against.seed);
    Ok((folder, receipt))
}

fn against(args: &GateArgs, scratch: &Path) -> Result<Against> {
    if let Some(name) = &args.baseline {
        let (kept, program) = Store::new(args.dir.as_deref()).load(name)?;
        let mut scenario = Scenario::parse(&format!("baseline {name}'s scenario"), &kept.scenario)?;
        if kept.quick || args.quick {
            scenario.make_quick();
        }
        scenario.require_micro()?;
        let machine = args.machine.or_else(kept.threads, kept.cpu_features.as_deref()).check(1)?;
        let kernels = args.kernels.clone().or(kept.kernels);
        let (label, full) = (format!("baseline {name}"), !kept.quick && !args.quick);
        let seed = args.seed.unwrap_or(kept.seed);
        return Ok(Against { label, program, scenario, full, kernels, machine, seed, stored: kept.computed });
    }
    // clap asks for one of the two.
    let what = args.against.as_deref().unwrap_or_default();
    let mut scenario = Scenario::load(args.scenario.as_deref().unwrap_or("quick"))?;
    if !args.full {
        scenario.make_quick();
    }
    scenario.require_micro()?;
    let machine = args.machine.check(1)?;
    let path = Path::new(what);
    let (label, program) = if path.is_file() {
        (path.display().to_string(), path.to_path_buf())
    } else {
        gate::build_revision(what, scratch)?
    };
    let (kernels, seed) = (args.kernels.clone(), args.seed.unwrap_or(1));
    Ok(Against { label, program, scenario, full: args.full, kernels, machine, seed, stored: Vec::new() })
}

/// `3%`, `3` or `0.5%`: a share above 0 and below 1.
fn percent(text: Option<&str>, default: f64) -> Result<f64> {
    let Some(text) = text else { return Ok(default) };
    let number: Option<f64> = text.trim().trim_end_matches('%').trim_end().parse().ok();
    match number {
        Some(p) if p > 0.0 && p < 100.0 => Ok(p / 100.0),
        _ => Err(Error::input(format!("--delta {text}: give a percentage above 0 and below 100, for example 3%"))),
    }
}

/// `KERNEL:PERCENT`.
pub fn injection(text: &str) -> Result<Injection> {
    let wrong = || Error::input(format!("--inject {text}: write KERNEL:PERCENT, for example avx2-i8:5"));
    let (kernel, percent) = text.rsplit_once(':').ok_or_else(wrong)?;
    let percent: f64 = percent.trim_end_matches('%').parse().map_err(|_| wrong())?;
    if !(percent > 0.0 && percent <= 1000.0) {
        return Err(wrong());
    }
    if kernels::registry::find(kernel).is_none() {
        return Err(Error::input(crate::kernel_ids::unknown_kernel(kernel)));
    }
    Ok(Injection { kernel: kernel.into(), percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        assert_eq!(percent(Some("3%"), 0.1).expect("valid"), 0.03);
        assert_eq!(percent(Some(" 0.5 "), 0.1).expect("valid"), 0.005);
        assert_eq!(percent(None, 0.1).expect("valid"), 0.1);
        for bad in ["", "x", "0", "-1%", "100", "nan", "inf"] {
            assert!(percent(Some(bad), 0.1).is_err(), "{bad}");
        }
    }

    #[test]
    fn injections() {
        let planted = injection("avx2-i8:7.5").expect("valid");
        assert_eq!((planted.kernel.as_str(), planted.percent), ("avx2-i8", 7.5));
        for bad in ["avx2-i8", "avx2-i8:", "avx2-i8:-5", "avx2-i8:nan", "avx9:5", ":5"] {
            assert!(injection(bad).is_err(), "{bad}");
        }
    }
}
