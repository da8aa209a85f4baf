//! The program `tritbench`, as a library: [`main`] with a crate's own kernels is that program with these kernels added
//! to its own, listed, verified, timed and drawn like them (`kernels/examples/guest-rs` is such a crate).
//!
//! *For*: runs ternary kernels through microbenchmarks and real generation, gates builds, counts instructions, and
//! writes what came out. Data flows one way: scenario -> measurement -> receipt -> report.
//!
//! *Knows*: the command line, files, this machine, time, and every other crate of the workspace.
//!
//! *Must never know*: how a figure or a verdict follows from rounds (`receipt`), how it is shown (`reports`), how a
//! product or a token is computed (`kernels`, `model`).

// What is counted, followed and started on Linux alone is dead code elsewhere; here, lints find what is not used.
#![cfg_attr(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))), allow(dead_code))]
#![cfg_attr(not(unix), allow(unused_imports, unused_variables))]

mod bitnet_environment;
mod build_info;
mod choose;
mod cli;
mod cmd;
mod count;
mod engines;
mod error;
mod estimate;
mod examine;
mod files;
#[cfg(test)]
#[path = "../../reports/receipt/tests/fixture/mod.rs"]
mod fixture;
#[cfg(test)]
mod fuzzing;
mod gate;
mod gpu;
mod guests;
mod interrupt;
mod kernel_ids;
mod load_model;
mod machine;
mod matrix;
mod measure;
mod model_spec;
mod operation;
mod output;
mod progress;
mod receipt_file;
mod registered;
mod runs;
mod scenario;
mod usage;
mod words;
mod worker;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use error::{Error, Result};
use output::Output;
use std::process::ExitCode;

/// Runs `tritbench` on this process's command line, with `added` beside the registered kernels.
pub fn main(added: &[&'static kernels::KernelDescriptor]) -> ExitCode {
    if let Err(error) = registered::add(added) {
        eprintln!("error: {error}");
        return ExitCode::from(error::Exit::Input as u8);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    let out = Output(cli.color);
    match run(cli.command, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&error);
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn run(command: Command, out: &Output) -> Result<()> {
    bitnet_environment::check()?;
    // A worker may be followed instruction by instruction: no handler and no second thread in it before it knows.
    if !matches!(command, Command::Worker(_)) {
        interrupt::install();
        interrupt::ignore_file_size_signal();
        model::mapped_faults::install();
    }
    kernels::CpuFeatures::mask_from_environment()
        .map_err(|error| Error::input(format!("environment variable {}: {error}", kernels::MASK_VARIABLE)))?;
    match command {
        Command::List(args) => cmd::list::run(&args, out),
        // A GPU has commands of its own, which know those of the CPU and not the other way round.
        Command::Verify(args) => match args.device.gpu()? {
            Some(adapter) => gpu::verify(&adapter, &args, out),
            None => cmd::verify::run(&args, out),
        },
        Command::Compare(args) => match args.measure.device.gpu()? {
            Some(adapter) => gpu::compare(&adapter, &args, out),
            None => cmd::compare::run(&args, out),
        },
        Command::Micro(args) => match args.device.gpu()? {
            Some(adapter) => gpu::micro(&adapter, &args, out),
            None => cmd::compare::run_micro(&args, out),
        },
        Command::Count(args) => cmd::count::run(&args, out),
        Command::Doctor(args) => cmd::doctor::run(&args, out),
        Command::Limits(args) => match args.device.gpu()? {
            Some(adapter) => gpu::limits(&adapter, &args, out),
            None => cmd::limits::run(&args, out),
        },
        Command::Generate(args) => match args.model.device.gpu()? {
            Some(adapter) => gpu::generate(&adapter, &args, out),
            None => cmd::generate::run(&args, out),
        },
        Command::Perplexity(args) => match args.model.device.gpu()? {
            Some(adapter) => gpu::perplexity(&adapter, &args, out),
            None => cmd::perplexity::run(&args, out),
        },
        Command::Model(command) => cmd::model::run(&command, out),
        Command::Report(args) => cmd::report::run(&args, out),
        Command::Baseline(command) => cmd::baseline::run(&command, out),
        Command::Engine(command) => cmd::engine::run(&command, out),
        Command::Gate(args) => cmd::gate::run(&args, out),
        Command::Completions(args) => cmd::completions::run(&args, Cli::command(), out),
        Command::Man(args) => cmd::completions::man(&args, Cli::command()),
        Command::Worker(args) => worker::run(&args),
        Command::Receipt(command) => cmd::receipt::run(&command, out),
    }
}
