//! Version 1 of the protocol, for programs and baselines from before there were workers: `gate-child` takes a job as
//! its first line on stdin and answers on stdout. It knows no decoding and no prefill.

use super::protocol::{Job, JobCell, Offer, Ready, Reply, Request, TextResult};
use crate::error::Exit;
use receipt::{Build, Operation, Residency};
use serde::Deserialize;
use serde_json::{Value, json};

/// The subcommand that starts a worker in programs that speak version 1.
pub const COMMAND: &str = "gate-child";
/// What a program that speaks version 1 prints when it is asked for a worker.
pub const UNKNOWN: &str = "unrecognized subcommand 'worker'";
/// Operations that a program of version 1 can prepare, whatever this build has learnt since.
pub const OPS: [Operation; 3] = [Operation::Dequantize, Operation::Gemv, Operation::Gemm];
const PROTOCOL: u32 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OldReply {
    Ready { protocol: u32, build: Box<Build>, kernels: Vec<Offer> },
    Prepared { outputs: [String; 1] },
    Exact { results: [TextResult; 1] },
    Counted { instructions: Vec<u64>, subject: String },
    Error { message: String },
}

/// Writes a request as version 1 of the protocol has it.
pub fn request(request: &Request) -> serde_json::Result<String> {
    let words = match request {
        Request::Begin(job) => begin(job),
        Request::Prepare { cell, oracle } => json!({"prepare": {"cell": cell, "oracle": oracle}}),
        Request::Text { kernel } => json!({"exact": {"kernels": [kernel]}}),
        Request::Count { kernel } => json!({"count": {"kernels": [kernel]}}),
        // Asked of this very program only.
        _ => return serde_json::to_string(request),
    };
    Ok(words.to_string())
}

fn begin(job: &Job) -> Value {
    let Job { control, cells, seed, threads, cpu, cpu_features, last_level_cache_bytes, inject, .. } = job;
    let old = |JobCell { op, m, k, tokens, residency, family, kernel, .. }: &JobCell| {
        // Builds from before there was `llc` know `cache` and `dram`, and no build asks for more.
        let residency = if *residency == Residency::Dram { "dram" } else { "cache" };
        json!({"op": op, "m": m, "k": k, "tokens": tokens, "residency": residency, "family": family,
               "kernels": [kernel]})
    };
    // All of them, so that a number means the same cell.
    let cells: Vec<Value> = cells.iter().map(old).collect();
    json!({"protocol": PROTOCOL, "control": control, "cells": cells, "seed": seed, "threads": threads, "cpu": cpu,
           "cpu_features": cpu_features, "last_level_cache_bytes": last_level_cache_bytes, "inject": inject})
}

/// Reads an answer of version 1; `None` if the line is no answer.
pub fn reply(line: &str) -> Option<Reply> {
    Some(match serde_json::from_str(line).ok()? {
        OldReply::Ready { protocol: PROTOCOL, build, kernels } => {
            Reply::Ready(Box::new(Ready { build: *build, kernels, ops: OPS.into() }))
        }
        OldReply::Ready { .. } => return None,
        OldReply::Prepared { outputs: [output] } => Reply::Prepared { output },
        OldReply::Exact { results: [result] } => Reply::Text(result),
        OldReply::Counted { instructions, subject } => {
            Reply::Counted { instructions: instructions.first().copied(), subject }
        }
        OldReply::Error { message } => Reply::Error { exit: Exit::Unsupported as u8, message },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_program_hears_words_that_it_knows_and_is_understood() {
        let cell = |residency| JobCell { residency, ..JobCell::example() };
        let cells = [Residency::L2, Residency::Llc, Residency::Cache, Residency::Dram].map(cell).into();
        let job = Job { cells, seed: 7, ..Job::default() };
        let line = request(&Request::Begin(Box::new(job))).expect("JSON");
        let heard: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let places: Vec<_> = (0..4).map(|i| heard["cells"][i]["residency"].as_str().expect("a word")).collect();
        assert_eq!(places, ["cache", "cache", "cache", "dram"]);
        assert_eq!((&heard["protocol"], &heard["cells"][0]["kernels"][0]), (&1.into(), &"k".into()));
        let exact = request(&Request::Text { kernel: "scalar".into() }).expect("JSON");
        assert_eq!(exact, r#"{"exact":{"kernels":["scalar"]}}"#);
        let prepared = reply(r#"{"prepared":{"outputs":["ab"]}}"#);
        assert!(matches!(prepared, Some(Reply::Prepared { output }) if output == "ab"));
        let none = reply(r#"{"counted":{"instructions":[],"subject":"s"}}"#);
        assert!(matches!(none, Some(Reply::Counted { instructions: None, .. })));
        let error = reply(r#"{"error":{"message":"no"}}"#);
        assert!(matches!(error, Some(Reply::Error { exit: 5, message }) if message == "no"));
        for nonsense in ["", "hello", r#"{"prepared":{"outputs":[]}}"#, r#"{"hello":{"protocol":2}}"#] {
            assert!(reply(nonsense).is_none(), "{nonsense}");
        }
    }
}
