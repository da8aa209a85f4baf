//! Bencher Metric Format (bencher.dev/docs/reference/bencher-metric-format): benchmarks by name, measures by name, a
//! value with bounds.

use super::latencies::latencies;
use receipt::Receipt;
use serde::Serialize;
use std::collections::BTreeMap;

/// One value in Bencher's format; the bounds are the exact 99% interval of the median, where there are rounds enough.
#[derive(Debug, Serialize)]
pub struct Metric {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

/// Nanoseconds of a call, and of a decoded token, as the measure `latency`, which Bencher has in nanoseconds.
pub fn bencher(receipt: &Receipt) -> BTreeMap<String, BTreeMap<&'static str, Metric>> {
    let metric = |l: super::latencies::Latency| {
        let (lower_value, upper_value) = (l.interval.map(|i| i.0), l.interval.map(|i| i.1));
        (l.name, BTreeMap::from([("latency", Metric { value: l.ns, lower_value, upper_value })]))
    };
    latencies(receipt).into_iter().map(metric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use serde_json::{Value, json};

    /// The published schema, bencher.dev/bmf.json, and the longest names of the reference's "Order of Precedence".
    #[test]
    fn the_published_schema_accepts_it() {
        let metric = json!({"type": "object", "required": ["value"], "properties": {
            "value": {"type": "number"}, "lower_value": {"type": "number"}, "upper_value": {"type": "number"}}});
        let measures = json!({"type": "object", "patternProperties": {".+": metric}});
        let schema = json!({"$schema": "http://json-schema.org/draft-07/schema", "type": "object",
            "patternProperties": {".+": measures}});
        let validator = jsonschema::draft7::new(&schema).unwrap();
        for receipt in [fixture::complete(), fixture::interrupted(), fixture::empty()] {
            let value = serde_json::to_value(bencher(&receipt)).unwrap();
            assert!(validator.is_valid(&value));
            for (name, measures) in value.as_object().unwrap() {
                assert!(!name.is_empty() && name.len() <= 1024);
                let m = &measures["latency"];
                let bound = |field: &str| m[field].as_f64().unwrap_or(m["value"].as_f64().unwrap());
                assert!(
                    bound("lower_value") <= bound("value") && bound("value") <= bound("upper_value"),
                    "{name}: {m}"
                );
            }
        }
        assert!(!validator.is_valid(&json!({"a": {"latency": {"value": Value::Null}}})));
    }

    #[test]
    fn every_kernel_is_there_once() {
        let receipt = fixture::complete();
        let cells: usize = receipt.micro.iter().map(|c| c.entries.len() - 1).sum();
        assert_eq!(bencher(&receipt).len(), cells + receipt.generation.unwrap().kernels.len());
    }
}
