//! `verify`: every kernel against the oracle, and what is no kernel: sparse rows and columns, output heads.

use crate::error::{Error, Result};
use crate::gpu::DeviceArgs;
use crate::guests::{GuestArgs, Guests};
use crate::interrupt;
use crate::kernel_ids::in_registry_order;
use crate::machine::{Machine, MachineArgs};
use crate::output::{Output, table};
use crate::progress::Progress;
use crate::registered;
use crate::words;
use clap::Args;
use kernels::conformance::products::paths;
use kernels::{Kernel, KernelDescriptor, conformance};
use receipt::{RowStatus, VerifyRecord};

/// Flags of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Kernels to verify; all by default
    #[arg(long, value_delimiter = ',', value_parser = words::name, value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Kernels of others
    #[command(flatten)]
    pub guests: GuestArgs,
    /// The CPU, or a GPU
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads, pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Runs `verify`.
pub fn run(args: &VerifyArgs, out: &Output) -> Result<()> {
    let machine = args.machine.to_measure(1)?;
    let mut guests = Guests::open(&args.guests, &machine, 1)?;
    let named = guests.take_named(args.kernels.clone())?;
    let descriptors = match &named {
        // A named kernel that cannot run is an error, not a row.
        Some(ids) => {
            let descriptors = in_registry_order(ids)?;
            descriptors.iter().try_for_each(|d| machine.kernel(d.id).map(|_| ()))?;
            descriptors
        }
        None => registered::all().collect(),
    };
    let mut records = verify(&descriptors, &machine)?;
    records.extend(guests.verify()?);
    // Whoever names kernels asked for those alone.
    if args.kernels.is_none() && guests.is_empty() {
        records.extend(verify_products(&machine)?);
    }
    finish(&records, args.json, out)
}

/// Prints what the suite found, and fails where it found something.
pub fn finish(records: &[VerifyRecord], json: bool, out: &Output) -> Result<()> {
    let without_time = |r: &&VerifyRecord| !matches!(r.row_status(), RowStatus::Ok | RowStatus::Unsupported);
    let failed: Vec<&VerifyRecord> = records.iter().filter(without_time).collect();
    let wrong = failed.iter().all(|r| r.row_status() == RowStatus::Wrong);
    let named = |r: &&VerifyRecord| if wrong { r.id.clone() } else { format!("{} ({})", r.id, r.row_status()) };
    let failed = failed.iter().map(named).collect::<Vec<_>>().join(", ");
    if json {
        out.listing("kernels", records)?;
    } else {
        out.line(verify_table(records))?;
    }
    let what = if wrong { "mismatches in" } else { "not verified:" };
    if failed.is_empty() { Ok(()) } else { Err(Error::failed(format!("{what} {failed}"))) }
}

/// Runs the conformance suite for each of these kernels and records what it found.
pub fn verify(descriptors: &[&'static KernelDescriptor], machine: &Machine) -> Result<Vec<VerifyRecord>> {
    let progress = Progress::start("verifying kernels against the oracle", descriptors.len() as u64);
    let mut records = Vec::new();
    for (done, descriptor) in descriptors.iter().enumerate() {
        interrupt::check(format!("interrupted after verifying {done} of {} kernels", descriptors.len()))?;
        progress.step(done, format!("verifying {}", descriptor.id));
        let (outcome, bound, reason) = match Kernel::new(descriptor, machine.features) {
            Ok(kernel) => (conformance::verify(&kernel), conformance::bound(&kernel), None),
            Err(why) => (conformance::Outcome::default(), 0.0, Some(why.to_string())),
        };
        records.push(record(descriptor.id, outcome, bound, descriptor.exact(), reason));
    }
    Ok(records)
}

/// Runs the suite of the products that are not registered kernels, at every level.
fn verify_products(machine: &Machine) -> Result<Vec<VerifyRecord>> {
    let paths = paths();
    let progress = Progress::start("verifying sparse products and output heads", paths.len() as u64);
    let mut records = Vec::new();
    for (done, path) in paths.iter().enumerate() {
        interrupt::check(format!("interrupted after verifying {done} of {} products", paths.len()))?;
        progress.step(done, format!("verifying {}", path.id));
        let (outcome, reason) = match path.check(machine.features) {
            Ok(()) => (path.verify(), None),
            Err(why) => (conformance::Outcome::default(), Some(why.to_string())),
        };
        records.push(record(path.id, outcome, path.bound(), path.exact(), reason));
    }
    Ok(records)
}

/// A record of what the suite found.
pub fn record(
    id: &str,
    outcome: conformance::Outcome,
    bound: f64,
    exact: bool,
    reason: Option<String>,
) -> VerifyRecord {
    VerifyRecord {
        id: id.into(),
        available: reason.is_none(),
        reason,
        cases: outcome.cases,
        mismatches: outcome.mismatches,
        max_abs_error: outcome.max_abs_error,
        max_relative_error: outcome.max_relative_error,
        bound,
        exact,
        first_mismatch: outcome.first_mismatch,
        status: RowStatus::Ok,
    }
}

fn verify_table(records: &[VerifyRecord]) -> String {
    let rows = records.iter().map(|r| {
        let verdict = match (&r.reason, &r.first_mismatch) {
            (Some(reason), _) => reason.clone(),
            (_, Some(why)) => format!("{}: {why}", r.row_status()),
            _ if r.exact => "exact".into(),
            _ => format!("within {:.0e} of the row's absolute sum", r.bound),
        };
        vec![
            r.id.clone(),
            r.cases.to_string(),
            r.mismatches.to_string(),
            format!("{:.1e}", r.max_abs_error),
            format!("{:.1e}", r.max_relative_error),
            verdict,
        ]
    });
    table(&["kernel", "cases", "mismatches", "max abs error", "max rel error", "verdict"], &[1, 2, 3, 4], rows)
}
