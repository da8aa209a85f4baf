//! The run as BitNet.rs writes its receipts, computed from the rest of the receipt.

use crate::record::*;
use std::collections::BTreeMap;

/// Most kernel ids, and longest, that BitNet.rs reads.
const MAX_KERNELS: usize = 10_000;

impl BitnetRs {
    /// Computed from everything else in the receipt.
    pub fn of(receipt: &Receipt) -> Self {
        let kernels = executed(receipt);
        let right = |id: &String| {
            let suite = receipt.verify.iter().any(|v| v.id == *id && v.cases > 0 && v.mismatches == 0);
            // A gate holds outputs to the oracle instead, in the very processes that are timed.
            let mut checks =
                receipt.gate.iter().flat_map(|g| &g.checks).filter(|c| c.what == "output" && c.kernel == *id);
            suite || (checks.clone().next().is_some() && checks.all(|c| c.passed))
        };
        let compute_path = match () {
            () if kernels.is_empty() => "none",
            () if kernels.iter().all(right) => "real",
            () => "unverified",
        };
        Self {
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
        }
    }
}

/// Kernels with at least one timed round, in the order in which they first ran; an entry with sparsity is its kernel.
pub fn executed(receipt: &Receipt) -> Vec<String> {
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

    #[test]
    fn a_run_is_real_only_if_every_timed_kernel_was_right() {
        let mut receipt = fixture::complete();
        let bitnet = BitnetRs::of(&receipt);
        assert_eq!((bitnet.compute_path.as_str(), bitnet.kernels.len()), ("real", 8));
        let generated = &receipt.generation.as_ref().unwrap().kernels;
        let best = generated.iter().map(|k| k.decode_tokens_per_s).fold(0.0, f64::max);
        assert_eq!(bitnet.performance_baseline.tokens_per_second, Some(best));
        assert_eq!(bitnet.model_info.sha256, receipt.model.as_ref().map(|m| m.sha256.clone()));
        receipt.verify[1].mismatches = 1;
        let bitnet = BitnetRs::of(&receipt);
        assert_eq!((bitnet.compute_path.as_str(), bitnet.test_results.failed), ("unverified", 1));
    }

    #[test]
    fn nothing_run_claims_nothing() {
        let bitnet = BitnetRs::of(&fixture::empty());
        assert_eq!((bitnet.compute_path.as_str(), bitnet.performance_baseline.tokens_per_second), ("none", None));
        assert!(bitnet.kernels.is_empty());
    }
}
