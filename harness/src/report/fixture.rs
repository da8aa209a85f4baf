//! Receipts for tests: a realistic complete run and the ways in which a run can be less than that. The numbers are made
//! up (a fixed noise sequence around chosen speeds); only their shape matters.

mod variants;

use super::figures::median;
use crate::receipt::*;
pub use variants::{no_avx2, no_regression, regression, unstable, unstable_headline, with_verdicts};

/// Ladder stages with their made-up speeds: (id, stage before, Gelem/s in cache, Gelem/s from DRAM, for dequantize).
const LADDER: [(&str, Option<&str>, f64, f64, f64); 6] = [
    ("scalar", None, 1.41, 1.38, 1.32),
    ("avx2-foundation", Some("scalar"), 1.42, 1.40, 1.71),
    ("avx2-nibble", Some("avx2-foundation"), 6.9, 6.6, 5.8),
    ("avx2-fma-tile", Some("avx2-nibble"), 14.8, 13.9, 5.83),
    ("avx2-prefetch", Some("avx2-fma-tile"), 14.7, 15.1, 5.9),
    ("avx2-permute", Some("avx2-prefetch"), 19.6, 19.1, 8.8),
];
const EXACT: [(&str, Option<&str>, f64, f64, f64); 2] =
    [("scalar-i8", None, 2.1, 2.1, 0.0), ("avx2-i8", Some("scalar-i8"), 121.0, 98.0, 0.0)];
const GEMV: [(usize, usize); 3] = [(2560, 2560), (6912, 2560), (2560, 6912)];
const DEQUANTIZE: [usize; 5] = [256, 512, 1024, 4096, 16384];

/// A run in which everything was measured.
pub fn complete() -> Receipt {
    let mut receipt = empty();
    receipt.status = Status::Complete;
    for residency in [Residency::Cache, Residency::Dram] {
        for (m, k) in GEMV {
            receipt.micro.push(cell("gemv", m, k, residency, "W2A32", &LADDER, 100));
            receipt.micro.push(cell("gemv", m, k, residency, "W2A8", &EXACT, 100));
        }
    }
    for k in DEQUANTIZE {
        receipt.micro.push(cell("dequantize", 1, k, Residency::Cache, "W2A32", &LADDER, 200));
    }
    receipt.counts = counts();
    let limits = limits();
    let caches = receipt.host.caches_bytes.clone();
    receipt.micro.iter_mut().for_each(|cell| crate::bound::fill(cell, &limits, &caches));
    receipt.limits = Some(limits);
    receipt.model = Some(model());
    receipt.generation = Some(generation());
    receipt.perplexity = Some(perplexity());
    receipt.sparsity = Some(sparsity());
    receipt.findings = vec![Finding {
        title: "Multiplying by vectors does not pay while unpacking is scalar".into(),
        text: "avx2-foundation is 1.01× scalar for gemv 6912×2560 in cache, too small a difference to count.".into(),
        evidence: "/micro/2/summaries/1".into(),
    }];
    complete_pairs(receipt)
}

/// Judged as a receipt that was read.
fn complete_pairs(mut receipt: Receipt) -> Receipt {
    crate::judge::complete(&mut receipt);
    receipt
}

