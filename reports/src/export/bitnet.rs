//! A run as BitNet.rs writes its receipts (schema 1.0.0), for programs that read those. Every field is computed from
//! the receipt.

use receipt::{Error, GenerationKernel, Receipt, Result, VerifyRecord};
use serde::Serialize;
use std::collections::BTreeMap;

/// Most kernel ids, and longest, that BitNet.rs reads.
const MAX_KERNELS: usize = 10_000;

/// A receipt of BitNet.rs, schema 1.0.0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BitnetRs {
    /// Version of BitNet.rs's layout.
    pub schema_version: String,
    /// Start of the run, RFC 3339, UTC.
    pub timestamp: String,
    /// `real` if every kernel in `kernels` matched the oracle in this run and was then run with its times kept; else
    /// `unverified`, which its readers refuse.
    pub compute_path: String,
    /// Always `cpu`.
    pub backend: String,
    /// Ids of the kernels that were really executed and timed in this run.
    pub kernels: Vec<String>,
    /// Whether the same run gives the same token ids.
    pub deterministic: bool,
    /// Facts about build and machine, as text.
    pub environment: BTreeMap<String, String>,
    /// The model that whole texts were generated with.
    pub model_info: ModelInfo,
    /// Results of the conformance suite, a kernel being a test.
    pub test_results: TestResults,
    /// Speed of the fastest kernel in whole texts.
    pub performance_baseline: PerformanceBaseline,
    /// Weights or norms corrected at load: this program corrects nothing.
    pub corrections: Vec<String>,
}

/// The model in BitNet.rs's layout, fields absent where none was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelInfo {
    /// Path of the model's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_path: Option<String>,
    /// SHA-256 of the model's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Number of transformer blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Width of the hidden state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<usize>,
    /// Number of tokens in the vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<usize>,
}

/// Results of the conformance suite, a kernel being a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TestResults {
    /// Number of kernels.
    pub total_tests: usize,
    /// Number of kernels without a mismatch.
    pub passed: usize,
    /// Number of kernels with a mismatch.
    pub failed: usize,
    /// Number of kernels that do not run here.
    pub skipped: usize,
}

/// Speed in whole texts; all fields absent where nothing was generated. Never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PerformanceBaseline {
    /// Id of the kernel that the figures are of: the fastest in decoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Number of tokens that this kernel generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_generated: Option<usize>,
    /// Decode speed of this kernel, median over rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// This kernel's time to the first token, median over rounds, in milliseconds rounded up to whole ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_latency_ms: Option<u64>,
}

/// A run in BitNet.rs's layout, computed from its receipt.
///
/// # Errors
/// Nothing was executed: that layout has no way to say so.
pub fn bitnet(receipt: &Receipt) -> Result<BitnetRs> {
    let kernels = executed(receipt);
    if kernels.is_empty() {
        return Err(Error::input(
            "no kernel was executed in this run, and BitNet.rs reads no receipt without; export a later one",
        ));
    }
    let right = |id: &String| {
        let suite = receipt.verify.iter().any(|v| v.id == *id && v.cases > 0 && v.mismatches == 0);
        // A gate holds outputs to the oracle instead, in the very processes that are timed.
        let mut checks = receipt.gate.iter().flat_map(|g| &g.checks).filter(|c| c.what == "output" && c.kernel == *id);
        suite || (checks.clone().next().is_some() && checks.all(|c| c.passed))
    };
    let compute_path = if kernels.iter().all(right) { "real" } else { "unverified" };
    Ok(BitnetRs {
        schema_version: "1.0.0".into(),
        timestamp: receipt.timestamp.clone(),
        compute_path: compute_path.into(),
        backend: "cpu".into(),
        kernels,
        deterministic: receipt.generation.as_ref().is_none_or(|g| g.sampling == "greedy"),
        environment: environment(receipt),
        model_info: receipt.model.as_ref().map_or_else(ModelInfo::default, |m| ModelInfo {
            model_path: Some(m.path.clone()),
            sha256: Some(m.sha256.clone()),
            layers: Some(m.layers),
            hidden_size: Some(m.dim),
            vocab_size: Some(m.vocab),
        }),
        test_results: test_results(receipt),
        performance_baseline: fastest(receipt).map_or_else(PerformanceBaseline::default, |k| PerformanceBaseline {
            kernel: Some(k.kernel.clone()),
            tokens_generated: Some(k.token_ids.len()),
            tokens_per_second: Some(k.decode_tokens_per_s),
            first_token_latency_ms: Some(k.time_to_first_token_ms.ceil() as u64),
        }),
        corrections: Vec::new(),
    })
}

