//! Kernels as a receipt holds them: what each is, and what the conformance suite said of it.

use super::operation::{Family, Operation};
use super::row::{ForeignRecord, RowStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A registered kernel as the report shows it.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct KernelRecord {
    /// Id of the kernel, `{isa}-{technique}`: `avx2-i8`.
    pub id: String,
    /// Instruction set that the kernel needs: `scalar`, `avx2`, ...
    pub isa: String,
    /// `W2A32` (f32 activations), `W2A8` (int8 activations, exact int32) or `W2gA8` (the same with scales of groups).
    pub family: Family,
    /// Name of the layout of packed weights that the kernel reads.
    pub packing: String,
    /// Bits that one weight takes in that layout, scales included; null where a library did not say.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub bits_per_weight: f64,
    /// Type of the activations: `f32` or `i8`.
    pub activations: String,
    /// Whether the kernel's results equal the oracle bit for bit.
    pub exact: bool,
    /// Operations that the kernel implements.
    pub ops: Vec<Operation>,
    /// Id of the kernel that this one builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds_on: Option<String>,
    /// What the kernel does, in one sentence.
    pub summary: String,
    /// Whether this CPU (with this run's feature mask) runs the kernel.
    pub available: bool,
    /// Why the kernel does not run here, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The library that it came from; absent for this project's own; since 1.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignRecord>,
}

/// The conformance suite's verdict on one kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct VerifyRecord {
    /// Id of the kernel.
    pub id: String,
    /// Whether this CPU runs the kernel.
    pub available: bool,
    /// Why the kernel does not run here, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the kernel's results are integers that must equal the oracle's.
    #[serde(default)]
    pub exact: bool,
    /// Number of cases run.
    pub cases: usize,
    /// Number of cases whose result was outside the bound.
    pub mismatches: usize,
    /// Largest absolute difference from the oracle, over all cases.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub max_abs_error: f64,
    /// Largest difference relative to the row's sum of |weight x activation|.
    #[serde(deserialize_with = "super::number::finite_or_nan")]
    #[schemars(with = "Option<f64>")]
    pub max_relative_error: f64,
    /// Largest allowed relative error: 0 for exact kernels.
    pub bound: f64,
    /// The first case outside the bound, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_mismatch: Option<String>,
    /// Why it is not measured, where that is not `ok` and not already said by `available` and `mismatches`; since 1.4.
    #[serde(default, skip_serializing_if = "RowStatus::is_ok")]
    pub status: RowStatus,
}

impl VerifyRecord {
    /// Whether the kernel may be timed, and if not, why: the one answer, for old receipts too.
    pub fn row_status(&self) -> RowStatus {
        if !self.available {
            RowStatus::Unsupported
        } else if self.status.is_ok() && self.mismatches > 0 {
            RowStatus::Wrong
        } else {
            self.status
        }
    }
}