/// Two stages and an int8 kernel, one loop without a static model.
fn counts() -> Vec<CountRecord> {
    let figures = [("avx2-nibble", 55_810_u64, true), ("avx2-permute", 36_250, false), ("avx2-i8", 10_280, true)];
    let record = |(kernel, instructions, modelled): (&str, u64, bool)| {
        let mut total = Mix { instructions, ..Mix::default() };
        (total.classes.multiply_add, total.widths.bits_256) = (instructions / 4, instructions / 2);
        let model = StaticModel {
            tool: "llvm-mca 19.1.7".into(),
            cpu: "znver4".into(),
            same_cpu: false,
            throughput_cycles: 60.0,
            simulated_cycles: 72.5,
            throughput_cycles_per_64_weights: 15.0,
            simulated_cycles_per_64_weights: 18.125,
        };
        let hot_loop = LoopRecord {
            passes: 250,
            share: 0.9,
            weights_per_pass: 256.0,
            per_64_weights: total.per_64(64_000.0),
            pass: total.clone(),
            static_model: modelled.then_some(model),
            static_model_reason: (!modelled).then(|| "llvm-mca 19.1.7 on znver4: error".into()),
        };
        CountRecord {
            kernel: kernel.into(),
            name: format!("gemv-{kernel}"),
            op: "gemv".into(),
            m: 64,
            k: 1000,
            tokens: 1,
            weights_per_call: 64_000,
            seed: 1,
            method: "branches".into(),
            fixed_addresses: true,
            output_sha256: "0c".repeat(32),
            per_64_weights: total.per_64(64_000.0),
            total,
            hot_loop: Some(hot_loop),
        }
    };
    figures.map(record).into()
}

/// Limits in round numbers: 4 GHz; 400, 200, 100 and 30 GB/s read, 240, 160, 80 and 20 written, from L1, L2, L3 and memory.
pub fn limits() -> Limits {
    let exactly = |x: f64| Spread { median: x, low: x, high: x };
    let level = |(level, bytes, read, write): (&str, u64, f64, f64)| Bandwidth {
        level: level.into(),
        threads: 1,
        bytes,
        read_gb_s: exactly(read),
        write_gb_s: exactly(write),
    };
    let peaks =
        [("mul-add-xmm", 8.0), ("mul-add-ymm", 16.0), ("fma-ymm", 16.0), ("pmaddwd-xmm", 16.0), ("maddubs-ymm", 64.0)];
    let multiply = |kernel: &str| match kernel {
        "scalar" => "mul-add-xmm",
        "scalar-i8" => "pmaddwd-xmm",
        "avx2-i8" => "maddubs-ymm",
        "avx2-foundation" | "avx2-nibble" => "mul-add-ymm",
        _ => "fma-ymm",
    };
    Limits {
        last_level: None,
        clock_ghz: Some(Spread { median: 3.9, low: 3.8, high: 4.0 }),
        bandwidth: [
            ("L1", 16 << 10, 400.0, 240.0),
            ("L2", 512 << 10, 200.0, 160.0),
            ("L3", 16 << 20, 100.0, 80.0),
            ("DRAM", 128 << 20, 30.0, 20.0),
        ]
        .map(level)
        .into(),
        multiplies: peaks
            .map(|(id, mac)| MultiplyPeak {
                id: id.into(),
                instructions: id.replace('-', " "),
                products: 8,
                mac_per_cycle: exactly(mac),
                gmac_s: exactly(4.0 * mac),
                teams: Vec::new(),
            })
            .into(),
        kernels: LADDER
            .iter()
            .chain(&EXACT)
            .map(|s| KernelMultiply { kernel: s.0.into(), multiply: multiply(s.0).into() })
            .collect(),
        elapsed_s: 1.2,
    }
}

fn sparsity() -> SparsityRecord {
    let point = |live_share: f64| {
        let (dense_us, sparse_us) = (330.0, 120.0 + 300.0 * live_share);
        let median = dense_us / sparse_us;
        let partner = "avx512-vnni".into();
        SparsityPoint {
            live_share,
            live_columns_share: live_share * 0.96,
            calls_per_epoch: 6,
            rounds: Vec::new(),
            dense_us,
            sparse_us,
            vs_dense: Ratio {
                partner,
                median,
                low: Some(median * 0.99),
                high: Some(median * 1.01),
                confidence: 0.99,
                verdict: None,
            },
            noise_floor: 0.021,
        }
    };
    SparsityRecord {
        dim: 2560,
        ffn: 6912,
        kernel: "avx512-vnni".into(),
        reason: "fastest dense block of 7 exact kernels (330 us)".into(),
        operations: "sparse-avx512-vnni".into(),
        threads: 1,
        copies: 10,
        dense_bytes: 132_710_400,
        points: [0.05, 0.2, 0.5, 0.8, 1.0].map(point).into(),
        crossover: Some(0.7),
    }
}