/// Kernels with at least one timed round, in the order in which they first ran; an entry with sparsity is its kernel.
fn executed(receipt: &Receipt) -> Vec<String> {
    let micro = receipt.micro.iter().filter(|c| !c.rounds.is_empty()).flat_map(|c| c.entries.iter().map(|e| &e.kernel));
    let gate = receipt.gate.iter().flat_map(|g| &g.cells).filter(|c| !c.pairs.is_empty()).map(|c| &c.kernel);
    let generated = receipt.generation.iter().flat_map(|g| &g.kernels).filter(|k| !k.rounds.is_empty());
    let mut ids: Vec<String> = Vec::new();
    for id in micro.chain(gate).chain(generated.map(|k| &k.kernel)) {
        let id = id.split('+').next().unwrap_or(id);
        if !ids.iter().any(|known| known == id) && ids.len() < MAX_KERNELS {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// The kernel that decodes fastest; entries that did not take turns with all others are left out.
fn fastest(receipt: &Receipt) -> Option<&GenerationKernel> {
    let kernels = receipt.generation.iter().flat_map(|g| &g.kernels);
    let own_rounds = kernels.filter(|k| k.sparse_ffn.is_none() && k.decode_tokens_per_s > 0.0);
    own_rounds.max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s))
}

fn test_results(receipt: &Receipt) -> TestResults {
    let count = |keep: fn(&VerifyRecord) -> bool| receipt.verify.iter().filter(|v| keep(v)).count();
    TestResults {
        total_tests: receipt.verify.len(),
        passed: count(|v| v.available && v.cases > 0 && v.mismatches == 0),
        failed: count(|v| v.available && (v.cases == 0 || v.mismatches > 0)),
        skipped: count(|v| !v.available),
    }
}

fn environment(receipt: &Receipt) -> BTreeMap<String, String> {
    let (build, host) = (&receipt.build, &receipt.host);
    let mut facts = vec![
        ("TRITBENCH_VERSION", build.version.clone()),
        ("RUST_VERSION", build.rustc.clone()),
        ("OS", host.os.clone()),
        ("CPU_BRAND", host.cpu.clone()),
        ("THREADS", receipt.settings.threads.to_string()),
        ("SEED", receipt.settings.seed.to_string()),
    ];
    facts.extend(build.git_commit.iter().map(|commit| ("TRITBENCH_COMMIT", commit.clone())));
    facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
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

    #[test]
    fn a_run_is_real_only_if_every_timed_kernel_was_right() {
        let mut receipt = fixture::complete();
        let view = bitnet(&receipt).unwrap();
        assert_eq!((view.compute_path.as_str(), view.kernels.len()), ("real", 8));
        let generated = &receipt.generation.as_ref().unwrap().kernels;
        let best = generated.iter().map(|k| k.decode_tokens_per_s).fold(0.0, f64::max);
        assert_eq!(view.performance_baseline.tokens_per_second, Some(best));
        assert_eq!(view.model_info.sha256, receipt.model.as_ref().map(|m| m.sha256.clone()));
        receipt.verify[1].mismatches = 1;
        let view = bitnet(&receipt).unwrap();
        assert_eq!((view.compute_path.as_str(), view.test_results.failed), ("unverified", 1));
    }
}
