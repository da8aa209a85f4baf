//! What a gate writes and prints besides its receipt. None of it changes the verdict or its exit code: what cannot be
//! written is a warning, and what can be tried is tried before the work.

use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::output::{Output, note};
use crate::runs::{SUMMARY_FILE, render_run};
use clap::ValueEnum;
use receipt::{RECEIPT_FILE, Receipt};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Formats in which `gate` prints its result.
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

/// What is written and printed when the gate has ended.
pub struct Ending {
    format: GateFormat,
    /// The job's summary page, with `github` where the system has one.
    step_summary: Option<PathBuf>,
}

impl Ending {
    /// Before the work: tries whether the job's summary page can be written.
    pub fn try_out(format: GateFormat) -> Self {
        let path = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
        let path = path.filter(|_| format == GateFormat::Github);
        let usable = |path: &PathBuf| match appending(path) {
            Ok(_) => true,
            Err(error) => {
                note(format!("warning: {error}, which GITHUB_STEP_SUMMARY names; the job gets no summary"));
                false
            }
        };
        Self { format, step_summary: path.filter(usable) }
    }

    /// Writes page, figures and summary beside the receipt, and prints. `refusal` is what `--strict` says.
    pub fn write(&self, receipt: &Receipt, folder: &Path, refusal: Option<&Error>, out: &Output) -> Result<()> {
        let page = warned(render_run(folder)).map(|paths| paths.html);
        let summary = reports::export::markdown(receipt);
        warned(write_atomic(&folder.join(SUMMARY_FILE), summary.as_bytes()));
        if let Some(path) = &self.step_summary {
            let written = appending(path).and_then(|mut file| {
                file.write_all(summary.as_bytes()).map_err(|e| Error::io("write the step summary to", path, &e))
            });
            warned(written);
        }
        match self.format {
            GateFormat::Human => {
                out.line(reports::summary(receipt, out.look()).trim_end())?;
                out.line(page.unwrap_or_else(|| folder.join(RECEIPT_FILE)).display().to_string())
            }
            GateFormat::Json => out.json(&receipt.gate),
            GateFormat::Junit => out.line(reports::export::junit(receipt)?.trim_end()),
            GateFormat::Github => {
                out.line(reports::gate_annotations(receipt).trim_end())?;
                refusal.map_or(Ok(()), |why| out.line(reports::annotation("error", &why.to_string())))
            }
        }
    }
}

/// The value of `done`; an error is printed as a warning and gives `None`, because the verdict stands without it.
pub fn warned<T>(done: Result<T>) -> Option<T> {
    done.inspect_err(|error| note(format!("warning: {error}; the receipt is complete"))).ok()
}

fn appending(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|e| Error::io("write the step summary to", path, &e))
}
