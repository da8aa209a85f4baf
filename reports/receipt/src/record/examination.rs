//! What the machine was like right before a run, as far as [`Host`](super::Host) does not say it already. How good that
//! is for measuring is the judge's to say: [`judge::doctor`](crate::judge::doctor).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was found of a machine before anything was timed. What a system does not say is absent.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Examination {
    /// For how many seconds the machine was watched, doing nothing of its own.
    pub watched_s: f64,
    /// CPUs' worth of time that other programs took meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_cpus: Option<f64>,
    /// Share of the CPUs' time that the hypervisor gave to other guests meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen: Option<f64>,
    /// Programs that took CPU time meanwhile, the hungriest first; those of other containers cannot be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<BusyProgram>,
    /// Process ids of other programs with the name of this one, which may measure too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_runs: Vec<u32>,
    /// Whether cores may clock above their nominal frequency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turbo: Option<bool>,
    /// Whether CPUs share cores (SMT) and are switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub siblings: Option<bool>,
    /// When memory comes in huge pages: always, madvise or never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub huge_pages: Option<String>,
    /// Clock of one core in GHz, sampled one after the other by CPU time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clock_ghz: Vec<f64>,
    /// Bytes of memory that this process could still get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_left: Option<u64>,
    /// The limit that left them, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<String>,
    /// Bytes of memory that the largest product of the scenario needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_needed: Option<u64>,
    /// Why a child cannot be followed by ptrace; empty where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ptrace_refused: Option<String>,
    /// What users may do with performance counters: Linux's `perf_event_paranoid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perf_event_paranoid: Option<i64>,
}

/// A program that took CPU time.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct BusyProgram {
    /// Its name, without its arguments.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// CPUs' worth of time that it took.
    pub cpus: f64,
}
