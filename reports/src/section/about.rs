//! Machine, model, build and how to get the numbers again: folded below the first screen.

use crate::document::{Block, Card, Section};
use crate::words::{count, quoted};
use receipt::judge::device::{self, TextSpeed};
use receipt::judge::{disturbance, doctor};
use receipt::{CoreKind, DeviceRecord, DeviceText, Load, Receipt, figures};

/// Label and value.
type Fact = (&'static str, String);

/// The folded section on machine, model, build and how to get the numbers again.
pub fn section(r: &Receipt) -> Section {
    let card =
        |id: &str, title: &str, facts: Vec<Fact>| Card { id: id.into(), title: title.into(), facts, ..Card::default() };
    let mut cards =
        vec![card("host", "Machine", machine(r)), card("build", "Build", build(r)), card("run", "Run", run(r))];
    let fitness = doctor::of_receipt(r);
    if !fitness.is_empty() {
        cards.insert(1, card("fitness", "Was it fit to measure, before the run?", fit(&fitness)));
    }
    if let Some(device) = &r.device {
        cards.insert(0, card("device", "GPU: all times are this device's", gpu(device)));
        let text = device.text.as_ref().zip(device::text_speed(r));
        cards.extend(
            text.map(|(text, speed)| card("device-text", "A text on the GPU, by the host's clock", texts(text, speed))),
        );
    }
    cards.extend(r.model.is_some().then(|| card("model", "Model", model(r))));
    cards.push(card("hashes", "SHA-256", hashes(r)));
    cards.push(Card { commands: commands(r), ..card("reproduce", "Reproduce", Vec::new()) });
    let notes = r.model.iter().flat_map(|m| &m.notes).cloned();
    let mut section =
        Section::new("about", "Machine, model and how to reproduce").with([Block::Cards(cards)]).folded("");
    section = notes.fold(section, |section, note| section.note(note));
    section.note("All of this page is computed from receipt.json; the figures are also in measurements.csv.")
}

fn machine(r: &Receipt) -> Vec<Fact> {
    let h = &r.host;
    let caches: Vec<String> =
        h.caches_bytes.iter().enumerate().map(|(i, b)| format!("L{} {}", i + 1, figures::bytes(*b))).collect();
    let mut out = vec![
        (if r.device.is_some() { "CPU of the host" } else { "CPU" }, h.cpu.clone()),
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
    if !h.cores.is_empty() {
        out.insert(1, ("Cores", cores(&h.cores)));
    }
    if let Some([family, model, stepping]) = h.family_model_stepping {
        out.insert(1, ("Family / model / stepping", format!("{family} / {model} / {stepping}")));
    }
    if let Some(t) = &h.topology {
        let (sockets, cores, nodes) =
            (count(t.sockets, "socket"), count(t.cores, "core"), count(t.memory_nodes, "memory node"));
        let parts = [sockets, cores, format!("{} a core", count(t.threads_per_core, "CPU")), nodes];
        out.insert(1, ("Topology", parts.join(", ")));
    }
    if let Some(bytes) = h.memory_bytes {
        out.push(("Memory", figures::bytes(bytes)));
    }
    out
}

/// Each thing that was looked at, the worst first, as `tritbench doctor` prints it.
fn fit(lines: &[doctor::Line]) -> Vec<Fact> {
    lines.iter().map(|line| (line.what, format!("{}: {}", line.grade.in_words(), line.text))).collect()
}

/// `2 x ARM Cortex-A76 r4p0, capacity 1,024; 4 x ARM Cortex-A55 r2p0, capacity 430`.
fn cores(kinds: &[CoreKind]) -> String {
    let one = |kind: &CoreKind| {
        let revision = kind.revision.as_ref().map_or_else(String::new, |revision| format!(" {revision}"));
        let capacity = kind.capacity.map_or_else(String::new, |c| format!(", capacity {}", figures::integer(c.into())));
        format!("{} x {} {}{revision}{capacity}", kind.cpus, kind.implementer, kind.part)
    };
    kinds.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn gpu(d: &DeviceRecord) -> Vec<Fact> {
    let most = |bytes| figures::bytes(bytes);
    let workgroup = format!("{} threads, {}", d.workgroup_threads, most(u64::from(d.workgroup_bytes)));
    let clock = format!("{} ns a tick", figures::number(d.timestamp_period_ns));
    vec![
        ("Name", d.name.clone()),
        ("Kind", d.kind.clone()),
        ("Vendor / device", format!("{:#06x} / {:#06x}", d.vendor, d.device)),
        ("Through", format!("{}, wgpu {}", d.backend, d.wgpu)),
        ("Driver", format!("{} {}", d.driver, d.driver_info)),
        ("Largest binding / buffer", format!("{} / {}", most(d.max_binding_bytes), most(d.max_buffer_bytes))),
        ("Workgroup at most", workgroup),
        ("Device's clock", if d.timestamps { clock } else { "none: nothing can be timed".into() }),
    ]
}

/// A text's speed, and what its floats differ by.
fn texts(text: &DeviceText, speed: TextSpeed) -> Vec<Fact> {
    let rate = |tokens_s: f64| {
        format!("{} tokens/s, median of {}", figures::number(tokens_s), count(text.rounds.len(), "round"))
    };
    let difference = format!("at most {:.1e} apart", text.max_abs_difference);
    let bits = format!("{} of {}, {difference}", figures::integer(text.differing_bits), figures::integer(text.outputs));
    let share = |share: f64| format!("{} of what a shader that only reads reaches", figures::percent(share));
    let mut facts = vec![
        ("Decoding", rate(speed.decode_tokens_s)),
        ("Prompt", rate(speed.prefill_tokens_s)),
        ("Read a token", figures::bytes(text.bytes_per_token)),
        ("Dispatches a token", text.dispatches_per_token.to_string()),
        ("Logits with other bits than the CPU's", bits),
    ];
    facts.extend(speed.share_of_stream.map(|of| ("Read a second", share(of))));
    facts
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

fn model(r: &Receipt) -> Vec<Fact> {
    let Some(m) = &r.model else { return Vec::new() };
    let weights = if m.synthetic { " (random: written by `model synth`)" } else { "" };
    vec![
        ("Model", format!("{} ({})", m.name, m.path)),
        ("Size", figures::bytes(m.file_bytes)),
        ("Ternary weights", figures::integer(m.ternary_weights) + weights),
        ("Shape", format!("{} blocks, width {}, feed-forward {}, vocabulary {}", m.layers, m.dim, m.ffn, m.vocab)),
        ("Pre-tokenizer", m.pre_tokenizer.clone()),
    ]
}

fn run(r: &Receipt) -> Vec<Fact> {
    let s = &r.settings;
    let pinned: Vec<String> = s.pinned_cpus.iter().map(usize::to_string).collect();
    vec![
        ("Status", crate::words::status(r.status).into()),
        ("Started", r.timestamp.clone()),
        ("Took", figures::run_time(r.elapsed_s)),
        ("Threads", s.threads.to_string()),
        ("Pinned to CPUs", if pinned.is_empty() { "not pinned".into() } else { pinned.join(", ") }),
        ("Feature mask", s.cpu_features.clone().unwrap_or_else(|| "none".into())),
        ("Seed", s.seed.to_string()),
        ("Receipt schema", r.schema_version.clone()),
    ]
}

/// Commands to type to measure the same again.
pub fn commands(r: &Receipt) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(commit) = &r.build.git_commit {
        out.push(format!("git checkout {}", quoted(commit)));
    }
    // The first word is where the binary happened to lie; what it was given is what matters.
    let arguments: Vec<String> = r.argv.iter().skip(1).map(|a| quoted(a)).collect();
    out.push(format!("cargo run -p harness -- {}", arguments.join(" ")));
    out
}

fn hashes(r: &Receipt) -> Vec<Fact> {
    let mut out = vec![("Scenario", r.scenario.sha256.clone())];
    if let Some(hash) = &r.build.cargo_lock_sha256 {
        out.push(("Cargo.lock", hash.clone()));
    }
    for shader in r.device.iter().flat_map(|device| &device.shaders) {
        out.push(("Shader", format!("{}: {}", shader.name, shader.sha256)));
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
pub fn warnings(r: &Receipt) -> Vec<String> {
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
pub fn to_the_minute(timestamp: &str) -> String {
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
        let mut receipt = fixture::complete();
        receipt.argv = ["tritbench", "compare", "--out", "my run"].map(String::from).into();
        assert_eq!(commands(&receipt)[1], "cargo run -p harness -- compare --out 'my run'");
        assert_eq!(to_the_minute("2026-02-03T04:05:06Z"), "2026-02-03 04:05 UTC");
        assert_eq!(to_the_minute("yesterday"), "yesterday");
    }
}
