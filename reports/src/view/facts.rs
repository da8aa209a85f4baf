//! Where the numbers came from, and what did not run.

use receipt::figures;
use receipt::judge::disturbance;
use receipt::{Load, Receipt, Status};
use serde::Serialize;

/// Label and value.
type Fact = (&'static str, String);

/// The cards of the page and the commands to get the numbers again.
#[derive(Debug, Serialize)]
pub struct Facts {
    scenario: String,
    summary: String,
    analysis: Vec<String>,
    quick: bool,
    timestamp: String,
    machine: Vec<Fact>,
    /// What a reader needs to judge the figures; the rest is in the record.
    machine_short: Vec<Fact>,
    /// What the command must be run with to be the same.
    identity: Vec<Fact>,
    commit: Option<String>,
    build: Vec<Fact>,
    model: Vec<Fact>,
    model_notes: Vec<String>,
    run: Vec<Fact>,
    commands: Vec<String>,
    hashes: Vec<Fact>,
    warnings: Vec<String>,
}

impl Facts {
    /// From all parts of the receipt that are not measurements.
    pub fn new(r: &Receipt) -> Self {
        let (model, model_notes) = model(r);
        Self {
            scenario: r.scenario.name.clone(),
            summary: r.scenario.summary.clone(),
            analysis: r
                .scenario
                .analysis
                .split("\n\n")
                .map(|p| p.trim().into())
                .filter(|p: &String| !p.is_empty())
                .collect(),
            quick: r.scenario.quick,
            timestamp: to_the_minute(&r.timestamp),
            machine_short: machine_short(r),
            identity: identity(r),
            commit: r.build.git_commit.clone(),
            machine: machine(r),
            build: build(r),
            model,
            model_notes,
            run: run(r),
            commands: commands(r),
            hashes: hashes(r),
            warnings: warnings(r),
        }
    }
}

fn machine(r: &Receipt) -> Vec<Fact> {
    let h = &r.host;
    let caches: Vec<String> =
        h.caches_bytes.iter().enumerate().map(|(i, b)| format!("L{} {}", i + 1, figures::bytes(*b))).collect();
    let mut out = vec![
        ("CPU", h.cpu.clone()),
        ("CPUs available", h.cpus.to_string()),
        ("Data caches", or_unknown(caches.join(", "))),
        ("Features used", or_unknown(h.features.join(" "))),
        ("System", format!("{}, {}", h.os, h.arch)),
        ("Hypervisor", h.hypervisor.clone().unwrap_or_else(|| "none reported".into())),
        ("Frequency governor", h.governor.clone().unwrap_or_else(|| "not reported".into())),
        ("Load before / after", format!("{} / {}", load(Some(h.load_before)), load(h.load_after))),
    ];
    if let (Some(before), Some(after)) = (h.load_before.steal_ticks, h.load_after.and_then(|l| l.steal_ticks)) {
        out.push(("Stolen during the run", format!("{} clock ticks, all CPUs", after.saturating_sub(before))));
    }
    if let Some(quota) = quota(r) {
        out.push(("CPU time allowed", quota));
    }
    if let Some(list) = &h.affinity {
        out.push(("Bound to CPUs", list.clone()));
    }
    if let Some(bytes) = h.cgroup_memory_bytes {
        out.push(("Memory allowed", figures::bytes(bytes)));
    }
    if let Some([family, model, stepping]) = h.family_model_stepping {
        out.insert(1, ("Family / model / stepping", format!("{family} / {model} / {stepping}")));
    }
    if let Some(bytes) = h.memory_bytes {
        out.push(("Memory", figures::bytes(bytes)));
    }
    out
}

fn machine_short(r: &Receipt) -> Vec<Fact> {
    let h = &r.host;
    let caches: Vec<String> = h.caches_bytes.iter().map(|b| figures::bytes(*b)).collect();
    let threads = match r.settings.threads {
        1 => "1 thread used".to_string(),
        n => format!("{n} threads used"),
    };
    let mut out = vec![
        ("CPU", h.cpu.clone()),
        ("CPUs", format!("{} available, {threads}", h.cpus)),
        ("L1 / L2 / L3", or_unknown(caches.join(" / "))),
        ("Features used", or_unknown(h.features.join(" "))),
        ("Hypervisor", h.hypervisor.clone().unwrap_or_else(|| "none reported".into())),
        ("Load before / after", format!("{} / {}", load(Some(h.load_before)), load(h.load_after))),
    ];
    out.extend(quota(r).map(|quota| ("CPU time allowed", quota)));
    out
}

/// `0.30 CPUs by a quota, which stopped the run 387 times`.
fn quota(r: &Receipt) -> Option<String> {
    let cpus = r.host.cgroup_cpus?;
    let stops = disturbance::quota_stops(r).map_or_else(
        || "the system does not count how often it stopped the run".into(),
        |n| format!("which stopped the run {}", disturbance::times(n)),
    );
    Some(format!("{cpus:.2} CPUs by a quota, {stops}"))
}

/// Commit and hashes that a second run must share.
fn identity(r: &Receipt) -> Vec<Fact> {
    let mut out = vec![("Compiler", r.build.rustc.clone())];
    if r.build.git_commit.is_none() || r.build.git_dirty == Some(true) {
        // Otherwise the command says it.
        out.insert(0, ("Commit", commit(r)));
    }
    if let Some(hash) = &r.build.cargo_lock_sha256 {
        out.push(("Cargo.lock", figures::short_hash(hash)));
    }
    out.push(("Scenario", figures::short_hash(&r.scenario.sha256)));
    if let Some(m) = &r.model {
        out.push(("Model file", figures::short_hash(&m.sha256)));
    }
    if let Some(i) = &r.integrity {
        out.push(("Receipt", figures::short_hash(&i.root)));
    }
    out
}

fn commit(r: &Receipt) -> String {
    let dirty = if r.build.git_dirty == Some(true) { " with uncommitted changes" } else { "" };
    r.build.git_commit.as_ref().map_or_else(|| "not built in a checkout".into(), |c| format!("{c}{dirty}"))
}

fn build(r: &Receipt) -> Vec<Fact> {
    let b = &r.build;
    vec![
        ("Harness", b.version.clone()),
        ("Commit", commit(r)),
        ("Compiler", b.rustc.clone()),
        ("Profile", format!("{}, opt-level {}", b.profile, b.opt_level)),
        ("Target", b.target.clone()),
        ("Assumed features", or_unknown(b.target_features.join(" "))),
    ]
}

fn model(r: &Receipt) -> (Vec<Fact>, Vec<String>) {
    let Some(m) = &r.model else { return (Vec::new(), Vec::new()) };
    let weights = if m.synthetic { " (random: written by `model synth`)" } else { "" };
    let facts = vec![
        ("Model", format!("{} ({})", m.name, m.path)),
        ("Size", figures::bytes(m.file_bytes)),
        ("Ternary weights", figures::integer(m.ternary_weights) + weights),
        ("Shape", format!("{} blocks, width {}, feed-forward {}, vocabulary {}", m.layers, m.dim, m.ffn, m.vocab)),
        ("Pre-tokenizer", m.pre_tokenizer.clone()),
    ];
    (facts, m.notes.clone())
}

fn run(r: &Receipt) -> Vec<Fact> {
    let s = &r.settings;
    let pinned: Vec<String> = s.pinned_cpus.iter().map(usize::to_string).collect();
    let status = match r.status {
        Status::Complete => "complete",
        Status::Interrupted => "interrupted",
        Status::Failed => "failed",
        Status::Running => "never finished",
    };
    vec![
        ("Status", status.into()),
        ("Started", r.timestamp.clone()),
        ("Took", figures::run_time(r.elapsed_s)),
        ("Threads", s.threads.to_string()),
        ("Pinned to CPUs", if pinned.is_empty() { "not pinned".into() } else { pinned.join(", ") }),
        ("Feature mask", s.cpu_features.clone().unwrap_or_else(|| "none".into())),
        ("Seed", s.seed.to_string()),
        ("Receipt schema", r.schema_version.clone()),
    ]
}

fn commands(r: &Receipt) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(commit) = &r.build.git_commit {
        out.push(format!("git checkout {}", quoted(commit)));
    }
    // The first word is where the binary happened to lie; what it was given is what matters.
    let arguments: Vec<String> = r.argv.iter().skip(1).map(|a| quoted(a)).collect();
    out.push(format!("cargo run -p harness -- {}", arguments.join(" ")));
    out
}

