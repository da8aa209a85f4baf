//! What is said between this program and its workers: one JSON value a line. A baseline saved months ago must
//! understand it, so changes only add fields; a change that does more raises [`PROTOCOL`].

use super::composition::{Composed, JobComposition, JobScore, JobTurn, JobVoice, Scored, Turned, Voiced};
use crate::operation;
use crate::scenario::{Cell, Scaling, Shape};
use receipt::{
    Activations, Build, Family, Injection, KernelRecord, Operation, Prepare, Residency, RowStatus, VerifyRecord, titles,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Version of the messages between program and worker. Version 1 was spoken over stdin and stdout (see `old`).
pub const PROTOCOL: u32 = 2;
/// The error message of a worker that was not given the descriptor it was told of.
pub const NO_CHANNEL: &str = "this command is started by tritbench itself, with a socket to speak over";

/// What a worker is asked for. Each is answered by one [`Reply`], but for `Stop`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Begins a session: what may be prepared, and how.
    Begin(Box<Job>),
    /// Make a cell of the job ready; after the answer, orders come through the control block until it says to leave.
    Prepare {
        cell: usize,
        /// Whether the output is compared with the oracle's.
        oracle: bool,
    },
    /// Token ids and perplexity of the built-in model with this kernel.
    Text { kernel: String },
    /// Instructions of one call of this kernel.
    Count { kernel: String },
    /// One call that the parent follows instruction by instruction; the worker ends with it.
    Call(Call),
    /// Begins a session with a foreign library; the worker answers what is in it, or a line that says why not.
    Load(Box<Load>),
    /// Bits that a weight takes as a kernel of the library packs it.
    Size { kernel: String },
    /// The conformance suite of a kernel of the library, on operands between protected pages.
    Verify { kernel: String },
    /// As `Prepare`, a cell of a kernel of the library.
    Measure(Box<JobCell>),
    /// Load a model, if it is another, and make a decoder for it with a kernel of the library.
    Voice(Box<JobVoice>),
    /// A whole text with that decoder.
    Compose(Box<JobComposition>),
    /// Answer to `Prompted`: decode.
    Continue,
    /// Ids to feed one by one, each of which is the one that came out before.
    Turn(Box<JobTurn>),
    /// The loss of these tokens with that decoder.
    Score(Box<JobScore>),
    /// End the session; a worker does not answer it.
    Stop,
}

/// What a worker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The worker's first message, before anything is asked: the version that it speaks.
    Hello { protocol: u32 },
    /// Answer to `Begin`: what the worker can do.
    Ready(Box<Ready>),
    /// Answer to `Prepare`: the cell is ready.
    Prepared {
        /// SHA-256 of the kernel's output, lower-case hex.
        output: String,
    },
    /// Answer to `Text`.
    Text(TextResult),
    /// Answer to `Count`.
    Counted {
        /// Instructions; none where they cannot be counted here.
        instructions: Option<u64>,
        subject: String,
    },
    /// First answer to `Call`: the kernel matches the oracle, and the worker stops next.
    Stopping(Stopping),
    /// Second answer to `Call`: the call was made, and its output has this hash.
    Called { output_sha256: String },
    /// Answer to `Load`: what is in the library.
    Loaded { kernels: Vec<KernelRecord> },
    /// Answer to `Size`; none where the library refuses.
    Sized { bits_per_weight: Option<f64> },
    /// Answer to `Verify`.
    Verified(Box<VerifyRecord>),
    /// Answer to `Measure`: the cell is ready.
    GuestReady(Box<GuestReady>),
    /// Answer to `Voice`: the decoder is there.
    Voiced(Voiced),
    /// First answer to `Compose`: the logits behind the prompt are there.
    Prompted,
    /// Second answer to `Compose`: the text.
    Composed(Box<Composed>),
    /// Answer to `Turn`.
    Turned(Box<Turned>),
    /// Answer to `Score`.
    Scored(Scored),
    /// Answer to `Measure`, or to an order after it: the kernel has no time. The worker ends with it.
    Fault { status: RowStatus, why: String },
    /// Answer to any request that failed, with the exit code for it.
    Error { exit: u8, message: String },
}

