//! Whether a row has a time, and what a library said of its kernels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether there is a time for a kernel, and if not, why. Only `ok` has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowStatus {
    /// It matches the oracle.
    #[default]
    Ok,
    /// A result is not the oracle's, or it did what it may not.
    Wrong,
    /// It is faster than this machine can be.
    Impossible,
    /// Its process ended.
    Crashed,
    /// It did not come back within 10 seconds.
    Hung,
    /// It said that it cannot.
    Refused,
    /// This CPU lacks what it needs.
    Unsupported,
}

impl RowStatus {
    /// Whether this is [`Self::Ok`], which is not written.
    pub fn is_ok(&self) -> bool {
        *self == Self::Ok
    }

    /// The status in tables: its name in receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Impossible => "impossible",
            Self::Crashed => "crashed",
            Self::Hung => "hung",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for RowStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kernel that has no time in a cell, and why.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WithoutTime {
    /// Id of the kernel.
    pub kernel: String,
    /// Never `ok`.
    pub status: RowStatus,
    /// What happened, with the call in which it did.
    pub why: String,
}

/// Where a foreign kernel came from, and what its library says of it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ForeignRecord {
    /// Name of the library's file.
    pub library: String,
    /// SHA-256 of that file, lower-case hex.
    pub sha256: String,
    /// Project, version and licence, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What built it, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
    /// CPU features that it was compiled for.
    pub requires_cpu: String,
    /// Weights that share a scale: `tensor`, `row` or their number along k.
    pub weight_group: String,
    /// Activations that share a scale: `token` or their number along k.
    pub act_group: String,
    /// What its products write: `i32` or `f32`.
    pub output: String,
    /// Rows of a matrix are a multiple of this.
    pub rows_multiple: usize,
    /// Columns of a matrix are a multiple of this.
    pub k_multiple: usize,
    /// Most tokens of one call of its product for batches; absent if any number will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
}
