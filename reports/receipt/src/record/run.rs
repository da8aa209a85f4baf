//! One run: everything it measured, as one JSON file.

use super::beside::BesideCell;
use super::choice::Choice;
use super::count::CountRecord;
use super::device::DeviceRecord;
use super::engines::EnginesRecord;
use super::finding::Finding;
use super::gate::{GateRecord, Unsupported};
use super::generation::GenerationRecord;
use super::kernel::{KernelRecord, VerifyRecord};
use super::limits::Limits;
use super::micro::MicroCell;
use super::perplexity::{HeadEffect, PerplexityRecord};
use super::provenance::{Build, Host, ModelRecord, ScenarioRecord, Settings};
use super::rules::RulesRecord;
use super::verdict::Rule;
use crate::integrity::Integrity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of a receipt's layout. A reader refuses a major version that it does not know.
pub const SCHEMA_VERSION: &str = "1.9.0";

/// How far a run got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The run was still going when this was written; seen only if it was killed.
    #[default]
    Running,
    /// Everything asked for was measured.
    Complete,
    /// Stopped by the user; what is here was measured, the rest is absent.
    Interrupted,
    /// Stopped by an error, which is in `error`.
    Failed,
}

/// A receipt: everything that one run measured, and where it was measured.
#[derive(Clone, Debug, Default, JsonSchema, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of the receipt's layout, see [`SCHEMA_VERSION`].
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
    /// The build that ran: version, commit and how it was compiled.
    pub build: Build,
    /// The machine that the run was on.
    pub host: Host,
    /// The GPU that the run is about: times are this device's then. Absent of a run on the CPU; since 1.8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceRecord>,
    /// The scenario that the run was asked for.
    pub scenario: ScenarioRecord,
    /// Settings that change what is measured.
    pub settings: Settings,
    /// Every registered kernel, whether it ran here, and if not, why not.
    pub kernels: Vec<KernelRecord>,
    /// The model that whole texts were generated with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRecord>,
    /// Correctness of each kernel, checked before any timing.
    pub verify: Vec<VerifyRecord>,
    /// Bandwidth, clock and peak products of this machine; absent in older receipts and where nothing was timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Choices that were made at the start of texts, each by a probe; absent in older receipts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Microbenchmarks: timed products of single matrices, raw rounds included.
    pub micro: Vec<MicroCell>,
    /// What a token needs beside the ternary products, timed in every way; absent in older receipts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<BesideCell>,
    /// Instructions of one gemv of each kernel, at one small shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<CountRecord>,
    /// Why some kernel was not counted, or none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_skipped: Option<String>,
    /// Kernels whose worker failed while they were counted, and how.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts_failed: Vec<Unsupported>,
    /// The rule that the microbenchmarks' verdicts follow; absent in receipts before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// A regression gate, if this run was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateRecord>,
    /// Whole texts that were generated, each kernel in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationRecord>,
    /// Perplexity with each kernel, and what the seed analysis's table does to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<PerplexityRecord>,
    /// What each rule of activations does to the next token and to speed; absent where nobody asked, and before 1.6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_rules: Option<RulesRecord>,
    /// Engines: foreign programs beside our own; absent where none was named, and before 1.7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<EnginesRecord>,
    #[doc = "What the quantised output head does to perplexity; absent with the f16 head, and where text means nothing \
             to the model."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_effect: Option<HeadEffect>,
    /// Statements in words, generated from the numbers above.
    pub findings: Vec<Finding>,
    /// Digests of all of the above, made whenever the receipt is written; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
}

impl Receipt {
    /// A receipt of a run in which nothing was measured yet.
    pub fn begun(build: Build, host: Host, scenario: ScenarioRecord, settings: Settings) -> Self {
        let schema_version = SCHEMA_VERSION.into();
        Self { schema_version, build, host, scenario, settings, ..Self::default() }
    }

    /// What was measured, in words: the GPU that the run is about, or the CPU.
    pub fn measured_on(&self) -> String {
        self.device.as_ref().map_or_else(|| self.host.cpu.clone(), DeviceRecord::in_words)
    }

    /// The machine's cache sizes in bytes by level, the last as large as reading showed it, where that was measured.
    pub fn caches(&self) -> Vec<u64> {
        let reported = &self.host.caches_bytes;
        self.limits.as_ref().map_or_else(|| reported.clone(), |limits| limits.caches(reported))
    }
}