/// What a gate gives a worker at the start of a session: the cells to prepare, and how to run them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Job {
    /// Path of the file with the control block.
    pub control: String,
    pub cells: Vec<JobCell>,
    pub seed: u64,
    pub threads: usize,
    /// Number of the CPU to stay on; any when absent.
    pub cpu: Option<usize>,
    /// CPU feature mask, written as for `--cpu-features`.
    pub cpu_features: Option<String>,
    pub last_level_cache_bytes: u64,
    pub inject: Option<Injection>,
    /// Paths of libraries to load; a build of before they were known offers none of their kernels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub libraries: Vec<String>,
}

/// A library to load, and how its kernels are run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// Path of the library's file.
    pub library: String,
    /// Path of the file with the control block.
    pub control: String,
    pub seed: u64,
    pub threads: usize,
    /// Number of the CPU to stay on; any when absent.
    pub cpu: Option<usize>,
    /// CPU feature mask, written as for `--cpu-features`.
    pub cpu_features: Option<String>,
    pub last_level_cache_bytes: u64,
}

/// A foreign kernel that is ready to take turns in a cell: it matches the oracle on these operands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestReady {
    /// SHA-256 of the output that was checked.
    pub output: String,
    /// The oracle, in words.
    pub oracle: String,
    pub max_abs_error: f64,
    /// The kernel's long name for the operation.
    pub name: String,
    /// Bytes of packed weights that a call reads.
    pub bytes_per_call: u64,
    /// Copies of the weights that are rotated.
    pub copies: usize,
    /// What preparing a token takes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Prepare>,
}

/// What a gate times in one place: one kernel on one matrix, or with one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobCell {
    /// The operation: a product, or decoding or prefill of a model.
    pub op: Operation,
    /// Rows of the matrix; 0 for a model.
    pub m: usize,
    /// Columns of the matrix; 0 for a model.
    pub k: usize,
    /// Tokens of a batch or of a prompt; 1 for gemv, dequantising and decoding.
    pub tokens: usize,
    pub residency: Residency,
    pub family: Family,
    pub kernel: String,
    /// Weights of a group that has a scale, of a matrix of W2gA8; absent of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_group: Option<usize>,
    /// Which activations share a scale, of a matrix of W2gA8; absent of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
    /// The model; absent for a matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<JobText>,
}

/// The model of a cell that times decoding or prefill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobText {
    /// The model: `builtin` or the path of a file.
    pub model: String,
    /// Name of the model in messages and records.
    pub name: String,
    /// Most tokens that are decoded in one block.
    pub block: usize,
}

impl JobCell {
    /// A cell for tests, `gemv 256x2560` of kernel `k`, in which each test changes what it is about.
    #[cfg(test)]
    pub fn example() -> Self {
        let shape = Shape { m: 256, k: 2560 };
        let (op, residency, scaling) = (kernels::Operation::Gemv, Residency::Llc, Scaling::default());
        let cell = Cell { op, shape, tokens: 1, residency, scaling, of_groups: false };
        Self { kernel: "k".into(), ..Self::of_product(cell, Family::W2A8) }
    }

    /// A product of some kernel of a family.
    pub fn of_product(cell: Cell, family: Family) -> Self {
        let Cell { op, shape: Shape { m, k }, tokens, residency, scaling, .. } = cell;
        let (weight_group, activations) = scaling.recorded(operation::family_of_kernels(family));
        let (op, kernel) = (operation::recorded(op), String::new());
        Self { op, m, k, tokens, residency, family, kernel, weight_group, activations, text: None }
    }

    /// The cell as the measuring code takes it; `None` for a model and for an operation that this build lacks.
    pub fn product(&self) -> Option<Cell> {
        let op = operation::of_kernels(self.op)?;
        let (shape, scaling) = (Shape { m: self.m, k: self.k }, Scaling::said(self.weight_group, self.activations));
        // One family in one cell.
        let of_groups = self.family == Family::W2gA8;
        Some(Cell { op, shape, tokens: self.tokens, residency: self.residency, scaling, of_groups })
    }

    /// What shares a scale in this cell; none of models, and where a tensor has one scale, and a token.
    pub fn scaling(&self) -> Option<receipt::Scaling> {
        let (weight_group, activations) = (self.weight_group?, self.activations?);
        Some(receipt::Scaling { weight_group, activations })
    }

