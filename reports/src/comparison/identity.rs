//! Which machine and setting a run was made with. Times of two runs meet only where all of this is the same; even then
//! it is what the machines say about themselves, and no proof that they are one.

use crate::words::count;
use receipt::Receipt;
use receipt::figures;
use receipt::judge::builds;
pub use receipt::judge::builds::Difference;

/// Name and value.
type Fact = (&'static str, String);

/// What must be equal before anything of one run is compared with another's. Load is left out because it always
/// differs.
fn facts(r: &Receipt) -> Vec<Fact> {
    let h = &r.host;
    let cpuid = h.family_model_stepping.map_or_else(|| "not reported".into(), |[f, m, s]| format!("{f}, {m}, {s}"));
    let caches: Vec<String> = h.caches_bytes.iter().map(|b| figures::bytes(*b)).collect();
    vec![
        ("GPU", gpu(r)),
        ("CPU", h.cpu.clone()),
        ("CPU family, model, stepping", cpuid),
        ("architecture", h.arch.clone()),
        ("number of CPUs", h.cpus.to_string()),
        ("CPU features", h.features.join(" ")),
        ("caches", caches.join(", ")),
        ("hypervisor", h.hypervisor.clone().unwrap_or_else(|| "none".into())),
        ("governor", h.governor.clone().unwrap_or_else(|| "not reported".into())),
        ("threads", r.settings.threads.to_string()),
        ("feature mask", r.settings.cpu_features.clone().unwrap_or_else(|| "none".into())),
    ]
}

/// The GPU that a run is about.
fn gpu(r: &Receipt) -> String {
    r.device.as_ref().map_or_else(|| "none".into(), |device| device.in_words())
}

/// What may matter besides the build, and is said, but does not forbid a comparison.
fn circumstances_of(r: &Receipt) -> Vec<Fact> {
    let h = &r.host;
    let or = |x: &Option<String>| x.clone().unwrap_or_else(|| "not reported".into());
    vec![
        ("system", h.os.clone()),
        ("microcode", or(&h.microcode)),
        ("memory", h.memory_bytes.map_or_else(|| "not reported".into(), figures::bytes)),
        ("CPUs allowed", or(&h.affinity)),
        ("CPU time allowed", h.cgroup_cpus.map_or_else(|| "no quota".into(), |cpus| format!("{cpus:.2} CPUs"))),
        ("scenario", scenario(r)),
        ("seed", r.settings.seed.to_string()),
    ]
}

/// The scenario of a run in words: `quick (--quick)`.
pub fn scenario(r: &Receipt) -> String {
    format!("{}{}", r.scenario.name, if r.scenario.quick { " (--quick)" } else { "" })
}

/// A key of a run's machine and setting: equal for runs that may share a line in a history.
pub fn key(r: &Receipt) -> String {
    facts(r).into_iter().map(|(_, value)| value).collect::<Vec<_>>().join("\n")
}

/// Threads, and what hides features of the CPU: `2 threads, features masked to avx2`.
pub fn setting(r: &Receipt) -> String {
    let mask = r.settings.cpu_features.as_ref().map_or_else(String::new, |m| format!(", features masked to {m}"));
    format!("{}{mask}", count(r.settings.threads, "thread"))
}

/// A run's machine in a few words: CPU, number of CPUs, threads; of a run on a GPU this one.
pub fn in_words(r: &Receipt) -> String {
    if r.device.is_some() {
        return r.measured_on();
    }
    let stepping = r.host.family_model_stepping.map_or_else(String::new, |[f, m, s]| format!(" ({f}/{m}/{s})"));
    format!("{}{stepping}, {}, {}", r.host.cpu, count(r.host.cpus, "CPU"), setting(r))
}

/// Facts that two runs state differently, so that no figure of `other` may be held against `first`'s.
pub fn differences(first: &Receipt, other: &Receipt) -> Vec<Difference> {
    unequal(facts(first), facts(other))
}

/// Facts that two runs state differently although their figures may be compared.
pub fn circumstances(first: &Receipt, other: &Receipt) -> Vec<Difference> {
    let mut found = unequal(circumstances_of(first), circumstances_of(other));
    found.extend(builds::differences(&first.build, &other.build));
    found
}

fn unequal(first: Vec<Fact>, other: Vec<Fact>) -> Vec<Difference> {
    let pairs = first.into_iter().zip(other).filter(|((_, a), (_, b))| a != b);
    pairs.map(|((what, first), (_, other))| Difference { what, first, other }).collect()
}