/// A run stopped after two cells with too few rounds for any interval.
pub fn interrupted() -> Receipt {
    let mut receipt = empty();
    receipt.status = Status::Interrupted;
    receipt.micro.push(cell("gemv", 2560, 2560, Residency::Cache, "W2A32", &LADDER, 4));
    receipt.micro.push(cell("gemv", 2560, 2560, Residency::Cache, "W2A8", &EXACT, 0));
    receipt.host.load_after = None;
    complete_pairs(receipt)
}

/// Nothing but the facts that are known before the first measurement.
pub fn empty() -> Receipt {
    Receipt {
        schema_version: SCHEMA_VERSION.into(),
        status: Status::Running,
        error: None,
        timestamp: "2026-02-03T04:05:06Z".into(),
        elapsed_s: 312.4,
        argv: ["harness", "compare", "--scenario", "ladder", "--out", "my run"].map(String::from).into(),
        build: build(),
        host: host(),
        scenario: ScenarioRecord {
            name: "ladder".into(),
            summary: "The roadmap's stages against each other and against int8 kernels.".into(),
            analysis: "Each stage builds on the one before.\n\nRead the column of the stage before it: it says what \
                       that one change was worth."
                .into(),
            sha256: "5e".repeat(32),
            quick: false,
        },
        settings: Settings {
            threads: 1,
            pinned_cpus: vec![1],
            cpu_features: None,
            seed: 42,
            kernels_requested: None,
            deterministic: false,
        },
        kernels: kernels(),
        model: None,
        verify: verify(),
        limits: None,
        micro: Vec::new(),
        counts: Vec::new(),
        counts_skipped: None,
        static_model_skipped: None,
        rule: None,
        gate: None,
        calibration: None,
        generation: None,
        perplexity: None,
        head_effect: None,
        sparsity: None,
        findings: Vec::new(),
        bitnet_rs: None,
        integrity: None,
    }
}

/// A complete run in which every string that comes from outside is hostile.
pub fn hostile() -> Receipt {
    const EVIL: &str = "<script>alert('x')</script>&\"\u{1}";
    let json = serde_json::to_string(&complete()).unwrap();
    let mut receipt: Receipt =
        serde_json::from_str(&json.replace("avx2-permute", "EVIL").replace("W2A8", "EVIL2")).unwrap();
    let evil = |s: &mut String| *s = s.replace("EVIL", EVIL);
    for cell in &mut receipt.micro {
        evil(&mut cell.family);
        cell.entries.iter_mut().for_each(|e| evil(&mut e.kernel));
        cell.summaries.iter_mut().for_each(|s| evil(&mut s.kernel));
    }
    receipt.counts.iter_mut().for_each(|c| evil(&mut c.kernel));
    if let Some(g) = &mut receipt.generation {
        g.kernels.iter_mut().for_each(|k| [&mut k.kernel, &mut k.family, &mut k.text].into_iter().for_each(evil));
        g.kernels.iter_mut().for_each(|k| k.text.push_str(EVIL));
        g.prompt = EVIL.into();
    }
    receipt.kernels.iter_mut().for_each(|k| k.summary = EVIL.into());
    receipt.findings[0].title = EVIL.into();
    receipt.findings[0].evidence = "/micro/0\"onmouseover=\"alert(1)".into();
    receipt.scenario.analysis = EVIL.into();
    receipt.argv.push(EVIL.into());
    receipt.host.cpu = EVIL.into();
    complete_pairs(receipt)
}

