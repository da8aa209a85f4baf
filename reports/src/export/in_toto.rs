//! in-toto Statement v1 with the predicate test-result v0.1: what ran on which build, and what came of it. Unsigned:
//! sign it with the tool of your choice, and a receipt's digest is bound to your key.

use super::{Case, State, cases};
use receipt::Receipt;
use serde_json::{Value, json};

/// The statement. `sha256` is the digest of the receipt's file.
pub fn statement(receipt: &Receipt, sha256: &str) -> Value {
    let cases = cases(receipt);
    let names = |keep: fn(&State) -> bool| -> Vec<String> {
        let chosen = cases.iter().filter(|c| keep(&c.state));
        chosen.map(|Case { suite, name, .. }| format!("{suite}: {name}")).collect()
    };
    let failed = names(|s| matches!(s, State::Failed(_)));
    let warned = names(|s| matches!(s, State::Warned(_)));
    let result = match () {
        () if !failed.is_empty() => "FAILED",
        () if !warned.is_empty() => "WARNED",
        () => "PASSED",
    };
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects(receipt, sha256),
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": result,
            "configuration": configuration(receipt),
            "passedTests": names(|s| *s == State::Passed),
            "warnedTests": warned,
            "failedTests": failed,
        },
    })
}

fn resource(name: &str, algorithm: &str, digest: &str) -> Value {
    json!({"name": name, "digest": {algorithm: digest}})
}

/// The receipt, the source that was built unless it had uncommitted changes, and a gate's executables.
fn subjects(receipt: &Receipt, sha256: &str) -> Vec<Value> {
    let mut all = vec![resource("receipt.json", "sha256", sha256)];
    let clean = receipt.build.git_dirty == Some(false);
    all.extend(receipt.build.git_commit.iter().filter(|_| clean).map(|commit| resource("source", "gitCommit", commit)));
    if let Some(gate) = &receipt.gate {
        all.push(resource("gate current", "sha256", &gate.current.binary_sha256));
        all.push(resource("gate baseline", "sha256", &gate.baseline.binary_sha256));
    }
    all
}

/// What the run was configured by: scenario, model, locked dependencies.
fn configuration(receipt: &Receipt) -> Vec<Value> {
    let scenario = &receipt.scenario;
    let mut all = vec![resource(&format!("scenario {}", scenario.name), "sha256", &scenario.sha256)];
    all.extend(receipt.model.iter().map(|m| resource(&format!("model {}", m.name), "sha256", &m.sha256)));
    all.extend(receipt.build.cargo_lock_sha256.iter().map(|hash| resource("Cargo.lock", "sha256", hash)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use std::collections::BTreeSet;

    /// in-toto/attestation: spec/v1/statement.md, spec/v1/resource_descriptor.md, spec/predicates/test-result.md.
    fn assert_valid(statement: &Value) {
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicateType"], "https://in-toto.io/attestation/test-result/v0.1");
        let subject = statement["subject"].as_array().unwrap();
        let configuration = statement["predicate"]["configuration"].as_array().unwrap();
        assert!(!subject.is_empty() && !configuration.is_empty());
        for descriptor in subject.iter().chain(configuration) {
            let digests = descriptor["digest"].as_object().unwrap();
            assert!(!digests.is_empty());
            for (algorithm, digest) in digests {
                let length = match algorithm.as_str() {
                    "sha256" => 64,
                    "gitCommit" => 40,
                    other => panic!("{other}"),
                };
                let digest = digest.as_str().unwrap();
                assert!(digest.len() == length && digest.bytes().all(|b| b.is_ascii_hexdigit()));
            }
        }
        let names: BTreeSet<&str> = subject.iter().filter_map(|s| s["name"].as_str()).collect();
        assert_eq!(names.len(), subject.len(), "names are unique within subject");
        let list = |name: &str| statement["predicate"][name].as_array().unwrap().iter().all(Value::is_string);
        assert!(list("passedTests") && list("warnedTests") && list("failedTests"));
        let any = |name: &str| !statement["predicate"][name].as_array().unwrap().is_empty();
        let result = match (any("failedTests"), any("warnedTests")) {
            (true, _) => "FAILED",
            (false, true) => "WARNED",
            _ => "PASSED",
        };
        assert_eq!(statement["predicate"]["result"], result);
    }

    #[test]
    fn the_specification_is_kept() {
        let sha256 = "0a".repeat(32);
        let mut failed = fixture::complete();
        (failed.verify[1].mismatches, failed.verify[1].first_mismatch) = (2, Some("row 1".into()));
        for (receipt, result) in [
            (fixture::complete(), "PASSED"),
            (fixture::interrupted(), "WARNED"),
            (fixture::empty(), "WARNED"),
            (failed, "FAILED"),
        ] {
            let statement = statement(&receipt, &sha256);
            assert_valid(&statement);
            assert_eq!(statement["predicate"]["result"], result);
            assert_eq!(statement["subject"][0]["digest"]["sha256"], sha256.as_str());
        }
    }

    #[test]
    fn uncommitted_changes_are_no_commit() {
        let mut receipt = fixture::complete();
        receipt.build.git_dirty = Some(true);
        let subjects = subjects(&receipt, &"0a".repeat(32));
        assert!(subjects.iter().all(|s| s["name"] != "source"));
    }
}
