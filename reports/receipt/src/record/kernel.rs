//! Kernels as a receipt holds them: what each is, and what the conformance suite said of it.

use super::operation::{Family, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A registered kernel as the report shows it.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct KernelRecord {
    /// `{isa}-{technique}`.
    pub id: String,
    /// `scalar`, `avx2`, ...
    pub isa: String,
    /// `W2A32` (f32 activations) or `W2A8` (int8 activations, exact int32).
    pub family: Family,
    /// Name of the packed layout it reads.
    pub packing: String,
    /// Bits a weight takes in that layout, scales included.
    pub bits_per_weight: f64,
    /// `f32` or `i8`.
    pub activations: String,
    /// Whether its results equal the oracle bit for bit.
    pub exact: bool,
    /// Operations it implements.
    pub ops: Vec<Operation>,
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
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub max_abs_error: f64,
    /// Largest difference relative to the row's sum of |weight x activation|.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub max_relative_error: f64,
    /// Bound on the relative error: 0 for exact kernels.
    pub bound: f64,
    /// The first mismatch in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_mismatch: Option<String>,
}
