//! Raw rounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One round of a measurement: every entry ran once, in `order`.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Round {
    /// Entry indices in the order they ran.
    pub order: Vec<u8>,
    #[doc = "Wall time of each entry's epoch in nanoseconds, by entry index; of a run on a GPU the time between the \
             device's timestamps."]
    pub ns: Vec<u64>,
    #[doc = "CPU time of the measuring thread over the same epoch in nanoseconds, by entry index; of a run on a GPU \
             the device's time once more."]
    pub cpu_ns: Vec<u64>,
    #[doc = "Wall time of each entry's epoch in nanoseconds on a GPU, from recording it to having waited for it, by \
             entry index; absent of a run on the CPU, and before 1.8."]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wall_ns: Vec<u64>,
    /// Number of involuntary context switches of the measuring thread, by entry index.
    pub involuntary_switches: Vec<u32>,
}
