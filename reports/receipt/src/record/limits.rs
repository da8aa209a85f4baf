//! What this machine can do at most: its clock, how fast it moves bytes from each level, and how much it can multiply.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limits of one machine, measured in the run that they are kept with.
#[derive(Clone, Debug, Default, JsonSchema, Serialize, Deserialize)]
pub struct Limits {
    /// Core clock under load in GHz; absent where no addition chain is written for the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ghz: Option<Spread>,
    /// Streaming bandwidth, measured with each thread count at each size.
    pub bandwidth: Vec<Bandwidth>,
    /// Peak rates of multiply instructions on one thread.
    pub multiplies: Vec<MultiplyPeak>,
    /// Which multiply each kernel's products are made with.
    pub kernels: Vec<KernelMultiply>,
    /// The last-level cache as reading shows it. Absent in older receipts, and where no cache is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_level: Option<LastLevel>,
    /// CPU time of the measuring thread over wall time: below 1, others had its CPU. Absent in older receipts, and
    /// where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_share: Option<f64>,
    /// Wall time in seconds of measuring all limits.
    pub elapsed_s: f64,
}

impl Limits {
    /// Cache sizes in bytes by level; the last is the size that reading shows, where that was measured.
    pub fn caches(&self, reported: &[u64]) -> Vec<u64> {
        let mut caches = reported.to_vec();
        if let (Some(last), Some(found)) = (caches.last_mut(), &self.last_level) {
            *last = found.effective_bytes;
        }
        caches
    }
}

/// How much of the last-level cache one thread gets: what is larger is read at memory's rate.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct LastLevel {
    /// Bytes of the last-level cache that CPUID or the system reports.
    pub reported_bytes: u64,
    #[doc = "The largest size that was read clearly faster than memory, at most `reported_bytes`; the second level's \
             size where nothing beyond\nit was."]
    pub effective_bytes: u64,
    /// Whether reading slowed down at some size beyond the second level.
    pub step: bool,
    /// Read bandwidth at each size, in the order measured.
    pub points: Vec<SweepPoint>,
}

/// Read bandwidth at one size.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Number of bytes that were read over and over.
    pub bytes: u64,
    /// The best sample in 10^9 bytes a second, with and without software prefetch.
    pub read_gb_s: f64,
}

/// Median of several samples, and the smallest and largest of them. Bounds use the largest: interference only slows.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Spread {
    /// Median of the samples.
    pub median: f64,
    /// Smallest sample.
    pub low: f64,
    /// Largest sample.
    pub high: f64,
}

/// Bandwidth of reading and of writing the same bytes over and over.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Where the bytes of each thread fit: `L1`, `L2`, `L3`, or `DRAM`.
    pub level: String,
    /// Number of threads, each with a contiguous part.
    pub threads: usize,
    /// Number of bytes of all threads together.
    pub bytes: u64,
    #[doc = "10^9 bytes a second that all threads together read, with the better of two loops (with and without \
             software prefetch)."]
    pub read_gb_s: Spread,
    /// 10^9 bytes a second that all threads together write, with the better of two widths of stores.
    pub write_gb_s: Spread,
}

/// Peak rate of a multiply instruction alone, in registers, on one thread.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct MultiplyPeak {
    /// Id of the multiply, for example `vpdpbusd-zmm`.
    pub id: String,
    /// The instructions that make it up, in words.
    pub instructions: String,
    /// Products that one repetition of them adds up.
    pub products: u32,
    /// Products a cycle of one thread, the clock taken beside each sample.
    pub mac_per_cycle: Spread,
    /// Products a second of one thread, in 10^9.
    pub gmac_s: Spread,
    /// Peak rates of several threads at once, if more than one was asked for: threads of one core share multipliers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<TeamPeak>,
}

/// Peak rate of a multiply on several threads at once.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct TeamPeak {
    /// Number of threads.
    pub threads: usize,
    /// Products a second of all threads together, in 10^9.
    pub gmac_s: Spread,
}

/// Which multiply a kernel's products are made with.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct KernelMultiply {
    /// Id of the kernel.
    pub kernel: String,
    /// Id of the multiply in [`Limits::multiplies`].
    pub multiply: String,
}

/// What limits a rate: memory, the multiply, or the ports that the whole loop needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoundBy {
    /// The rate is limited by moving the bytes.
    Memory,
    /// The rate is limited by multiplying.
    Compute,
    /// The rate is limited by the ports that the instructions of the kernel's loop share; not before 1.4.
    Ports,
}

/// The smallest of the bounds of one row (memory's, the multiply's, the port mix's), and how near the kernel comes.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Which bound is the smallest.
    pub bound: BoundBy,
    #[doc = "What sets the bound, in words: `L3 read 104 GB/s`, `vpdpbusd-zmm 128 MAC/cycle at 4.10 GHz`, `port mix of \
             its loop, by\nllvm-mca 14.0.6 on sapphirerapids: 64.0 MAC/cycle at 2.99 GHz`."]
    pub what: String,
    /// The bound as 10^9 weights a second.
    pub gelem_s: f64,
    /// Share of the bound that the kernel reached: 0.8 is 80%.
    pub share: f64,
    /// The bound that memory sets, as 10^9 weights a second.
    pub memory_gelem_s: f64,
    /// The multiply's bound, 10^9 weights a second; absent for `dequantize` and where no peak was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_gelem_s: Option<f64>,
    /// The bound of the loop's port mix, for weights in cache; absent where no model was asked, and before 1.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortBound>,
    /// Weights for each byte that must be moved: the row's place on a roofline.
    pub weights_per_byte: f64,
    /// Products a cycle and thread that the kernel reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_per_cycle: Option<f64>,
}

/// What the ports of a CPU allow the loop of a kernel, by a static model.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
pub struct PortBound {
    /// Tool and model in words: `llvm-mca 14.0.6 on sapphirerapids`, with `(nearest)` where that is another CPU.
    pub model: String,
    /// The bound as 10^9 weights a second.
    pub gelem_s: f64,
    #[doc = "Why it does not count: the kernel was faster in this run, so the model does not fit this CPU. Absent \
             where it counts."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

impl PortBound {
    /// What bounds, in the words that stand wherever the share of it does.
    pub fn in_words(&self) -> String {
        format!("port mix of its loop, by {}", self.model)
    }
}
