//! `receipt`: recheck, export, schema.

use crate::cli::ReceiptCommand;
use crate::error::Result;
use crate::files::write_atomic;
use crate::output::{Output, note};
use crate::receipt_file::{self, recheck, require};
use model::hash::sha256_hex;
use receipt::figures::integer;
use receipt::recheck::refusal;
use receipt::{SCHEMA_VERSION, schema};
use reports::export::{Format, export};
use std::path::Path;

/// Runs the command.
pub fn run(command: &ReceiptCommand, out: &Output) -> Result<()> {
    match command {
        ReceiptCommand::Verify { receipt, json } => verify(receipt, *json, out),
        ReceiptCommand::Export { receipt, format, out: file } => write(receipt, *format, file.as_deref(), out),
        ReceiptCommand::Schema => out.json(&schema()),
    }
}

fn verify(path: &Path, json: bool, out: &Output) -> Result<()> {
    let found = recheck(path)?;
    if json {
        out.json(&found)?;
    } else {
        for problem in &found.problems {
            out.line(problem.line())?;
        }
        for text in &found.notes {
            note(format!("note: {text}"));
        }
    }
    if let Some(first) = found.problems.first() {
        return Err(refusal(&found.receipt.display().to_string(), first, found.problems.len()).into());
    }
    if !json {
        let (file, values) = (found.receipt.display(), found.values_with_digest);
        let digests = match values {
            0 => String::new(),
            values => format!("{} values match their digests, and ", integer(values)),
        };
        out.line(format!(
            "ok: {file}: {digests}every summary and verdict recomputed from the raw rounds is identical"
        ))?;
    }
    Ok(())
}

/// Exports a receipt. One that fails a check is exported with a warning, so that it can be examined; only an in-toto statement, which is
/// made to be signed, is refused.
fn write(path: &Path, format: Format, file: Option<&Path>, out: &Output) -> Result<()> {
    let (source, bytes) = receipt_file::bytes(path)?;
    let receipt = receipt::parse(&source.display().to_string(), &bytes)?;
    if format == Format::Intoto {
        require(path)?;
    } else if let Some(first) = recheck(path)?.problems.first() {
        note(format!("warning: {} fails a check: {}; see `receipt verify`", source.display(), first.line()));
    }
    if receipt.schema_version != SCHEMA_VERSION {
        note(format!("note: written with schema {}, read as {SCHEMA_VERSION}", receipt.schema_version));
    }
    let exported = export(&receipt, &sha256_hex(&bytes), format)?;
    match file {
        Some(file) => write_atomic(file, &exported),
        None => out.bytes(&exported),
    }
}
