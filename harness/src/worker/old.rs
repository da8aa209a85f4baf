//! Version 1 of the protocol, for programs and baselines from before there were workers: `gate-child` takes a job as
//! its first line on stdin and answers on stdout. It knows no decoding and no prefill.

use super::protocol::{Job, JobCell, Offer, Ready, Reply, Request, TextResult};
use crate::error::Exit;
use receipt::{Build, Family, Injection, Operation, Residency};
use serde::{Deserialize, Serialize};

/// The command of such a program.
pub const COMMAND: &str = "gate-child";
/// What it prints when it is asked for a worker.
pub const UNKNOWN: &str = "unrecognized subcommand 'worker'";
/// Operations that it can prepare, whatever this build has learnt since.
pub const OPS: [Operation; 3] = [Operation::Dequantize, Operation::Gemv, Operation::Gemm];
const PROTOCOL: u32 = 1;

#[derive(Serialize)]
struct OldJob<'a> {
    protocol: u32,
    control: &'a str,
    cells: Vec<OldCell<'a>>,
    seed: u64,
    threads: usize,
    cpu: Option<usize>,
    cpu_features: Option<&'a str>,
    last_level_cache_bytes: u64,
    inject: Option<&'a Injection>,
}

#[derive(Serialize)]
struct OldCell<'a> {
    op: Operation,
    m: usize,
    k: usize,
    tokens: usize,
    /// Builds from before there was `llc` know `cache` and `dram`, and no build asks for more.
    residency: &'static str,
    family: Family,
    kernels: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum OldRequest<'a> {
    Prepare { cell: usize, oracle: bool },
    Exact { kernels: [&'a str; 1] },
    Count { kernels: [&'a str; 1] },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OldReply {
    Ready { protocol: u32, build: Box<Build>, kernels: Vec<Offer> },
    Prepared { outputs: [String; 1] },
    Exact { results: [TextResult; 1] },
    Counted { instructions: Vec<u64>, subject: String },
    Error { message: String },
}

impl<'a> OldJob<'a> {
    fn new(job: &'a Job) -> Self {
        Self {
            protocol: PROTOCOL,
            control: &job.control,
            // All of them, so that a number means the same cell.
            cells: job.cells.iter().map(OldCell::new).collect(),
            seed: job.seed,
            threads: job.threads,
            cpu: job.cpu,
            cpu_features: job.cpu_features.as_deref(),
            last_level_cache_bytes: job.last_level_cache_bytes,
            inject: job.inject.as_ref(),
        }
    }
}

impl<'a> OldCell<'a> {
    fn new(cell: &'a JobCell) -> Self {
        Self {
            op: cell.op,
            m: cell.m,
            k: cell.k,
            tokens: cell.tokens,
            residency: if cell.residency == Residency::Dram { "dram" } else { "cache" },
            family: cell.family,
            kernels: [&cell.kernel],
        }
    }
}

/// A request in its words.
pub fn request(request: &Request) -> serde_json::Result<String> {
    match request {
        Request::Begin(job) => serde_json::to_string(&OldJob::new(job)),
        Request::Prepare { cell, oracle } => {
            serde_json::to_string(&OldRequest::Prepare { cell: *cell, oracle: *oracle })
        }
        Request::Text { kernel } => serde_json::to_string(&OldRequest::Exact { kernels: [kernel] }),
        Request::Count { kernel } => serde_json::to_string(&OldRequest::Count { kernels: [kernel] }),
        // Asked of this very program only.
        Request::Call(_) | Request::Stop => serde_json::to_string(request),
    }
}

/// One of its answers; none if it is none.
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
    fn an_old_program_hears_words_that_it_knows() {
        let cell = |residency| JobCell {
            op: Operation::Gemv,
            m: 16,
            k: 256,
            tokens: 1,
            residency,
            family: Family::W2A8,
            kernel: "scalar-i8".into(),
            text: None,
        };
        let job = Job {
            control: "c".into(),
            cells: [Residency::L2, Residency::Llc, Residency::Cache, Residency::Dram].map(cell).into(),
            seed: 7,
            threads: 1,
            cpu: None,
            cpu_features: None,
            last_level_cache_bytes: 5,
            inject: None,
        };
        let line = request(&Request::Begin(Box::new(job))).expect("JSON");
        let heard: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let places: Vec<_> = (0..4).map(|i| heard["cells"][i]["residency"].as_str().expect("a word")).collect();
        assert_eq!(places, ["cache", "cache", "cache", "dram"]);
        assert_eq!((&heard["protocol"], &heard["cells"][0]["kernels"][0]), (&1.into(), &"scalar-i8".into()));
        let exact = request(&Request::Text { kernel: "scalar".into() }).expect("JSON");
        assert_eq!(exact, r#"{"exact":{"kernels":["scalar"]}}"#);
    }

    #[test]
    fn its_answers_are_understood() {
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
