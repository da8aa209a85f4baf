//! Instruction counts of a kernel, where a receipt has them (`counts`): read by name, so that receipts with and without render.

use crate::receipt::Receipt;
use serde_json::Value;

/// Instructions and memory reads for each 64 weights of a gemv.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Per64Weights {
    /// All instructions.
    pub instructions: f64,
    /// Accesses that read memory.
    pub reads: f64,
}

/// All counts of a receipt.
pub struct Counts(Vec<Value>);

impl Counts {
    /// From the receipt, without its rounds.
    pub fn of(receipt: &Receipt) -> Self {
        let light = Receipt { micro: Vec::new(), generation: None, ..receipt.clone() };
        let value = serde_json::to_value(light).unwrap_or_default();
        Self(value.get("counts").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// One kernel's gemv, if it was counted.
    pub fn per_64_weights(&self, kernel: &str) -> Option<Per64Weights> {
        let record = self.0.iter().find(|c| c["kernel"] == kernel && c["op"] == "gemv")?;
        let counts = &record["per_64_weights"];
        Some(Per64Weights {
            instructions: counts["instructions"].as_f64()?,
            reads: counts["memory"]["reads"].as_f64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_are_found_by_kernel() {
        let per_64 = json!({"instructions": 12.5, "memory": {"reads": 3.0}});
        let counts = Counts(vec![
            json!({"kernel": "scalar", "op": "dequantize", "per_64_weights": {}}),
            json!({"kernel": "scalar", "op": "gemv", "per_64_weights": per_64}),
        ]);
        assert_eq!(counts.per_64_weights("scalar"), Some(Per64Weights { instructions: 12.5, reads: 3.0 }));
        assert_eq!(counts.per_64_weights("avx2-i8"), None);
        assert_eq!(Counts::of(&crate::report::fixture::complete()).per_64_weights("scalar"), None);
    }
}
