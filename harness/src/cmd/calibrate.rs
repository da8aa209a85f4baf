//! `calibrate`: how often the gate says FAIL on this machine without a slowdown, and how often with one. It gates this
//! build against itself, with and without planted slowdowns.

use crate::build_info;
use crate::machine::MachineArgs;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::gate::{self, Asked};
use crate::interrupt;
use crate::machine::host;
use crate::measure::last_level;
use crate::output::{Output, note, table};
use crate::progress::Progress;
use crate::runs;
use crate::runs::RunFolder;
use crate::scenario::Scenario;
use clap::Args;
use kernels::Family;
use receipt::judge;
use receipt::judge::sequential;
use receipt::{CalibrationCell, CalibrationRecord, CalibrationTrial, GateRecord, Injection, Receipt, Rule};
use std::time::Instant;

/// `calibrate`.
#[derive(Args, Debug)]
pub struct CalibrateArgs {
    /// Gates for each planted slowdown, and as many of the build against itself
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub trials: usize,
    /// Slowdowns to plant, in percent
    #[arg(long, value_delimiter = ',', value_name = "P,Q", default_values_t = [5.0, 10.0])]
    #[arg(allow_negative_numbers = true)]
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

/// Runs the command.
pub fn run(args: &CalibrateArgs, out: &Output) -> Result<()> {
    build_info::refuse_to_time_a_debug_build()?;
    if args.trials == 0 {
        return Err(Error::input("--trials 0 calibrates nothing; give at least 1"));
    }
    if let Some(bad) = args.effects.iter().find(|e| !(**e > 0.0 && **e <= 1000.0)) {
        return Err(Error::input(format!("--effects {bad}: give slowdowns in percent, for example 5,10")));
    }
    let mut scenario = Scenario::load(&args.scenario)?;
    scenario.require_micro()?;
    if !args.full {
        scenario.make_quick();
    }
    let machine = args.machine.check(1)?;
    let kernels: Vec<String> = match &args.kernels {
        Some(ids) => machine.kernels(Some(ids))?.iter().map(|k| k.id().to_owned()).collect(),
        // The most advanced kernel of each family: short epochs feel noise first.
        None => {
            let all = machine.kernels(None)?;
            let last = |f: &Family| all.iter().rfind(|k| k.descriptor().family() == *f);
            Family::ALL.iter().filter_map(last).map(|k| k.id().to_owned()).collect()
        }
    };
    let program = std::env::current_exe().map_err(|e| Error::failed(format!("cannot find this program: {e}")))?;
    let last_level_cache_bytes = last_level::to_outgrow(&machine, interrupt::flag())?;
    let timestamp = jiff::Timestamp::now().to_string();
    let mut folder = RunFolder::create(args.out.as_deref(), "calibrate", &timestamp)?;
    let mut receipt = crate::runs::new_receipt(timestamp, &scenario, &machine, args.seed);
    let mut effects = vec![0.0];
    effects.extend(args.effects.iter().copied());
    let rule = Rule::new(sequential::DELTA, "process pair", &sequential::PAIR_LOOKS, usize::MAX, 1);
    receipt.calibration = Some(CalibrationRecord { rule, effects: effects.clone(), trials: Vec::new() });
    folder.begin(&receipt)?;
    let start = Instant::now();
    let progress = Progress::start("calibrating", (args.trials * effects.len()) as u64);
    let mut outcome = Ok(());
    'trials: for trial in 0..args.trials {
        for &percent in &effects {
            let kernel = kernels[trial % kernels.len()].clone();
            let inject = (percent > 0.0).then_some(Injection { kernel, percent });
            let asked = Asked {
                label: "itself".into(),
                baseline: program.clone(),
                current: program.clone(),
                scenario: &scenario,
                full: false,
                kernels: Some(kernels.clone()),
                machine: &machine,
                // Another order of rounds each time, on the same data.
                seed: args.seed.wrapping_add(trial as u64),
                delta: sequential::DELTA,
                inject,
                last_level_cache_bytes,
                stored: Vec::new(),
            };
            match one(&asked) {
                Ok((record, trial)) => {
                    if let Some(calibration) = &mut receipt.calibration {
                        calibration.rule = record.rule;
                        calibration.trials.push(trial);
                    }
                }
                Err(error) => {
                    outcome = Err(error);
                    break 'trials;
                }
            }
            progress.add(1);
            receipt.elapsed_s = start.elapsed().as_secs_f64();
            folder.save(&receipt)?;
        }
        if interrupt::requested() {
            outcome = Err(Error::interrupted("interrupted; the gates that were finished are saved"));
            break;
        }
    }
    drop(progress);
    finish(&mut receipt, outcome, &folder, args.json, out)
}

fn one(asked: &Asked<'_>) -> Result<(GateRecord, CalibrationTrial)> {
    let load_1m = host::load().load_1m;
    let start = Instant::now();
    let record = gate::run(asked, &Progress::silent(), |_| Ok(()))?;
    if let Some(check) = record.checks.iter().find(|c| !c.passed) {
        return Err(Error::failed(format!(
            "{} of {} on {} differs between two processes of this build; run `tritbench verify`",
            check.what, check.kernel, check.subject
        )));
    }
    let cells = record.cells.iter().map(|cell| {
        let (effect, same) = judge::gate::samples(&cell.pairs, cell.threads);
        CalibrationCell {
            kernel: cell.kernel.clone(),
            op: cell.op.clone(),
            m: cell.m,
            k: cell.k,
            tokens: cell.tokens,
            residency: cell.residency,
            effect,
            same,
            verdict: cell.verdict.clone(),
        }
    });
    let trial = CalibrationTrial {
        inject: asked.inject.clone(),
        outcome: record.outcome,
        seconds: start.elapsed().as_secs_f64(),
        load_1m,
        cells: cells.collect(),
    };
    Ok((record, trial))
}

fn finish(receipt: &mut Receipt, outcome: Result<()>, folder: &RunFolder, json: bool, out: &Output) -> Result<()> {
    receipt.host.load_after = Some(host::load());
    runs::close(receipt, outcome.as_ref().err());
    let finished = receipt.calibration.as_ref().map_or(0, |c| c.trials.len());
    if finished == 0 {
        folder.abandon();
        return outcome;
    }
    folder.save(receipt)?;
    let paths = runs::render_run(folder.path())?;
    let Some(record) = &receipt.calibration else { return outcome };
    if json {
        out.json(record)?;
    } else {
        let rows = reports::calibration_rates(record).into_iter().map(|r| {
            let (low, high) = reports::share_interval(r.detected, r.gates);
            vec![
                if r.effect == 0.0 { "none".into() } else { format!("{}%", r.effect) },
                r.gates.to_string(),
                r.detected.to_string(),
                format!("{:.1}% to {:.1}%", 100.0 * low, 100.0 * high),
                r.elsewhere.to_string(),
                r.inconclusive.to_string(),
                r.unstable.to_string(),
                format!("{:.0}", r.seconds),
            ]
        });
        let header = ["planted", "gates", "FAIL", "95% interval", "elsewhere", "inconclusive", "unstable", "seconds"];
        out.line(table(&header, &[1, 2, 4, 5, 6, 7], rows))?;
        out.line(reports::calibration_sentence(record))?;
        out.line(paths.html.display().to_string())?;
    }
    if finished < record.effects.len() {
        note("few gates, so the 95% intervals are wide; --trials 40 narrows them");
    }
    outcome
}