fn cell(
    op: &str,
    m: usize,
    k: usize,
    residency: Residency,
    family: &str,
    stages: &[(&str, Option<&str>, f64, f64, f64)],
    rounds: usize,
) -> MicroCell {
    let weights = (m * k) as u64;
    let mut noise = Noise(weights ^ rounds as u64);
    let mut columns: Vec<_> = stages.iter().map(|s| (*s, false)).collect();
    columns.push((stages[0], true));
    let speed = |s: &(&str, Option<&str>, f64, f64, f64)| match (op, residency) {
        ("dequantize", _) => s.4 * (0.75 + 0.03 * (k as f64).log2().min(12.0) / 1.2),
        (_, Residency::Dram) => s.3,
        _ => s.2,
    };
    let calls = (1e6 * 1.4 / weights as f64).ceil() as u32;
    let raw: Vec<Round> = (0..rounds)
        .map(|r| {
            let machine = 1.0 + 0.05 * noise.next();
            let ns: Vec<u64> = columns
                .iter()
                .map(|(s, _)| {
                    (weights as f64 * f64::from(calls) / speed(s) * machine * (1.0 + 0.012 * noise.next())) as u64
                })
                .collect();
            Round {
                order: (0..columns.len()).map(|i| ((i + r) % columns.len()) as u8).collect(),
                cpu_ns: ns.clone(),
                involuntary_switches: ns.iter().map(|_| u32::from(noise.next() > 0.95)).collect(),
                ns,
            }
        })
        .collect();
    let of = |a: usize, b: usize| ratio(&raw, a, b, columns[a].0.0);
    let summaries = columns
        .iter()
        .enumerate()
        .map(|(i, (s, _))| {
            let ns = median(raw.iter().map(|r| r.ns[i] as f64 / f64::from(calls))).unwrap_or(0.0);
            let previous = s.1.and_then(|p| stages.iter().position(|t| t.0 == p));
            MicroSummary {
                kernel: s.0.into(),
                share_of_stream: (residency == Residency::Dram).then_some(0.5),
                median_ns_per_call: ns,
                gelem_s: if ns > 0.0 { weights as f64 / ns } else { 0.0 },
                gb_s: if ns > 0.0 { weights as f64 / 4.0 / ns } else { 0.0 },
                vs_baseline: (i > 0 && rounds > 0).then(|| of(0, i)),
                vs_previous: previous.filter(|_| rounds > 0).map(|p| of(p, i)),
                bound: None,
                verdict: None,
            }
        })
        .collect();
    let mut spread: Vec<f64> =
        raw.iter().map(|r| (r.ns[0] as f64 / r.ns[columns.len() - 1] as f64 - 1.0).abs()).collect();
    spread.sort_by(f64::total_cmp);
    MicroCell {
        op: op.into(),
        m,
        k,
        tokens: 1,
        stream: (residency == Residency::Dram).then(|| StreamLimit {
            bytes_per_call: weights / 4,
            ns: raw.iter().map(|_| 1_000_000).collect(),
            gb_s: 30.0,
        }),
        residency,
        family: family.into(),
        threads: 1,
        weights_per_call: weights,
        calls_per_epoch: calls,
        copies: if residency == Residency::Cache { 1 } else { 24 },
        seed: 42,
        entries: columns
            .iter()
            .map(|(s, self_pair)| MicroEntry {
                kernel: s.0.into(),
                name: format!("{op}-f32i2f32-{}-1x8", s.0),
                self_pair: *self_pair,
                bytes_per_call: weights / 4,
                output_sha256: "ab".repeat(32),
                packing: None,
                oracle: None,
                max_abs_error: None,
            })
            .collect(),
        rounds: raw,
        summaries,
        noise_floor: spread.get((spread.len() * 95) / 100).copied().unwrap_or(0.0),
        unstable_first: None,
        lead: None,
        method: Default::default(),
    }
}

fn ratio(rounds: &[Round], partner: usize, own: usize, name: &str) -> Ratio {
    let mut r: Vec<f64> = rounds.iter().map(|x| x.ns[partner] as f64 / x.ns[own] as f64).collect();
    r.sort_by(f64::total_cmp);
    // About the ranks of a sign-test interval at 99%; exactness is not this module's business.
    let n = r.len();
    let half = (1.3 * (n as f64).sqrt()) as usize;
    let enough = n >= 8;
    Ratio {
        partner: name.into(),
        median: median(r.iter().copied()).unwrap(),
        low: enough.then(|| r[n / 2 - half.min(n / 2)]),
        high: enough.then(|| r[(n / 2 + half).min(n - 1)]),
        confidence: 0.99,
        verdict: None,
    }
}

