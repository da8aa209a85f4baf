//! What is said between this program and its workers: one JSON value a line. A baseline saved months ago must
//! understand it, so changes only add fields; a change that does more raises [`PROTOCOL`].

use crate::operation;
use crate::scenario::{Cell, Shape};
use receipt::{Build, Family, Injection, Operation, Residency, titles};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Version of the messages. Version 1 was spoken over stdin and stdout (see `old`).
pub const PROTOCOL: u32 = 2;
/// What a worker says that was not given the descriptor it was told of.
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
    /// End. Not answered.
    Stop,
}

/// What a worker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Said before anything is asked.
    Hello { protocol: u32 },
    /// After `Begin`.
    Ready(Box<Ready>),
    /// After `Prepare`.
    Prepared {
        /// SHA-256 of the kernel's output, lower-case hex.
        output: String,
    },
    /// After `Text`.
    Text(TextResult),
    /// After `Count`.
    Counted {
        /// Instructions; none where they cannot be counted here.
        instructions: Option<u64>,
        subject: String,
    },
    /// After `Call`: the kernel matches the oracle, and the worker stops next.
    Stopping(Stopping),
    /// The call was made.
    Called { output_sha256: String },
    /// Instead of any of these.
    Error { exit: u8, message: String },
}

/// What a session may be asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Job {
    /// File with the control block.
    pub control: String,
    pub cells: Vec<JobCell>,
    pub seed: u64,
    pub threads: usize,
    /// The CPU to stay on; any when absent.
    pub cpu: Option<usize>,
    /// Feature mask as for `--cpu-features`.
    pub cpu_features: Option<String>,
    pub last_level_cache_bytes: u64,
    pub inject: Option<Injection>,
}

/// One kernel on one matrix, or with one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobCell {
    /// A product, or decoding or prefill of a model.
    pub op: Operation,
    /// Rows; 0 of a text.
    pub m: usize,
    /// Columns; 0 of a text.
    pub k: usize,
    /// Tokens of a batch or of a prompt; 1 of what takes one at a time.
    pub tokens: usize,
    pub residency: Residency,
    pub family: Family,
    pub kernel: String,
    /// The model, of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<JobText>,
}

/// The model of a text cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobText {
    /// `builtin` or the path of a file.
    pub model: String,
    pub name: String,
    /// Most tokens of a block.
    pub block: usize,
}

impl JobCell {
    /// `gemv 256x2560` of kernel `k`, of which tests change what they are about.
    #[cfg(test)]
    pub fn example() -> Self {
        let (op, residency, family) = (Operation::Gemv, Residency::Llc, Family::W2A8);
        Self { op, m: 256, k: 2560, tokens: 1, residency, family, kernel: "k".into(), text: None }
    }

    /// The matrix as the measuring code takes it; `None` of a text and of an operation that this build lacks.
    pub fn product(&self) -> Option<Cell> {
        let op = operation::of_kernels(self.op)?;
        Some(Cell { op, shape: Shape { m: self.m, k: self.k }, tokens: self.tokens, residency: self.residency })
    }

    /// Whether both can use the same operands.
    pub fn shares_operands(&self, other: &Self) -> bool {
        let matrix = |cell: &Self| (cell.m, cell.k, cell.tokens, cell.family);
        self.text.is_none() && other.text.is_none() && matrix(self) == matrix(other)
    }
}

/// `gemv 6912x2560 of avx2-i8`, `decode builtin of avx2-i8`.
impl fmt::Display for JobCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, m, k, tokens, kernel, text, .. } = self;
        match text {
            Some(text) => write!(f, "{op} {} of {kernel}", text.name),
            None => write!(f, "{} of {kernel}", titles::product(*op, *m, *k, *tokens)),
        }
    }
}

/// One call that is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub kernel: String,
    pub op: Operation,
    /// Rows.
    pub m: usize,
    /// Columns.
    pub k: usize,
    /// Tokens of a batch; 1 but for `gemm`.
    pub tokens: usize,
    pub seed: u64,
}

/// A session that has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    pub build: Build,
    pub kernels: Vec<Offer>,
    /// Every [`JobCell::op`] that it can prepare.
    #[serde(deserialize_with = "those_known")]
    pub ops: Vec<Operation>,
}

/// A kernel of a worker's build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Offered")]
pub struct Offer {
    pub id: String,
    /// Absent of a family that this build lacks.
    pub family: Option<Family>,
    /// Whether results are integers that must not change.
    pub exact: bool,
    pub ops: Vec<Operation>,
    /// Operations of another build that this one lacks: they cannot be asked for, and are named.
    #[serde(skip)]
    pub unknown_ops: Vec<String>,
    /// Why it does not run here, if it does not.
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
    #[serde(default)]
    reason: Option<String>,
}

impl From<Offered> for Offer {
    fn from(Offered { id, family, exact, ops: said, reason }: Offered) -> Self {
        let (mut ops, mut unknown_ops) = (Vec::new(), Vec::new());
        for name in said {
            match Operation::parse(&name) {
                Some(op) => ops.push(op),
                None => unknown_ops.push(name),
            }
        }
        Self { id, family, exact, ops, unknown_ops, reason }
    }
}

/// What another build has and this one has not is left out: it cannot be asked for.
fn those_known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Operation>, D::Error> {
    Ok(Vec::<String>::deserialize(from)?.iter().filter_map(|name| Operation::parse(name)).collect())
}

fn if_known<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Family>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(from)?).ok())
}

/// What a kernel computes with the built-in model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextResult {
    pub kernel: String,
    /// Greedy continuation.
    pub token_ids: Vec<u32>,
    /// Natural log of the perplexity.
    pub nats_per_token: f64,
}

/// A worker right before the call that is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopping {
    /// Kernel id, as found in the worker's registry.
    pub kernel: String,
    pub entry: u64,
    /// Where the packed codes lie: first address and length.
    pub codes: (u64, u64),
    /// Whether address randomisation is off.
    pub fixed_addresses: bool,
}
