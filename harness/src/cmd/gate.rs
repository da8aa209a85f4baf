//! `gate`: is the current build slower than another, or does it compute something else? Exit codes follow the verdict.

use super::gate_output::{Ending, GateFormat, warned};
use crate::error::{Error, Result};
use crate::gate::{self, Asked, Kept, Named, Revision, Scratch, Side, Sides, Store};
use crate::guests::{GuestArgs, Guests};
use crate::machine::{Machine, MachineArgs, emulated, host};
use crate::measure::last_level;
use crate::operation::recorded;
use crate::output::Output;
use crate::progress::Progress;
use crate::runs::{self, RunFolder};
use crate::scenario::Scenario;
use crate::{bitnet_environment, build_info, interrupt, words};
use clap::Args;
use receipt::judge::gate::{BASELINE, CURRENT, summarize_run, title};
use receipt::judge::sequential;
use receipt::{GateRecord, Injection, Outcome, titles};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Flags of `gate`.
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
    /// Also fail when anything is left out, for want of a baseline or of this CPU, or a build has uncommitted changes
    #[arg(long)]
    pub strict: bool,
    /// Run folder to write; by default a new one in tritbench-runs, in a checkout in reports/runs
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
    /// Kernels of others, which both builds load
    #[command(flatten)]
    pub guests: GuestArgs,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// The build measured against.
enum Baseline {
    Program(Side),
    Revision(Revision),
}

/// Runs `gate`.
pub fn run(args: &GateArgs, out: &Output) -> Result<()> {
    build_info::refuse_to_time_a_debug_build()?;
    let delta = percent(args.delta.as_deref(), sequential::DELTA)?;
    let inject = args.inject.as_deref().map(injection).transpose()?;
    emulated::refuse_to_time()?;
    // Before a revision is built, which takes minutes.
    RunFolder::try_out(args.out.as_deref())?;
    let ending = Ending::try_out(if args.json { GateFormat::Json } else { args.format });
    let scratch = Scratch::new()?;
    let (for_baseline, for_current) = (scratch.path.join("a"), scratch.path.join("b"));
    let current = Kept::given("--current", args.current.as_deref(), &for_current)?.side(CURRENT)?;
    let (mut asked, baseline) = against(args, &for_baseline)?;
    (asked.delta, asked.inject) = (delta, inject);
    asked.guests = Guests::open(&args.guests, &asked.machine, asked.seed)?;
    let verified = asked.guests.verify()?;
    let strict = args.strict || bitnet_environment::strict_mode()?;
    if strict {
        asked.machine.refuse_mask()?;
    }
    let timestamp = jiff::Timestamp::now().to_string();
    let mut folder = RunFolder::create(args.out.as_deref(), "gate", &timestamp)?;
    let mut receipt = runs::new_receipt(timestamp, &asked.scenario, &asked.machine, asked.seed);
    receipt.kernels.extend(asked.guests.records().cloned());
    receipt.verify.extend(verified);
    // The folder can be written to. From here on it is left as it was found, until there is something to write.
    let built = built(baseline, &for_baseline)
        .and_then(|built| Ok((built, last_level::to_outgrow(&asked.machine, interrupt::flag())?)));
    let ((baseline, commit), last_level_cache_bytes) = built.inspect_err(|_| folder.abandon())?;
    let sides = Sides { baseline, commit, current, folder: &scratch.path };
    folder.begin(&receipt)?;
    let start = Instant::now();
    let progress = Progress::start("gate: exact checks", sequential::PAIR_LOOKS[0] as u64);
    let outcome = gate::run(&asked, &sides, last_level_cache_bytes, &progress, |record| {
        receipt.gate = Some(record.clone());
        receipt.elapsed_s = start.elapsed().as_secs_f64();
        folder.save(&receipt).map(|_| ())
    });
    drop(progress);
    receipt.elapsed_s = start.elapsed().as_secs_f64();
    receipt.host.load_after = Some(host::load());
    let outcome = outcome.map(|record| receipt.gate = Some(record));
    summarize_run(&mut receipt);
    match outcome {
        Ok(()) => {}
        Err(error) if receipt.gate.as_ref().is_none_or(|g| g.cells.iter().all(|c| c.pairs.is_empty())) => {
            folder.abandon();
            return Err(error);
        }
        Err(error) => {
            runs::close(&mut receipt, Some(&error));
            // The error that ended the gate is the one to report.
            warned(folder.save(&receipt).and_then(|_| runs::render_run(&folder.path)));
            return Err(error);
        }
    }
    runs::close(&mut receipt, None);
    folder.save(&receipt)?;
    let Some(record) = &receipt.gate else { return Err(Error::failed("the gate left no record")) };
    let refusal = hold_to_strict(strict, record).err();
    ending.write(&receipt, &folder.path, refusal.as_ref(), out)?;
    refusal.map_or_else(|| conclude(record), Err)
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
    let Some(side) = dirty else { return Ok(()) };
    let what = "was not built from a clean commit; commit, build and gate again";
    Err(Error::failed(format!("--strict: {} {what}", side.label)))
}