    /// Whether two cells can use the same operands: same matrix size, tokens, kernel family and scales.
    pub fn shares_operands(&self, other: &Self) -> bool {
        let matrix = |cell: &Self| (cell.m, cell.k, cell.tokens, cell.family, cell.weight_group, cell.activations);
        self.text.is_none() && other.text.is_none() && matrix(self) == matrix(other)
    }
}

/// `gemv 6912x2560 of avx2-i8`, `decode builtin of avx2-i8`.
impl fmt::Display for JobCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, m, k, tokens, kernel, text, .. } = self;
        match text {
            Some(text) => write!(f, "{op} {} of {kernel}", text.name),
            None => {
                let product = titles::scaled(titles::product(*op, *m, *k, *tokens), self.scaling());
                write!(f, "{product} of {kernel}")
            }
        }
    }
}

/// The kernel call that `count` follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub kernel: String,
    pub op: Operation,
    /// Rows of the matrix.
    pub m: usize,
    /// Columns of the matrix.
    pub k: usize,
    /// Tokens of the batch; 1 but for `gemm`.
    pub tokens: usize,
    pub seed: u64,
    /// Weights of a group that has a scale; absent for 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_group: Option<usize>,
    /// Which activations share a scale; absent for all of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
    /// Path of the library that the kernel is in; absent for one of this program's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
}

/// A worker's answer when a session has begun: its build, kernels and operations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    pub build: Build,
    pub kernels: Vec<Offer>,
    /// Every [`JobCell::op`] that the worker can prepare.
    #[serde(deserialize_with = "those_known")]
    pub ops: Vec<Operation>,
}

/// A kernel that a worker's build has, and whether it runs here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Offered")]
pub struct Offer {
    pub id: String,
    /// Family of the kernel; absent if this build does not know it.
    pub family: Option<Family>,
    /// Whether the kernel's results are integers that must not change.
    pub exact: bool,
    pub ops: Vec<Operation>,
    /// Which activations may share a scale in its products of groups; none of a build from before there was a choice.
    pub rules: Vec<Activations>,
    /// Operations of another build that this one lacks: they cannot be asked for, and are named.
    #[serde(skip)]
    pub unknown_ops: Vec<String>,
    /// Why the kernel does not run here, if it does not.
    pub reason: Option<String>,
}

/// An [`Offer`] as it is said.
#[derive(Deserialize)]
struct Offered {
    id: String,
    #[serde(deserialize_with = "if_known")]
    family: Option<Family>,
    exact: bool,
    ops: Vec<String>,
    #[serde(default, deserialize_with = "rules_known")]
    rules: Vec<Activations>,
    #[serde(default)]
    reason: Option<String>,
}

impl From<Offered> for Offer {
    fn from(Offered { id, family, exact, ops: said, rules, reason }: Offered) -> Self {
        let (mut ops, mut unknown_ops) = (Vec::new(), Vec::new());
        for name in said {
            match Operation::parse(&name) {
                Some(op) => ops.push(op),
                None => unknown_ops.push(name),
            }
        }
        Self { id, family, exact, ops, rules, unknown_ops, reason }
    }
}

/// What another build has and this one has not is left out: it cannot be asked for.
fn those_known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Operation>, D::Error> {
    Ok(Vec::<String>::deserialize(from)?.iter().filter_map(|name| Operation::parse(name)).collect())
}

fn rules_known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Activations>, D::Error> {
    let said = Vec::<String>::deserialize(from)?;
    Ok(Activations::ALL.into_iter().filter(|rule| said.iter().any(|name| name == rule.name())).collect())
}

fn if_known<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Family>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(from)?).ok())
}

/// What a kernel computes with the built-in model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextResult {
    pub kernel: String,
    /// Ids of the tokens that the kernel generates greedily.
    pub token_ids: Vec<u32>,
    /// Natural logarithm of the perplexity.
    pub nats_per_token: f64,
}

/// A worker's message right before it stops for the call that is followed: where the kernel's code and data lie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopping {
    /// Kernel id, as found in the worker's registry.
    pub kernel: String,
    /// The kernel's long name for the operation.
    pub name: String,
    /// Address of the first instruction of the kernel's function.
    pub entry: u64,
    /// Where the packed codes lie in the worker's memory: first address and length in bytes.
    pub codes: (u64, u64),
    /// Whether address randomisation is off in the worker.
    pub fixed_addresses: bool,
}
