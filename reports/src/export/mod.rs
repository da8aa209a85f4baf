//! Receipts in the formats of other tools. Each is one function from a receipt to text, and each is held to its
//! format's published rules by a test.

mod bencher;
mod bitnet;
mod cases;
mod github_benchmark;
mod junit;
mod latencies;
mod llama_bench;

pub use crate::run::markdown;
pub use cases::{Case, State, cases};
pub use junit::junit;

use receipt::Receipt;
use receipt::{Error, Result};
use serde::Serialize;

/// What `receipt export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A row a cell and kernel, as measurements.csv, and the cells of a gate
    Csv,
    /// Bencher Metric Format
    Bmf,
    /// github-action-benchmark, customSmallerIsBetter
    Gha,
    /// JUnit XML
    Junit,
    /// A receipt as BitNet.rs reads it
    Bitnet,
    /// Markdown for a pull request comment
    Markdown,
    /// The table of llama-bench, of the engines that were checked and are right
    LlamaBench,
}

impl Format {
    /// All export formats.
    pub const ALL: [Self; 7] =
        [Self::Csv, Self::Bmf, Self::Gha, Self::Junit, Self::Bitnet, Self::Markdown, Self::LlamaBench];

    /// The format's name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Bmf => "bmf",
            Self::Gha => "gha",
            Self::Junit => "junit",
            Self::Bitnet => "bitnet",
            Self::Markdown => "markdown",
            Self::LlamaBench => "llama-bench",
        }
    }

    /// What the format is, for a command line's help.
    pub fn help(self) -> &'static str {
        match self {
            Self::Csv => "A row a cell and kernel, as measurements.csv, and the cells of a gate",
            Self::Bmf => "Bencher Metric Format",
            Self::Gha => "github-action-benchmark, customSmallerIsBetter",
            Self::Junit => "JUnit XML",
            Self::Bitnet => "A receipt as BitNet.rs reads it",
            Self::Markdown => "Markdown for a pull request comment",
            Self::LlamaBench => "The table of llama-bench, of the engines that were checked and are right",
        }
    }
}

/// A receipt in one of the export formats, as bytes.
///
/// # Errors
/// A run that the format cannot hold.
pub fn export(receipt: &Receipt, format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Csv => crate::measurements(receipt),
        Format::Bmf => json(&bencher::bencher(receipt)),
        Format::Gha => json(&github_benchmark::github_benchmark(receipt)),
        Format::Junit => junit(receipt).map(String::into_bytes),
        Format::Bitnet => json(&bitnet::bitnet(receipt)?),
        Format::Markdown => Ok(markdown(receipt).into_bytes()),
        Format::LlamaBench => llama_bench::llama_bench(receipt).map(String::into_bytes),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| Error::failed(format!("cannot write the export as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}
