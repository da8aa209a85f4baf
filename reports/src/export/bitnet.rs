//! A receipt in the layout of BitNet.rs, schema 1.0.0.

use receipt::{BitnetRs, Receipt};
use receipt::{Error, Result};

/// The view, computed from the receipt.
///
/// # Errors
/// Nothing was executed: that layout has no way to say so.
pub fn bitnet(receipt: &Receipt) -> Result<BitnetRs> {
    let view = BitnetRs::of(receipt);
    if view.kernels.is_empty() {
        return Err(Error::input(
            "no kernel was executed in this run, and BitNet.rs reads no receipt without; export a later one",
        ));
    }
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use serde_json::Value;

    /// The rules of BitNet.rs's own validation and the types that it reads into
    /// (crates/bitnet-inference/src/receipts.rs there).
    #[test]
    fn bitnet_rs_would_read_it() {
        let view: Value = serde_json::to_value(bitnet(&fixture::complete()).unwrap()).unwrap();
        assert_eq!((&view["schema_version"], &view["compute_path"]), (&"1.0.0".into(), &"real".into()));
        assert!(matches!(view["backend"].as_str(), Some("cpu" | "cuda" | "metal")));
        let kernels = view["kernels"].as_array().unwrap();
        let good = |k: &Value| {
            k.as_str().is_some_and(|id| !id.trim().is_empty() && id.len() <= 128 && !id.to_lowercase().contains("mock"))
        };
        assert!(!kernels.is_empty() && kernels.len() <= 10_000 && kernels.iter().all(good));
        assert!(view["timestamp"].is_string() && view["deterministic"].is_boolean() && view["corrections"].is_array());
        assert!(view["environment"].as_object().unwrap().values().all(Value::is_string));
        for field in ["layers", "hidden_size", "vocab_size"] {
            assert!(view["model_info"][field].is_u64(), "{field}");
        }
        assert_eq!(view["model_info"]["sha256"].as_str().unwrap().len(), 64);
        assert_eq!(view["test_results"]["failed"], 0);
        let speed = &view["performance_baseline"];
        assert!(speed["tokens_generated"].is_u64() && speed["first_token_latency_ms"].is_u64());
        assert!(speed["tokens_per_second"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn a_run_without_kernels_is_refused() {
        assert!(bitnet(&fixture::empty()).unwrap_err().to_string().contains("no kernel was executed"));
    }
}
