//! The messages between the gate and its children before and after the rounds: one JSON value a line. A baseline saved
//! months ago must understand them, so changes only add fields; a change that does more raises [`PROTOCOL`].

use crate::scenario::{Cell, Shape};
use kernels::Operation;
use receipt::{Build, Injection, Residency};
use serde::{Deserialize, Serialize, Serializer};

/// Version of the messages. A child with another version is refused.
pub const PROTOCOL: u32 = 1;

/// The first line to a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// File with the control block.
    pub control: String,
    /// Everything that may be prepared.
    pub cells: Vec<JobCell>,
    /// Seed of data.
    pub seed: u64,
    /// Threads of each product.
    pub threads: usize,
    /// The CPU to stay on; any when absent.
    pub cpu: Option<usize>,
    /// Feature mask as for `--cpu-features`.
    pub cpu_features: Option<String>,
    /// Size of the last-level cache.
    pub last_level_cache_bytes: u64,
    /// A slowdown to plant.
    pub inject: Option<Injection>,
}

/// One matrix with the kernels to time on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobCell {
    /// `dequantize`, `gemv` or `gemm`.
    pub op: String,
    /// Rows.
    pub m: usize,
    /// Columns.
    pub k: usize,
    /// Tokens of a batch.
    pub tokens: usize,
    /// Where the weights are. A child only asks whether they are in memory: a build from before there was `llc` knows
    /// `cache` and `dram`, so these are the words that a child hears.
    #[serde(serialize_with = "as_said_to_children")]
    pub residency: Residency,
    /// `W2A32` or `W2A8`.
    pub family: String,
    /// Kernel ids, all of this family; an entry of the cell is an index into them.
    pub kernels: Vec<String>,
}

fn as_said_to_children<S: Serializer>(residency: &Residency, json: S) -> Result<S::Ok, S::Error> {
    json.serialize_str(if *residency == Residency::Dram { "dram" } else { "cache" })
}

impl JobCell {
    /// The cell as the measuring code takes it; `None` for an operation that this build lacks.
    pub fn cell(&self) -> Option<Cell> {
        let op = Operation::parse(&self.op)?;
        Some(Cell { op, shape: Shape { m: self.m, k: self.k }, tokens: self.tokens, residency: self.residency })
    }

    /// Whether both can use the same operands.
    pub fn shares_operands(&self, other: &Self) -> bool {
        (self.m, self.k, self.tokens, &self.family) == (other.m, other.k, other.tokens, &other.family)
    }
}

/// Later lines to a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make a cell ready; after the answer, orders come through the control block until it says to leave.
    Prepare {
        /// Index into the job's cells.
        cell: usize,
        /// Whether outputs are compared with the oracle's.
        oracle: bool,
    },
    /// Token ids and perplexity of the built-in model with these kernels.
    Exact {
        /// Kernel ids.
        kernels: Vec<String>,
    },
    /// Instructions of one call of each of these kernels.
    Count {
        /// Kernel ids.
        kernels: Vec<String>,
    },
}

/// Lines from a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// After the job.
    Ready {
        /// See [`PROTOCOL`].
        protocol: u32,
        /// What it was built from.
        build: Box<Build>,
        /// Every kernel that it has.
        kernels: Vec<Offer>,
    },
    /// After `Prepare`: SHA-256 of each kernel's output, in the cell's order.
    Prepared {
        /// Lower-case hex.
        outputs: Vec<String>,
    },
    /// After `Exact`.
    Exact {
        /// In the order asked for.
        results: Vec<ExactResult>,
    },
    /// After `Count`.
    Counted {
        /// Instructions, in the order asked for; empty where they cannot be counted here.
        instructions: Vec<u64>,
        /// What was called.
        subject: String,
    },
    /// Instead of any of these; the child ends.
    Error {
        /// In one line.
        message: String,
    },
}

/// A kernel of a child's build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Kernel id.
    pub id: String,
    /// `W2A32` or `W2A8`.
    pub family: String,
    /// Whether results are integers that must not change.
    pub exact: bool,
    /// Operations.
    pub ops: Vec<String>,
    /// Why it does not run here, if it does not.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a kernel computes with the built-in model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExactResult {
    /// Kernel id.
    pub kernel: String,
    /// Greedy continuation.
    pub token_ids: Vec<u32>,
    /// Natural log of the perplexity.
    pub nats_per_token: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_an_earlier_build_hears_words_that_it_knows() {
        let cell = |residency| JobCell {
            op: "gemv".into(),
            m: 16,
            k: 256,
            tokens: 1,
            residency,
            family: "W2A8".into(),
            kernels: vec!["scalar-i8".into()],
        };
        let said = |residency| serde_json::to_value(cell(residency)).expect("JSON")["residency"].clone();
        let places = [Residency::L2, Residency::Llc, Residency::Cache, Residency::Dram];
        assert_eq!(places.map(said), ["cache", "cache", "cache", "dram"]);
        let heard: JobCell =
            serde_json::from_value(serde_json::to_value(cell(Residency::L2)).expect("JSON")).expect("read");
        assert_eq!(heard.residency, Residency::Cache, "one copy, which is all that a child asks");
    }
}
