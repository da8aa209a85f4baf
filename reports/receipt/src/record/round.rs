//! Raw rounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One round of a measurement: every entry ran once, in `order`.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Round {
    /// Entry indices in the order they ran.
    pub order: Vec<u8>,
    /// Wall time of each entry's epoch in nanoseconds, by entry index.
    pub ns: Vec<u64>,
    /// CPU time of the measuring thread over the same epoch in nanoseconds, by entry index.
    pub cpu_ns: Vec<u64>,
    /// Number of involuntary context switches of the measuring thread, by entry index.
    pub involuntary_switches: Vec<u32>,
}
