//! What a token needs beside the ternary products: the output head, and the operations between the products.

use super::micro::Residency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One operation, timed in every way that this CPU has, and a loop that only reads as many bytes, in the same rounds.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct BesideCell {
    /// The operation: `f16 output head`, `norm`.
    pub what: String,
    /// Its shape in words: `3276x2560`.
    pub shape: String,
    /// Number of threads that share a call.
    pub threads: usize,
    /// Where the bytes are: memory for heads, a cache for what lies between the products.
    pub residency: Residency,
    /// Bytes of a call's inputs, each counted once.
    pub bytes_per_call: u64,
    /// What the output was compared with before anything was timed, and how closely.
    pub oracle: String,
    /// The ways, the widest instruction set first.
    pub entries: Vec<BesideEntry>,
    /// Nanoseconds of the loop that only reads as many bytes, of each round.
    pub read_ns: Vec<u64>,
}

/// One way to compute an operation.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct BesideEntry {
    /// Name of the implementation, and how it asks ahead: `f16-avx512, two levels`.
    pub name: String,
    /// Nanoseconds of a call, of each round.
    pub ns: Vec<u64>,
}
