//! The receipt: everything a run measured, as one JSON file. Reports and gates read receipts and nothing else.

mod bitnet_rs;
mod calibration;
mod count;
mod gate;
mod generation;
mod integrity;
mod layout;
mod limits;
mod micro;
mod provenance;
mod schema;
mod sparsity;
mod store;
mod verdict;

pub use bitnet_rs::BitnetRs;
pub use calibration::{CalibrationCell, CalibrationRecord, CalibrationTrial};
pub use count::{CountRecord, LoopRecord, Mix, StaticModel};
pub use gate::{ExactCheck, GateCell, GatePair, GateRecord, GateSide, Injection, Unsupported};
pub use generation::{
    BlockEntry, BlockRound, BlockSummary, DecodeTimesNs, ForwardMs, GenerationKernel, GenerationRecord,
    GenerationRound, GoldenCheck, HeadEffect, KvCacheRecord, LutFinding, PerplexityKernel, PerplexityRecord, PhasesMs,
    PrefillProbe, PrefillRecord, SparseFfnRecord, SparseProbe, TokenBlocks,
};
pub use integrity::{FIELD as INTEGRITY_FIELD, Integrity};
pub use limits::{
    Bandwidth, Bound, BoundBy, KernelMultiply, LastLevel, Limits, MultiplyPeak, Spread, SweepPoint, TeamPeak,
};
pub use micro::{Lead, MicroCell, MicroEntry, MicroSummary, Ratio, Residency, Round, StreamLimit};
pub use provenance::{Build, Host, Load, ModelRecord, ScenarioRecord, Settings};
pub use schema::schema;
pub use sparsity::{SparsityPoint, SparsityRecord};
#[cfg(test)]
pub use store::parse_receipt;
pub use store::{RECEIPT_FILE, read_receipt, read_value, write_receipt};
pub use verdict::{Outcome, Rule, Verdict};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Version of the layout below. A reader refuses a major version it does not know.
pub const SCHEMA_VERSION: &str = "1.2.0";

/// How far the run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The run was still going when this was written; seen only if it was killed.
    Running,
    /// Everything asked for was measured.
    Complete,
    /// Stopped by the user; what is here was measured, the rest is absent.
    Interrupted,
    /// Stopped by an error, which is in `error`.
    Failed,
}

/// One run.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Receipt {
    /// Layout version, see [`SCHEMA_VERSION`].
    pub schema_version: String,
    /// How far the run got.
    pub status: Status,
    /// Why the run failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Start of the run, RFC 3339, UTC.
    pub timestamp: String,
    /// Wall time of the whole run in seconds.
    pub elapsed_s: f64,
    /// The command line as typed.
    pub argv: Vec<String>,
    /// What was built, and how.
    pub build: Build,
    /// The machine.
    pub host: Host,
    /// What was asked for.
    pub scenario: ScenarioRecord,
    /// Flags that change what is measured.
    pub settings: Settings,
    /// Every registered kernel, whether it ran here, and if not, why not.
    pub kernels: Vec<KernelRecord>,
    /// The model of the end-to-end part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRecord>,
    /// Correctness, before any timing: one entry a kernel.
    pub verify: Vec<VerifyRecord>,
    /// Bandwidth, clock and peak products of this machine; absent in older receipts and where nothing was timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Microbenchmarks, raw rounds included.
    pub micro: Vec<MicroCell>,
    /// Instructions of one gemv of each kernel, at one small shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<CountRecord>,
    /// Why some kernel was not counted, or none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_skipped: Option<String>,
    /// Why no static model of a CPU was asked about the counted loops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_model_skipped: Option<String>,
    /// Rule of the microbenchmarks' verdicts; absent in receipts before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// A regression gate, if this run was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateRecord>,
    /// A calibration of the gate, if this run was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationRecord>,
    /// Real generation, each kernel in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationRecord>,
    /// Perplexity per kernel, and what the seed's table does to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<PerplexityRecord>,
    /// What the quantised output head does to perplexity; absent with the f16 head, and where text means nothing to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_effect: Option<HeadEffect>,
    /// Feed-forward blocks with and without exact sparsity over live shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<SparsityRecord>,
    /// Statements generated from the numbers above.
    pub findings: Vec<Finding>,
    /// The run as a receipt of BitNet.rs, computed from the above whenever the receipt is written; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitnet_rs: Option<BitnetRs>,
    /// Digests of all of the above, made whenever the receipt is written; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
}

impl Receipt {
    /// The machine's caches by level, the last as large as reading showed it, where this run measured that.
    pub fn caches(&self) -> Vec<u64> {
        let reported = &self.host.caches_bytes;
        self.limits.as_ref().map_or_else(|| reported.clone(), |limits| limits.caches(reported))
    }
}

/// A registered kernel as the report shows it.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct KernelRecord {
    /// `{isa}-{technique}`.
    pub id: String,
    /// `scalar`, `avx2`, ...
    pub isa: String,
    /// `W2A32` (f32 activations) or `W2A8` (int8 activations, exact int32).
    pub family: String,
    /// Name of the packed layout it reads.
    pub packing: String,
    /// Bits a weight takes in that layout, scales included.
    pub bits_per_weight: f64,
    /// `f32` or `i8`.
    pub activations: String,
    /// Whether its results equal the oracle bit for bit.
    pub exact: bool,
    /// Operations it implements.
    pub ops: Vec<String>,
    /// The stage it builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds_on: Option<String>,
    /// One sentence.
    pub summary: String,
    /// Whether this CPU (with this run's feature mask) runs it.
    pub available: bool,
    /// If not, why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The conformance suite's verdict on one kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct VerifyRecord {
    /// Kernel id.
    pub id: String,
    /// Whether this CPU runs it.
    pub available: bool,
    /// If not, why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its results are integers that must equal the oracle's.
    #[serde(default)]
    pub exact: bool,
    /// Cases run.
    pub cases: usize,
    /// Cases whose result was outside the bound.
    pub mismatches: usize,
    /// Largest absolute difference from the oracle.
    #[serde(deserialize_with = "finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub max_abs_error: f64,
    /// Largest difference relative to the row's sum of |weight x activation|.
    #[serde(deserialize_with = "finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub max_relative_error: f64,
    /// Bound on the relative error: 0 for exact kernels.
    pub bound: f64,
    /// The first mismatch in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_mismatch: Option<String>,
}

/// One statement in words, generated from this receipt's numbers.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Finding {
    /// Short and specific.
    pub title: String,
    /// One or two sentences with the figures.
    pub text: String,
    /// Where in the receipt the figures are (a JSON pointer).
    pub evidence: String,
}

/// JSON has no infinities: they are written as null, and a receipt of a run that met one must stay readable.
fn finite_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
