//! Microbenchmark cells: raw rounds first, summaries second (they can be recomputed from the rounds).

use super::limits::Bound;
use super::operation::{Activations, Family, Operation, Scaling};
use super::round::Round;
use super::row::WithoutTime;
use super::verdict::Verdict;
use crate::judge::{Direction, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the packed weights were when the call started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residency {
    /// One copy, reused by every call, of at most half of the second-level caches of the threads' cores.
    L2,
    /// One copy, reused by every call, of any size: what does not fit a nearer cache is read from the last-level one.
    Llc,
    /// Copies rotated through four times the last-level cache: read from memory on every call.
    Dram,
    /// In receipts written before there was `llc`: one copy, of any size.
    Cache,
}

impl Residency {
    /// Places where weights can be, nearest first.
    pub const PLACES: [Self; 3] = [Self::L2, Self::Llc, Self::Dram];

    /// The place that this one is compared as: the `cache` of old receipts is `llc` now.
    pub fn place(self) -> Self {
        if self == Self::Cache { Self::Llc } else { self }
    }
}

fn one() -> usize {
    1
}

/// One operation at one shape and residency, all kernels of one family in the same interleaved rounds.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct MicroCell {
    /// `dequantize`, `gemv` or `gemm`.
    pub op: Operation,
    /// Rows of the matrix.
    pub m: usize,
    /// Columns of the matrix.
    pub k: usize,
    /// Tokens of a batch (n); 1 but for `gemm`.
    #[serde(default = "one")]
    pub tokens: usize,
    /// Where the weights were when a call started.
    pub residency: Residency,
    /// `W2A32`, `W2A8` or `W2gA8`; families are never mixed in a cell.
    pub family: Family,
    /// Weights of a group that has a scale, of W2gA8; absent of the others, and before 1.6, when it was 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_group: Option<usize>,
    /// Which activations share a scale, of W2gA8; absent of the others, and before 1.6, when all of a token did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
    /// Threads that shared the rows.
    pub threads: usize,
    /// Weights one call multiplies with: m x k, times the tokens of a batch.
    pub weights_per_call: u64,
    /// Number of calls in one epoch, the same for every kernel.
    pub calls_per_epoch: u32,
    /// Copies of the weights that were rotated (1 but for weights from memory).
    pub copies: usize,
    /// Seed from which weights, activations and order were made.
    pub seed: u64,
    #[doc = "The columns of a round. The first is the baseline; the one with `self_pair` is a kernel that is there \
             already (A/A). None where every kernel is among those without a time."]
    pub entries: Vec<MicroEntry>,
    /// Raw rounds: times of each entry.
    pub rounds: Vec<Round>,
    /// Kernels that have no time here, and why; since 1.4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_time: Vec<WithoutTime>,
    /// What the rounds say about each entry, in the order of `entries`.
    pub summaries: Vec<MicroSummary>,
    /// The same bytes only read, in the same rounds: the bound of a kernel whose weights come from memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamLimit>,
    #[doc = "How far single rounds of one kernel are apart: 95th percentile of |ratio - 1| over the self-pair's \
             rounds. No verdict is made of\nit."]
    pub noise_floor: f64,
    #[doc = "The measurement that this one replaces: in it the same code differed from itself, so the cell was \
             measured once more."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unstable_first: Option<Box<MicroCell>>,
    /// The fastest kernel against the next.
    #[serde(skip)]
    pub lead: Option<Lead>,
    /// By which rule figures follow from the rounds.
    #[serde(skip)]
    pub method: Method,
}

impl MicroCell {
    /// What shares a scale in this cell; none where a tensor has one scale, and a token.
    pub fn scaling(&self) -> Option<Scaling> {
        Scaling::of(self.family, self.weight_group, self.activations)
    }

    /// Every judged pair: against the family's first row, against what a kernel builds on, and the fastest against the
    /// next.
    pub fn ratios(&self) -> impl Iterator<Item = &Ratio> {
        let kernels = self.summaries.iter().zip(&self.entries).filter(|(_, entry)| !entry.self_pair);
        let pairs = kernels.flat_map(|(s, _)| s.vs_baseline.iter().chain(&s.vs_previous));
        pairs.chain(self.lead.iter().map(|lead| &lead.over_next))
    }
}

/// The fastest kernel of a cell, and its ratio to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Lead {
    /// Index of the fastest entry.
    pub fastest: usize,
    /// Speed of the fastest kernel over the next, paired by round.
    pub over_next: Ratio,
}

