//! `report`: renders receipts again. It reads receipts only, so a run of any day and machine can be shown.

use crate::amdahl::{self, AmdahlRow};
use crate::claims;
use crate::cli::ReportArgs;
use crate::error::Result;
use crate::output::Output;
use crate::receipt::read_receipt;
use crate::report::{summary_table, write_comparison, write_run_folder};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Runs the command.
pub fn run(args: &ReportArgs, out: &Output) -> Result<()> {
    #[derive(Serialize)]
    struct Printed {
        report: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        amdahl: Option<Vec<AmdahlRow>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        claims: Option<Vec<claims::Judged>>,
    }
    // Derived from the receipt, of one run only.
    let mut derived = (None, None);
    let path = match &args.runs[..] {
        [one] => {
            let receipt = read_receipt(one)?;
            let own = if one.is_dir() { one.clone() } else { one.parent().unwrap_or(Path::new(".")).to_path_buf() };
            let paths = write_run_folder(&receipt, args.out.as_ref().unwrap_or(&own))?;
            if !args.json {
                out.line(summary_table(&receipt, out.color()).trim_end())?;
            }
            derived = (Some(amdahl::rows(&receipt)), Some(claims::judge_all(&receipt)));
            paths.html
        }
        several => {
            let named = several.iter().map(|path| Ok((path.display().to_string(), read_receipt(path)?)));
            let receipts = named.collect::<Result<Vec<_>>>()?;
            write_comparison(&receipts, &args.out.clone().unwrap_or_else(|| PathBuf::from("comparison.html")))?
        }
    };
    let report = path.display().to_string();
    let (amdahl, claims) = derived;
    if args.json { out.json(&Printed { report, amdahl, claims }) } else { out.line(report) }
}
