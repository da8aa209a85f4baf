//! `receipt`: rechecks a receipt, exports it to other tools' formats, prints its schema.

use crate::error::Result;
use crate::files::write_named;
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::receipt_file;
use crate::runs;
use crate::words;
use clap::Subcommand;
use clap::builder::{PossibleValue, TypedValueParser};
use receipt::figures::integer;
use receipt::recheck::{Checked, refusal, tally};
use receipt::{SCHEMA_VERSION, schema};
use reports::export::{Format, export};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The subcommands of `receipt`.
#[derive(Subcommand, Debug)]
pub enum ReceiptCommand {
    /// Recompute every figure and verdict from the raw rounds and compare digests; exit 1 names the first that differs
    #[command(
        after_help = "Examples:\n  tritbench receipt verify reports/runs/A\n  tritbench receipt verify fleet-results"
    )]
    Verify {
        /// Run folder or receipt file; or a folder that is searched for receipts, with a row for each
        #[arg(value_name = "RUN_DIR|RECEIPT|DIR")]
        receipt: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a receipt in another tool's format
    #[command(after_help = "Example: tritbench receipt export reports/runs/A --format junit --out junit.xml")]
    Export {
        /// Run folder or receipt file
        #[arg(value_name = "RUN_DIR|RECEIPT")]
        receipt: PathBuf,
        /// Format to write
        #[arg(long, value_parser = export_format(), ignore_case = true)]
        format: Format,
        /// File to write instead of standard output
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace an existing file
        #[arg(long, requires = "out")]
        force: bool,
    },
    /// Print the JSON Schema of receipts
    #[command(after_help = "Example: tritbench receipt schema > receipt-1.schema.json")]
    Schema,
}

/// The formats of exports, as `reports` names them.
fn export_format() -> impl TypedValueParser<Value = Format> {
    let names = Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.help()));
    // The list of names is the list of formats, so one is always found.
    let named = |name: String| Format::ALL.into_iter().find(|format| format.name() == name).unwrap_or(Format::Csv);
    words::one_of(names.into()).map(named)
}

/// Runs `receipt verify`, `export` or `schema`.
pub fn run(command: &ReceiptCommand, out: &Output) -> Result<()> {
    match command {
        ReceiptCommand::Verify { receipt, json } => verify(receipt, *json, out),
        ReceiptCommand::Export { receipt, format, out: file, force } => {
            let exported = exported(receipt, *format)?;
            match file {
                Some(file) => write_named(file, &exported, *force),
                None => out.bytes(&exported),
            }
        }
        ReceiptCommand::Schema => out.json(&schema()),
    }
}

/// What `verify DIR --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    verified: bool,
    receipts: &'a [Checked],
}

/// Verifies all receipts below a folder, a row each.
fn verify_all(folder: &Path, json: bool, out: &Output) -> Result<()> {
    let progress = Progress::start("checking receipts", 1);
    let say = |done, of| progress.say(format!("checking receipts ({done} of {of})"));
    let rows = runs::check_all(folder, |_, _, _| (), say)?.rows;
    drop(progress);
    let unsound = runs::unsound(folder, &rows);
    if json {
        out.json(&Printed { verified: unsound.is_ok(), receipts: &rows })?;
    } else {
        rows.iter().try_for_each(|row| out.line(row.line()))?;
        out.line(format!("{}: {}", folder.display(), tally(&rows)))?;
    }
    unsound
}

fn verify(path: &Path, json: bool, out: &Output) -> Result<()> {
    if receipt_file::holds_runs(path) {
        return verify_all(path, json, out);
    }
    let (file, bytes) = receipt_file::bytes(path)?;
    let found = receipt_file::check(file, &bytes)?;
    if json {
        out.json(&found)?;
    } else {
        found.problems.iter().try_for_each(|problem| out.line(problem.line()))?;
        found.notes.iter().for_each(|text| note(format!("note: {text}")));
    }
    if let Some(first) = found.problems.first() {
        return Err(refusal(&found.receipt.display().to_string(), first, found.problems.len()).into());
    }
    if !json {
        let digests = match found.values_with_digest {
            0 => String::new(),
            values => format!("{} values match their digests, and ", integer(values)),
        };
        let (file, what) = (found.receipt.display(), "every summary and verdict recomputed from the raw rounds");
        out.line(format!("ok: {file}: {digests}{what} is identical"))?;
    }
    Ok(())
}

/// Exports a receipt. One that fails a check is exported with a warning, so that it can be examined.
fn exported(path: &Path, format: Format) -> Result<Vec<u8>> {
    let (source, bytes) = receipt_file::bytes(path)?;
    let receipt = receipt::parse(&source.display().to_string(), &bytes)?;
    let found = receipt_file::check(source.clone(), &bytes)?;
    if let Some(first) = found.problems.first() {
        note(format!("warning: {} fails a check: {}; see `receipt verify`", source.display(), first.line()));
    }
    if receipt.schema_version != SCHEMA_VERSION {
        note(format!("note: written with schema {}, read as {SCHEMA_VERSION}", receipt.schema_version));
    }
    Ok(export(&receipt, format)?)
}