/// A kernel that takes turns in a cell's rounds.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct MicroEntry {
    /// Id of the kernel.
    pub kernel: String,
    /// The kernel's long name: `{op}-{act}{weight}{out}-{isa}-{technique}-{mr}x{nr}`.
    pub name: String,
    #[doc = "Whether this column is a kernel of the same cell a second time. The most advanced one: its short epochs \
             feel noise first."]
    pub self_pair: bool,
    /// Number of bytes one call must read: packed weights and their scales.
    pub bytes_per_call: u64,
    /// SHA-256 of the output of one call, as bytes: what was computed while it was timed.
    pub output_sha256: String,
    /// Name of the layout of the packed weights; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packing: Option<String>,
    /// How the kernel asked for weights ahead of their loads, where they come from memory; absent before 1.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<String>,
    /// What the output was compared with before it was timed, on the same bytes; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oracle: Option<String>,
    /// Largest absolute difference of the output from the oracle; absent before 1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_abs_error: Option<f64>,
    /// What preparing a token takes by itself, of a library's kernel; its times contain it. Absent before 1.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Prepare>,
}

/// How a library's kernel prepares a token's activations for a product.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Prepare {
    /// Median time of a token by the process's own clock, before the rounds.
    pub ns_per_token: f64,
    /// Bytes of a prepared token.
    pub bytes_per_token: u64,
}

/// A loop that only reads the packed codes, timed in each round beside the kernels.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct StreamLimit {
    /// Number of bytes that one call reads.
    pub bytes_per_call: u64,
    /// Nanoseconds of the loop's epoch in each round; it runs before or after the entries, in turn.
    pub ns: Vec<u64>,
    /// Median read rate in 10^9 bytes a second.
    pub gb_s: f64,
}

/// Speed against a partner, paired by round, with its exact sign-test interval: above 1 is faster than the partner.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Ratio {
    /// Id of the kernel that this one is compared with.
    pub partner: String,
    /// Median over rounds of partner time / own time.
    pub median: f64,
    /// Lower end of the interval; absent when there are too few rounds for the level.
    pub low: Option<f64>,
    /// Upper end of the interval; absent when there are too few rounds for the level.
    pub high: Option<f64>,
    /// Confidence level of the interval, e.g. 0.99.
    pub confidence: f64,
    /// What the judge makes of the pair, from the same rounds. Not written: whoever reads a receipt has it judged
    /// again.
    #[serde(skip)]
    pub verdict: Option<Box<Verdict>>,
}

impl Ratio {
    /// Whether the kernel is faster or slower than its partner; undecided where nothing was judged.
    pub fn direction(&self) -> Direction {
        self.verdict.as_ref().map_or(Direction::Undecided, |verdict| verdict.direction())
    }

    /// The smallest difference from 1 that counts: the threshold that decided, as a share.
    pub fn threshold(&self) -> Option<f64> {
        self.verdict.as_ref().map(|verdict| verdict.delta_eff)
    }
}

/// What a cell's rounds say about one entry.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct MicroSummary {
    /// Id of the kernel.
    pub kernel: String,
    /// Median wall time of one call, in nanoseconds.
    pub median_ns_per_call: f64,
    /// Weights per nanosecond, i.e. 10^9 weights a second.
    pub gelem_s: f64,
    /// Bytes of packed weights per nanosecond, i.e. 10^9 bytes a second.
    pub gb_s: f64,
    /// Share of the streaming-read bandwidth of the same rounds that the kernel reached (median of paired ratios).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_stream: Option<f64>,
    /// Speed against the cell's baseline; absent for the baseline itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vs_baseline: Option<Ratio>,
    /// Speed against the stage that the kernel builds on, where that ran in the same cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vs_previous: Option<Ratio>,
    #[doc = "The smaller of memory's and the multiply's bound, and the share of it that was reached; from the \
             receipt's `limits`."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    #[doc = "Whether it is slower than the stage it builds on (than the cell's baseline, where that stage did not \
             run). Absent for the\nbaseline and the self-pair, and before 1.1."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_receipts_cache_stays_as_written_and_is_compared_with_llc() {
        let words = ["\"l2\"", "\"llc\"", "\"dram\"", "\"cache\""];
        let read = words.map(|word| serde_json::from_str::<Residency>(word).expect("known"));
        assert_eq!(read, [Residency::L2, Residency::Llc, Residency::Dram, Residency::Cache]);
        assert_eq!(read.map(|r| serde_json::to_string(&r).expect("written")), words);
        assert_eq!(read.map(Residency::place), [Residency::L2, Residency::Llc, Residency::Dram, Residency::Llc]);
    }
}