/// A program as it is now.
fn program(named: &str, path: &Path, folder: &Path) -> Result<Baseline> {
    Ok(Baseline::Program(Kept::take(named, path, folder)?.side(BASELINE)?))
}

/// The build measured against, and the commit that it must be of if it is built for this.
fn built(baseline: Baseline, folder: &Path) -> Result<(Side, Option<String>)> {
    match baseline {
        Baseline::Program(side) => Ok((side, None)),
        Baseline::Revision(revision) => {
            let side = gate::build_revision(&revision, folder)?.side(BASELINE)?;
            Ok((side, Some(revision.commit)))
        }
    }
}

/// What the flags come to, but for the slowdowns; `folder` is for a copy of the program.
fn against(args: &GateArgs, folder: &Path) -> Result<(Asked, Baseline)> {
    let (delta, inject) = (sequential::DELTA, None);
    if let Some(name) = &args.baseline {
        let (kept, path) = Store::new(args.dir.as_deref()).load(name)?;
        let mut scenario = Scenario::of_any_build(&format!("baseline {name}'s scenario"), &kept.scenario)?;
        let whole = scenario.clone();
        if kept.quick || args.quick {
            scenario.make_quick();
        }
        scenario.require_micro()?;
        let machine = args.machine.or_else(kept.threads, kept.cpu_features.as_deref()).to_measure(1)?;
        let kernels = args.kernels.clone().or(kept.kernels);
        let (label, full) = (format!("baseline {name}"), !kept.quick && !args.quick);
        let seed = args.seed.unwrap_or(kept.seed);
        // What --quick leaves out of a whole matrix is left out on purpose.
        let narrowed = if kept.quick { Vec::new() } else { subjects(&whole, &machine) };
        let asked_for = subjects(&scenario, &machine);
        let mut stored = kept.computed;
        stored.retain(|check| asked_for.contains(&check.subject) || !narrowed.contains(&check.subject));
        let baseline = program(&format!("--baseline {name}"), &path, folder)?;
        let guests = Guests::none();
        return Ok((Asked { label, scenario, full, kernels, machine, seed, delta, inject, guests, stored }, baseline));
    }
    // clap asks for one of the two.
    let what = args.against.as_deref().unwrap_or_default();
    let mut scenario = Scenario::load_of_any_build(args.scenario.as_deref().unwrap_or("quick"))?.0;
    if !args.full {
        scenario.make_quick();
    }
    scenario.require_micro()?;
    let machine = args.machine.to_measure(1)?;
    let (label, baseline) = match gate::find(what)? {
        Named::Program(path) => (what.to_owned(), program(&format!("--against {what}"), &path, folder)?),
        Named::Revision(revision) => (revision.label(), Baseline::Revision(revision)),
    };
    let (full, kernels, seed, stored) = (args.full, args.kernels.clone(), args.seed.unwrap_or(1), Vec::new());
    let guests = Guests::none();
    Ok((Asked { label, scenario, full, kernels, machine, seed, delta, inject, guests, stored }, baseline))
}

/// What the outputs of a matrix are called in checks.
fn subjects(scenario: &Scenario, machine: &Machine) -> Vec<String> {
    let cells = scenario.cells(machine.l2()).into_iter();
    cells.map(|c| titles::product(recorded(c.op), c.shape.m, c.shape.k, c.tokens)).collect()
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

/// Reads a slowdown to plant, written `KERNEL:PERCENT`.
pub fn injection(text: &str) -> Result<Injection> {
    let wrong = || Error::input(format!("--inject {text}: write KERNEL:PERCENT, for example avx2-i8:5"));
    let (kernel, percent) = text.rsplit_once(':').ok_or_else(wrong)?;
    let percent: f64 = percent.trim_end_matches('%').parse().map_err(|_| wrong())?;
    if !(percent > 0.0 && percent <= 1000.0) {
        return Err(wrong());
    }
    if crate::registered::find(kernel).is_none() {
        return Err(crate::kernel_ids::unknown(kernel));
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
        let planted = injection("scalar-i8:7.5").expect("valid");
        assert_eq!((planted.kernel.as_str(), planted.percent), ("scalar-i8", 7.5));
        for bad in ["scalar-i8", "scalar-i8:", "scalar-i8:-5", "scalar-i8:nan", "avx9:5", ":5"] {
            assert!(injection(bad).is_err(), "{bad}");
        }
    }
}
