//! Where the numbers came from: build, machine, scenario, model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The build that ran: version, commit and how it was compiled.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Build {
    /// Version of the harness.
    pub version: String,
    /// Git commit of the build, if it was made in a checkout.
    pub git_commit: Option<String>,
    /// Whether the checkout had uncommitted changes.
    pub git_dirty: Option<bool>,
    /// Where the source is published (`repository` of the harness's Cargo.toml), if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// SHA-256 of the build's Cargo.lock.
    pub cargo_lock_sha256: Option<String>,
    /// The compiler, as `rustc --version` prints it.
    pub rustc: String,
    /// Cargo profile of the build.
    pub profile: String,
    /// Optimisation level of that profile.
    pub opt_level: String,
    /// Whether debug assertions were compiled in (a timing is refused then).
    pub debug_assertions: bool,
    /// Target triple that was compiled for.
    pub target: String,
    /// CPU features that the compiler was allowed to assume everywhere.
    pub target_features: Vec<String>,
}

/// Cores of an Arm CPU that are alike: a phone or a laptop has big and little ones.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct CoreKind {
    /// Who made the core: a name (`ARM`), or its number (`0x41`).
    pub implementer: String,
    /// Which core it is: a name (`Cortex-A76`), or its number (`0xd0b`).
    pub part: String,
    /// Variant and revision, as Arm writes them: `r4p0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Speed of one of them, as the system rates it, where the fastest of the machine has 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// How many CPUs of the machine are of this kind.
    pub cpus: usize,
}

/// The machine as the process sees it.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Host {
    /// Operating system and kernel version.
    pub os: String,
    /// Architecture of the CPU.
    pub arch: String,
    /// Brand string of the CPU.
    pub cpu: String,
    /// CPUID family, model, stepping.
    pub family_model_stepping: Option<[u32; 3]>,
    /// Number of CPUs that this process may use.
    pub cpus: usize,
    /// How the machine's CPUs hang together, if the system says; absent before 1.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Detected instruction-set features that the kernels care about.
    pub features: Vec<String>,
    /// Data cache sizes in bytes by level (1, 2, 3).
    pub caches_bytes: Vec<u64>,
    /// Hypervisor vendor, if the CPU says there is one.
    pub hypervisor: Option<String>,
    /// Frequency governor, if the system says.
    pub governor: Option<String>,
    /// Size of the memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Microcode revision of the first CPU, if the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microcode: Option<String>,
    /// CPUs this process may run on, as the system writes such lists (`0-1,4`), if it says; before pinning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// CPUs' worth of time that the control group allows, if it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_cpus: Option<f64>,
    /// Memory that the control group allows in bytes, if it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_memory_bytes: Option<u64>,
    /// Kinds of cores of an Arm CPU, the fastest first, if the system says; absent before 1.9.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<CoreKind>,
    /// How busy the machine was at the start of the run.
    pub load_before: Load,
    /// How busy the machine was at the end of the run.
    pub load_after: Option<Load>,
}

/// How the CPUs of a machine hang together, as its system says; a hypervisor may say what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Topology {
    /// Number of sockets.
    pub sockets: usize,
    /// Number of cores, of all sockets.
    pub cores: usize,
    /// CPUs of one core at most: 2 where two share a core's units.
    pub threads_per_core: usize,
    /// Number of memory nodes.
    pub memory_nodes: usize,
}

/// How busy the machine was at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Load {
    /// One-minute load average.
    pub load_1m: Option<f64>,
    /// Time stolen by the hypervisor since boot, in clock ticks, all CPUs.
    pub steal_ticks: Option<u64>,
    /// CPUs that the system has switched on, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_online: Option<usize>,
    /// Times that a CPU quota stopped this process's control groups, if one limits them and the system counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_stops: Option<u64>,
    /// Pages swapped in and out since boot, if the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped_pages: Option<u64>,
    /// Times that a core slowed down because it was too hot, since boot, if the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thermal_throttles: Option<u64>,
}

/// The scenario that the run was asked for.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ScenarioRecord {
    /// Name of the scenario.
    pub name: String,
    /// What the scenario measures, in one sentence.
    pub summary: String,
    /// How to read the scenario's results.
    pub analysis: String,
    /// SHA-256 of the scenario's TOML.
    pub sha256: String,
    /// Whether `--quick` made the matrix smaller.
    pub quick: bool,
}

/// Settings that change what is measured.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Settings {
    /// Threads of microbenchmarks and generation.
    pub threads: usize,
    /// CPUs that the threads were pinned to, empty when not asked.
    pub pinned_cpus: Vec<usize>,
    /// Feature mask of `--cpu-features`, if given.
    pub cpu_features: Option<String>,
    /// Seed from which data and order were made.
    pub seed: u64,
    #[doc = "Kernels asked for by id; absent when all that run here were. None is ever replaced by another, so those \
             executed are these,\nless any that failed its check; the entries of cells and generations say which ran."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels_requested: Option<Vec<String>>,
    /// Whether the run was asked to give the same text each time, and checked that it did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deterministic: bool,
}

/// The model that whole texts were generated with.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ModelRecord {
    /// `builtin`, or the path of the model's file.
    pub path: String,
    /// Name of the model (`general.name` of its file).
    pub name: String,
    /// SHA-256 of the model's file.
    pub sha256: String,
    /// Size of the model's file in bytes.
    pub file_bytes: u64,
    /// Number of ternary weights.
    pub ternary_weights: u64,
    /// Number of transformer blocks.
    pub layers: usize,
    /// Width of the hidden state.
    pub dim: usize,
    /// Width of the feed-forward network.
    pub ffn: usize,
    /// Number of tokens in the vocabulary.
    pub vocab: usize,
    /// Pre-tokenizer in use and where the choice came from.
    pub pre_tokenizer: String,
    /// Whether the weights are random (written by `model synth`).
    pub synthetic: bool,
    /// Whether its hash is in the table of known models, which says nothing against it; false in older receipts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
    /// Notes about this very file, by hash.
    pub notes: Vec<String>,
    /// What to beware of in this model, by hash and metadata; absent in older receipts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
