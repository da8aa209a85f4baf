//! `receipt`: recheck, export, schema.

use crate::build_info::sha256_hex;
use crate::cli::ReceiptCommand;
use crate::error::Result;
use crate::export::{Format, export};
use crate::files::write_atomic;
use crate::output::{Output, note};
use crate::receipt::{SCHEMA_VERSION, read_receipt, read_value, schema};
use crate::recheck::{recheck, refusal, require};
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
        return Err(refusal(&found.receipt, first, found.problems.len()));
    }
    if !json {
        let (file, values) = (found.receipt.display(), found.values_with_digest);
        let digests = if values > 0 { format!("{values} values are as written, ") } else { String::new() };
        out.line(format!("{file} holds: {digests}all that follows from raw data was recomputed to the same bits"))?;
    }
    Ok(())
}

/// Most exports state nothing about whether a receipt holds; one that does not is exported with a warning, so that it can be looked at.
fn write(path: &Path, format: Format, file: Option<&Path>, out: &Output) -> Result<()> {
    let receipt = read_receipt(path)?;
    let (source, bytes, _) = read_value(path)?;
    if format == Format::Intoto {
        // A statement is made to be signed.
        require(path)?;
    } else if let Some(first) = recheck(path)?.problems.first() {
        note(format!("warning: {} does not hold: {}; see `receipt verify`", source.display(), first.line()));
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