/// A fixed sequence in [-1, 1).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    }
}

fn generation() -> GenerationRecord {
    let families = [("W2A32", &LADDER[..]), ("W2A8", &EXACT[..])];
    let all = families.iter().flat_map(|(f, stages)| stages.iter().map(move |s| (*f, s)));
    GenerationRecord {
        prompt: "ROMEO:".into(),
        prompt_ids: vec![836, 27],
        max_tokens: 32,
        sampling: "greedy".into(),
        timeout_s: Some(30.0),
        threads: 1,
        head: "f16c-f32".into(),
        kv_cache: Some(KvCacheRecord { format: "f16".into(), bytes_per_position: 3072 }),
        kernels: all.map(|(family, s)| generated(family, s.0, s.2)).collect(),
        blocks: Vec::new(),
    }
}

fn generated(family: &str, kernel: &str, speed: f64) -> GenerationKernel {
    let forward = 5.9 / speed + 0.12;
    let token_ms = forward + 0.21 + 0.02;
    let mut noise = Noise(speed.to_bits());
    let tokens = 31;
    let rounds: Vec<GenerationRound> = (0..5)
        .map(|round| {
            let decode_ns = (token_ms * 1e6 * tokens as f64 * (1.0 + 0.02 * noise.next())) as u64;
            GenerationRound {
                round,
                position: 0,
                prefill_ns: (token_ms * 1.7e6) as u64,
                time_to_first_token_ns: (token_ms * 1.75e6) as u64,
                decode_ns,
                decode_tokens: tokens,
                prefill_tokens: None,
                decode_times_ns: None,
                cpu_ns: decode_ns,
                involuntary_switches: 1,
            }
        })
        .collect();
    let base = 5.9 / 1.41 + 0.12 + 0.23;
    GenerationKernel {
        kernel: kernel.into(),
        family: family.into(),
        token_ids: vec![200, 40, 80, 13, 304],
        text: "\nGo, get you to the cause of Romeo,\nAnd, if you be accu".into(),
        stop_reason: "max_tokens".into(),
        ids_equal_baseline: kernel != "avx2-i8",
        ids_equal_in_rounds: Some(true),
        bytes_per_token: 2_450_000,
        prefill_tokens_per_s: 2.0 / (token_ms * 1.7e-3),
        decode_tokens_per_s: median(rounds.iter().map(|r| tokens as f64 / r.decode_ns as f64 * 1e9)).unwrap(),
        time_to_first_token_ms: token_ms * 1.75,
        sparse_ffn: None,
        prefill: None,
        decode_vs_baseline: (!kernel.starts_with("scalar")).then(|| Ratio {
            partner: if family == "W2A8" { "scalar-i8" } else { "scalar" }.into(),
            median: base / token_ms,
            low: None,
            high: None,
            confidence: 0.99,
            verdict: None,
        }),
        phases_ms_per_token: PhasesMs { embed: 0.001, forward, logits: 0.21, sample: 0.018, stop_check: 0.002 },
        forward_ms_per_token: ForwardMs {
            qkv: (forward - 0.12) * 0.2,
            attention: 0.05,
            attn_out: (forward - 0.12) * 0.12,
            gate_up: (forward - 0.12) * 0.45,
            down: (forward - 0.12) * 0.23,
            norms: 0.03,
            activation_quant: 0.04,
        },
        rounds,
        goldens: vec![GoldenCheck {
            prompt: "ROMEO:".into(),
            expected: vec![200, 40, 80, 13],
            got: vec![200, 40, 80, 13],
            compared: 4,
            passed: true,
        }],
    }
}

