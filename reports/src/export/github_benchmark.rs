//! github-action-benchmark's `customSmallerIsBetter`: a list of named values with a unit.

use super::latencies::latencies;
use receipt::Receipt;
use serde::Serialize;

/// One named value in github-action-benchmark's format.
#[derive(Debug, Serialize)]
pub struct Benchmark {
    name: String,
    unit: &'static str,
    value: f64,
    /// The exact 99% interval of the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    extra: String,
}

/// Median nanoseconds of a call and of a decoded token, for github-action-benchmark.
pub fn github_benchmark(receipt: &Receipt) -> Vec<Benchmark> {
    let commit = receipt.build.git_commit.as_deref().unwrap_or("unknown commit");
    let benchmark = |l: super::latencies::Latency| Benchmark {
        name: l.name,
        unit: l.unit,
        value: l.ns,
        range: l.interval.map(|(low, high)| format!("{low:.1} to {high:.1}")),
        extra: format!("{}\n{commit}, {}", l.rounds, receipt.measured_on()),
    };
    latencies(receipt).into_iter().map(benchmark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use std::collections::BTreeSet;

    /// The fields that the action's README gives for custom benchmarks: name, unit and value are required, range and
    /// extra are text.
    #[test]
    fn the_action_accepts_it() {
        let value = serde_json::to_value(github_benchmark(&fixture::complete())).unwrap();
        let all = value.as_array().unwrap();
        assert!(!all.is_empty());
        for b in all {
            assert!(b["name"].is_string() && b["unit"].is_string() && b["value"].as_f64().unwrap() > 0.0, "{b}");
            let known = ["name", "unit", "value", "range", "extra"];
            assert!(
                b.as_object()
                    .unwrap()
                    .iter()
                    .all(|(k, v)| known.contains(&k.as_str()) && (k == "value" || v.is_string()))
            );
        }
        let names: BTreeSet<&str> = all.iter().filter_map(|b| b["name"].as_str()).collect();
        assert_eq!(names.len(), all.len(), "the action tells benchmarks apart by name");
    }
}
