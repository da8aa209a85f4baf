//! The times that the benchmark trackers' formats share.

use receipt::Receipt;
use receipt::judge::gate::title as gate_title;
use receipt::judge::stats::{CONFIDENCE, median, sign_test_interval};
use receipt::titles::{cell_of_a_run, other_rule};

/// Median time of one thing, for people who track it over commits. Such a history is for looking at: only a gate
/// compares builds.
pub struct Latency {
    /// Kernel, operation, shape, residency, what shares a scale where that is a choice, family; unique in a receipt.
    pub name: String,
    /// Unit of the time: `ns/call` or `ns/token`.
    pub unit: &'static str,
    /// Median over rounds, in nanoseconds.
    pub ns: f64,
    /// The median's exact sign-test interval in nanoseconds, where there are rounds enough.
    pub interval: Option<(f64, f64)>,
    /// Number of rounds in words: `42 rounds`.
    pub rounds: String,
}

/// All median times of a run: microbenchmarks, both sides of gates, and decoding.
pub fn latencies(receipt: &Receipt) -> Vec<Latency> {
    let mut all = Vec::new();
    let mut add = |name: String, unit: &'static str, ns: Vec<f64>| {
        let rounds = format!("{} rounds", ns.len());
        let value = median(&ns);
        if value > 0.0 {
            all.push(Latency { name, unit, ns: value, interval: sign_test_interval(&ns, CONFIDENCE), rounds });
        }
    };
    for cell in &receipt.micro {
        let calls = f64::from(cell.calls_per_epoch.max(1));
        for (i, entry) in cell.entries.iter().enumerate().filter(|(_, e)| !e.self_pair) {
            let ns = cell.rounds.iter().filter_map(|r| r.ns.get(i)).map(|&ns| ns as f64 / calls).collect();
            let threads = cell.threads;
            add(
                format!("{} {} {}, {threads} thread(s)", entry.kernel, cell_of_a_run(cell), cell.family),
                "ns/call",
                ns,
            );
        }
    }
    for cell in receipt.gate.iter().flat_map(|g| &g.cells) {
        // Of a whole model a token, as below.
        let (unit, tokens) =
            if cell.model.is_some() { ("ns/token", cell.tokens.max(1) as f64) } else { ("ns/call", 1.0) };
        let calls = f64::from(cell.calls_per_epoch.max(1)) * tokens;
        for (side, i) in [("baseline", receipt::judge::gate::BASELINE), ("current", receipt::judge::gate::CURRENT)] {
            let rounds = cell.pairs.iter().flat_map(|p| &p.rounds);
            let ns = rounds.filter_map(|r| r.ns.get(i)).map(|&ns| ns as f64 / calls).collect();
            add(format!("gate {side}: {}, {} thread(s)", gate_title(cell), cell.threads), unit, ns);
        }
    }
    if let Some(generation) = &receipt.generation {
        for kernel in &generation.kernels {
            let rounds = kernel.rounds.iter().filter(|r| r.decode_tokens > 0);
            let ns = rounds.map(|r| r.decode_ns as f64 / r.decode_tokens as f64).collect();
            let rule = other_rule(generation);
            add(format!("{} decode{rule}, {} thread(s)", kernel.kernel, generation.threads), "ns/token", ns);
        }
    }
    all
}