/// As a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn hashes(r: &Receipt) -> Vec<Fact> {
    let mut out = vec![("Scenario", r.scenario.sha256.clone())];
    if let Some(hash) = &r.build.cargo_lock_sha256 {
        out.push(("Cargo.lock", hash.clone()));
    }
    if let Some(m) = &r.model {
        out.push(("Model file", m.sha256.clone()));
    }
    if let Some(p) = &r.perplexity {
        out.push(("Scored text", p.text_sha256.clone()));
    }
    if let Some(i) = &r.integrity {
        out.push(("Receipt, over its parts", i.root.clone()));
    }
    out
}

/// What would make a careful reader doubt the numbers, said before they find it.
fn warnings(r: &Receipt) -> Vec<String> {
    let mut out = Vec::new();
    if r.build.debug_assertions {
        out.push("Built with debug assertions: no time here means anything.".into());
    }
    if r.build.git_dirty == Some(true) {
        out.push("Built from a checkout with uncommitted changes: the commit alone does not reproduce it.".into());
    }
    if r.build.git_commit.is_none() {
        out.push("Not built in a checkout: the source is known only by its version.".into());
    }
    if r.scenario.quick {
        out.push("--quick: fewer shapes and rounds than the scenario's full matrix.".into());
    }
    if r.model.as_ref().is_some_and(|m| m.synthetic) {
        out.push("The model's weights are random: its text and perplexity mean nothing, its speed does.".into());
    }
    out
}

fn load(l: Option<Load>) -> String {
    l.and_then(|l| l.load_1m).map_or_else(|| "unknown".into(), |x| format!("{x:.2}"))
}

/// `2026-11-24 22:58 UTC` of an RFC 3339 timestamp; anything else as it is.
fn to_the_minute(timestamp: &str) -> String {
    match (timestamp.get(..10), timestamp.get(11..16)) {
        (Some(day), Some(time)) if timestamp.ends_with('Z') => format!("{day} {time} UTC"),
        _ => timestamp.into(),
    }
}

fn or_unknown(text: String) -> String {
    if text.is_empty() { "not reported".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn commands_survive_a_shell() {
        let facts = Facts::new(&fixture::complete());
        assert!(facts.commands[1].starts_with("cargo run -p harness -- compare --kernels scalar,"));
        assert!(facts.commands[1].ends_with(" --dense --out 'my run'"), "{}", facts.commands[1]);
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(facts.timestamp, "2026-11-28 18:54 UTC");
        assert_eq!(to_the_minute("yesterday"), "yesterday");
    }
}