fn perplexity() -> PerplexityRecord {
    PerplexityRecord {
        text: "built-in: Shakespeare, held-out part".into(),
        text_sha256: "cd".repeat(32),
        tokens: 10455,
        window: 128,
        head: None,
        kernels: LADDER
            .iter()
            .chain(&EXACT)
            .map(|s| PerplexityKernel { kernel: s.0.into(), nats_per_token: 3.137326, perplexity: 23.042163 })
            .collect(),
        lut: Some(LutFinding {
            kernel: "avx2-permute".into(),
            file_lut: [-1, 0, 1, 0],
            file_perplexity: 23.042163,
            seed_lut: [-2, -1, 1, 2],
            seed_perplexity: Some(41_230.5),
            uniform_perplexity: 1024.0,
        }),
    }
}

fn kernels() -> Vec<KernelRecord> {
    let stages = LADDER.iter().map(|s| ("W2A32", s)).chain(EXACT.iter().map(|s| ("W2A8", s)));
    let mut out: Vec<KernelRecord> = stages.map(|(family, s)| kernel(family, s.0, s.1)).collect();
    let mut absent = kernel("W2A8", "avx512-vnni-mask", Some("avx2-i8"));
    absent.available = false;
    absent.reason = Some("this CPU lacks avx512vnni".into());
    out.push(absent);
    out
}

fn kernel(family: &str, id: &str, builds_on: Option<&str>) -> KernelRecord {
    KernelRecord {
        id: id.into(),
        isa: id.split('-').next().unwrap_or_default().into(),
        family: family.into(),
        packing: if family == "W2A8" { "rows16" } else { "qk256" }.into(),
        bits_per_weight: 2.125,
        activations: if family == "W2A8" { "i8" } else { "f32" }.into(),
        exact: family == "W2A8",
        ops: vec!["gemv".into()],
        builds_on: builds_on.map(Into::into),
        summary: "One sentence on what this stage changes.".into(),
        available: true,
        reason: None,
    }
}

fn verify() -> Vec<VerifyRecord> {
    kernels()
        .into_iter()
        .map(|k| VerifyRecord {
            cases: if k.available { 184 } else { 0 },
            mismatches: 0,
            max_abs_error: if k.exact { 0.0 } else { 3.1e-5 },
            max_relative_error: if k.exact { 0.0 } else { 2.2e-7 },
            bound: if k.exact { 0.0 } else { 1e-5 },
            exact: k.exact,
            first_mismatch: None,
            id: k.id,
            available: k.available,
            reason: k.reason,
        })
        .collect()
}

fn build() -> Build {
    Build {
        version: "0.1.0".into(),
        git_commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
        git_dirty: Some(false),
        repository: None,
        cargo_lock_sha256: Some("ef".repeat(32)),
        rustc: "rustc 1.95.0".into(),
        profile: "dev".into(),
        opt_level: "3".into(),
        debug_assertions: false,
        target: "x86_64-unknown-linux-gnu".into(),
        target_features: vec!["sse2".into()],
    }
}

fn host() -> Host {
    Host {
        os: "Linux 6.1".into(),
        arch: "x86_64".into(),
        cpu: "Example CPU 9000".into(),
        family_model_stepping: Some([25, 17, 1]),
        cpus: 2,
        features: ["avx2", "fma", "f16c"].map(String::from).into(),
        caches_bytes: vec![32 << 10, 1 << 20, 32 << 20],
        hypervisor: Some("KVM".into()),
        governor: None,
        memory_bytes: Some(8 << 30),
        microcode: None,
        affinity: None,
        cgroup_cpus: None,
        cgroup_memory_bytes: None,
        load_before: Load { load_1m: Some(0.31), steal_ticks: Some(120), cpus_online: Some(2) },
        load_after: Some(Load { load_1m: Some(1.1), steal_ticks: Some(131), cpus_online: Some(2) }),
    }
}

fn model() -> ModelRecord {
    ModelRecord {
        path: "builtin".into(),
        name: "shakespeare-ternary".into(),
        sha256: "15".repeat(32),
        file_bytes: 2_431_000,
        ternary_weights: 5_898_240,
        layers: 3,
        dim: 384,
        ffn: 1024,
        vocab: 1024,
        pre_tokenizer: "gpt-2 (from the file)".into(),
        synthetic: false,
        notes: vec!["Trained for this bench.".into()],
        warnings: Vec::new(),
    }
}
