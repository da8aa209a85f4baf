//! `doctor`: is this machine fit to measure? What `compare` looks at before it begins, line by line.

use crate::error::{Error, Result};
use crate::examine::examine;
use crate::machine::{MachineArgs, host};
use crate::output::{Output, table};
use crate::progress::Progress;
use crate::scenario::Scenario;
use crate::{build_info, matrix};
use clap::Args;
use receipt::judge::doctor::{Grade, Line, grade};
use receipt::{Examination, Host, Outcome};
use serde::Serialize;

/// Flags of `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Built-in scenario or TOML file whose memory must be there
    #[arg(long, value_name = "NAME|FILE", default_value = "quick")]
    pub scenario: String,
    /// A smaller matrix, as compare --quick has it
    #[arg(long)]
    pub quick: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Threads (1 by default), pinning, features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What `doctor --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    grade: Grade,
    lines: &'a [Line],
    host: &'a Host,
    examination: &'a Examination,
}

/// Runs `doctor`: exit 4 where something forbids measuring.
pub fn run(args: &DoctorArgs, out: &Output) -> Result<()> {
    build_info::refuse_to_time_a_debug_build()?;
    let mut scenario = Scenario::load(&args.scenario)?;
    if args.quick {
        scenario.make_quick();
    }
    // Looked at before --pin leaves this process one CPU.
    let host = host::host();
    let machine = args.machine.check(1)?;
    let kernels = machine.kernels(scenario.kernel_ids().as_deref())?;
    let needed = matrix::least_memory(&scenario.cells(machine.l2()), &kernels);
    let progress = Progress::start("looking at this machine", 0);
    let found = examine(needed);
    drop(progress);
    let lines = grade(&host, &found, &machine.settings(0));
    let worst = lines.first().map_or(Grade::Good, |line| line.grade);
    if args.json {
        out.json(&Printed { grade: worst, lines: &lines, host: &host, examination: &found })?;
    } else {
        let rows = lines.iter().map(|line| {
            let mend = line.mend.clone().unwrap_or_default();
            vec![line.grade.in_words().into(), line.what.into(), line.text.clone(), mend]
        });
        out.line(table(&["", "what", "found", "what mends it"], &[], rows))?;
    }
    let forbidding: Vec<&str> = lines.iter().filter(|l| l.grade == Grade::Forbids).map(|l| l.what).collect();
    if forbidding.is_empty() {
        return Ok(());
    }
    let what = format!("measuring here decides nothing until this is mended: {}", forbidding.join(", "));
    Err(Error::verdict(Outcome::Unstable, what))
}
