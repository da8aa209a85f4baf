//! Is this machine fit to measure? Grades what was found of it before a run, and names the command that mends it. What
//! disturbed a run while it went on is another question, of other evidence: [`disturbance`].

use crate::figures;
use crate::judge::disturbance::{self, quota_in_words};
use crate::record::{Examination, Host, Receipt, Settings};
use serde::Serialize;

/// How good something is for measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing to mend.
    Good,
    /// Intervals get wider, more comparisons stay undecided, or a part of a run is left out.
    CostsPrecision,
    /// A run is refused, or its times decide nothing.
    Forbids,
}

impl Grade {
    /// In words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::CostsPrecision => "costs precision",
            Self::Forbids => "forbids",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What was looked at: `load`, `quota`, `clock`.
    pub what: &'static str,
    /// How good it is.
    pub grade: Grade,
    /// What was found, with its figure.
    pub text: String,
    /// The command that mends it, or what to do; absent where nothing is to be mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Line {
    fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, grade: Grade::Good, text: text.into(), mend: None }
    }

    fn new(what: &'static str, grade: Grade, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what, grade, text: text.into(), mend: Some(mend.into()) }
    }

    fn costs(what: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(what, Grade::CostsPrecision, text, mend)
    }

    /// Grade, what was found and what mends it, in one line.
    pub fn in_words(&self) -> String {
        let mend = self.mend.as_ref().map_or_else(String::new, |mend| format!("; {mend}"));
        format!("{}: {}: {}{mend}", self.grade.in_words(), self.what, self.text)
    }
}

/// Least share of the CPUs' time that other programs take before it is worth a word.
const BUSY: f64 = 0.05;
/// Share of the threads' time below which a quota leaves no turn whole: the system stops every one of them.
const LITTLE_QUOTA: f64 = 0.25;
/// Spread of the clock's samples that the rule's threshold of 3% does not swallow.
const UNSTEADY: f64 = 0.02;
/// Programs that are named.
const NAMED: usize = 4;
/// Hypervisor of a host whose CPU is emulated.
pub const EMULATOR: &str = "qemu-user";

/// What a receipt says of its machine, graded, the worst first; empty where nobody looked.
pub fn of_receipt(receipt: &Receipt) -> Vec<Line> {
    let examined = receipt.examination.as_ref();
    examined.map_or_else(Vec::new, |found| grade(&receipt.host, found, &receipt.settings))
}

/// Grades a machine for a run with these settings, the worst first.
pub fn grade(host: &Host, found: &Examination, settings: &Settings) -> Vec<Line> {
    let threads = settings.threads;
    let lines = [
        emulation(host),
        memory(found),
        quota(host, threads),
        other_runs(found),
        load(host, found, threads),
        stolen(host, found),
        affinity(host, settings),
        clock(found),
        governor(host),
        turbo(found),
        siblings(found),
        huge_pages(found),
        ptrace(found),
        perf(found),
    ];
    let mut lines: Vec<Line> = lines.into_iter().flatten().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.grade));
    lines
}

/// The worst line of a run's machine, and how many more are not good, in one line for its start.
pub fn worst_in_words(lines: &[Line]) -> String {
    let more = lines.iter().skip(1).filter(|line| line.grade > Grade::Good).count();
    let more = match more {
        0 => String::new(),
        n => format!(" ({n} more: tritbench doctor)"),
    };
    match lines.first() {
        Some(line) if line.grade > Grade::Good => format!("this machine: {}{more}", line.in_words()),
        _ => "this machine: good: nothing was found that disturbs a measurement".into(),
    }
}

/// What follows where a CPU is emulated, after `is`.
pub fn emulated_in_words() -> String {
    format!("emulated ({EMULATOR}): its times say nothing, and nothing is timed")
}

fn emulation(host: &Host) -> Option<Line> {
    let is_emulated = host.hypervisor.as_deref() == Some(EMULATOR);
    is_emulated.then(|| {
        let text = format!("the CPU is {}", emulated_in_words());
        Line::new("emulation", Grade::Forbids, text, "measure on a CPU of that architecture")
    })
}

fn memory(found: &Examination) -> Option<Line> {
    let left = found.memory_left?;
    let limit = found.memory_limit.as_deref().unwrap_or("the system says so");
    let have = format!("{} are left ({limit})", figures::mib(left));
    Some(match found.memory_needed {
        Some(needed) if needed > left => Line::new(
            "memory",
            Grade::Forbids,
            format!("the scenario's largest product needs {}, but only {have}", figures::mib(needed)),
            "raise the limit, close programs, or take --quick or a smaller scenario",
        ),
        Some(needed) => Line::good("memory", format!("{have}; the largest product needs {}", figures::mib(needed))),
        None => Line::good("memory", have),
    })
}

fn quota(host: &Host, threads: usize) -> Option<Line> {
    let Some(cpus) = host.cgroup_cpus else { return Some(Line::good("quota", "no control group limits CPU time")) };
    let text = quota_in_words(cpus, threads);
    if cpus >= threads as f64 {
        return Some(Line::good("quota", text));
    }
    let grade = if cpus < LITTLE_QUOTA * threads as f64 { Grade::Forbids } else { Grade::CostsPrecision };
    let text = format!("{text}, so the system stops it in the middle of measurements");
    Some(Line::new("quota", grade, text, disturbance::AGAINST_QUOTA))
}

fn other_runs(found: &Examination) -> Option<Line> {
    let ids: Vec<String> = found.other_runs.iter().map(u32::to_string).collect();
    if ids.is_empty() {
        return Some(Line::good("other runs", "no other tritbench runs"));
    }
    let text = format!("tritbench runs as process {} too: each is the other's noise", ids.join(", "));
    Some(Line::costs("other runs", text, format!("wait for it, or kill {}", ids.join(" "))))
}

fn load(host: &Host, found: &Examination, threads: usize) -> Option<Line> {
    let others = found.others_cpus?;
    let online = host.load_before.cpus_online.unwrap_or(host.cpus).max(1) as f64;
    let is_busy = others > BUSY * online || online - others < threads as f64 - BUSY;
    let of = format!("other programs take {others:.2} of {online} CPUs");
    if !is_busy {
        return Some(Line::good("load", of));
    }
    let named: Vec<String> =
        found.programs.iter().take(NAMED).map(|p| format!("{} (pid {}) {:.2}", p.name, p.pid, p.cpus)).collect();
    let ids: Vec<String> = found.programs.iter().take(NAMED).map(|p| p.pid.to_string()).collect();
    Some(if named.is_empty() {
        Line::costs("load", format!("{of}, none of which can be seen from here"), "stop what else runs on this machine")
    } else {
        let ids = ids.join(" ");
        Line::costs(
            "load",
            format!("{of}: {}", named.join(", ")),
            format!("kill -STOP {ids} for the run, kill -CONT {ids} after it"),
        )
    })
}

fn stolen(host: &Host, found: &Examination) -> Option<Line> {
    let share = found.stolen?;
    let text = format!("the hypervisor gave {} of the CPUs' time to other guests", figures::percent(share));
    if share >= disturbance::STOLEN {
        return Some(Line::costs("steal", text, disturbance::AGAINST_STEALING));
    }
    let on = host.hypervisor.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    Some(Line::good("steal", format!("{text}{on}")))
}

fn affinity(host: &Host, settings: &Settings) -> Option<Line> {
    if !settings.pinned_cpus.is_empty() {
        return Some(Line::good("affinity", "each thread stays on a CPU of its own (--pin)"));
    }
    let (list, online) = (host.affinity.as_ref()?, host.load_before.cpus_online?);
    let allowed = cpus_listed(list)?.min(online);
    if allowed >= online {
        return Some(Line::good("affinity", format!("may run on all {online} CPUs")));
    }
    let text = format!("bound to CPU {list} of {online}: nothing can move away from what else runs there");
    let grade = if allowed < settings.threads { Grade::Forbids } else { Grade::CostsPrecision };
    let last = online.saturating_sub(1);
    Some(Line::new("affinity", grade, text, format!("run it by taskset -c 0-{last}, or with a larger cpuset")))
}

/// How many CPUs a list like `0-3,7` names.
pub fn cpus_listed(list: &str) -> Option<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').map(range).try_fold(0usize, |sum, n| sum.checked_add(n?))
}

fn clock(found: &Examination) -> Option<Line> {
    let high = found.clock_ghz.iter().copied().max_by(f64::total_cmp)?;
    let low = found.clock_ghz.iter().copied().min_by(f64::total_cmp)?;
    let spread = (high - low) / high;
    let text = format!("{low:.2} to {high:.2} GHz in {} samples", found.clock_ghz.len());
    let mend = "sudo cpupower frequency-set -g performance, or a cooler, quieter machine";
    Some(if spread > UNSTEADY { Line::costs("clock", text, mend) } else { Line::good("clock", text) })
}

fn governor(host: &Host) -> Option<Line> {
    let Some(governor) = &host.governor else {
        return Some(Line::good("governor", "the system does not say: whoever owns the hardware decides"));
    };
    Some(if governor == "performance" {
        Line::good("governor", governor.as_str())
    } else {
        Line::costs("governor", governor.as_str(), "sudo cpupower frequency-set -g performance")
    })
}

fn turbo(found: &Examination) -> Option<Line> {
    let text = "cores clock above their nominal frequency while heat allows it";
    let mend = "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost (Intel: echo 1 to intel_pstate/no_turbo)";
    Some(if found.turbo? { Line::costs("turbo", text, mend) } else { Line::good("turbo", "off") })
}

fn siblings(found: &Examination) -> Option<Line> {
    let text = "two CPUs share each core: what runs on one slows the other";
    let mend = "echo off | sudo tee /sys/devices/system/cpu/smt/control";
    Some(if found.siblings? {
        Line::costs("siblings", text, mend)
    } else {
        Line::good("siblings", "a core for each CPU")
    })
}

fn huge_pages(found: &Examination) -> Option<Line> {
    let when = found.huge_pages.as_deref()?;
    let mend = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
    let text = "never: weights lie in pages of 4 KiB, and reading them misses the TLB";
    Some(if when == "never" { Line::costs("huge pages", text, mend) } else { Line::good("huge pages", when) })
}

fn ptrace(found: &Examination) -> Option<Line> {
    let why = found.ptrace_refused.as_deref()?;
    if why.is_empty() {
        return Some(Line::good("ptrace", "a child can be followed: instructions are counted"));
    }
    let text = format!("refused ({why}): a run has no instruction counts");
    Some(Line::costs("ptrace", text, "docker run --cap-add=SYS_PTRACE, or sudo sysctl kernel.yama.ptrace_scope=1"))
}

fn perf(found: &Examination) -> Option<Line> {
    let level = found.perf_event_paranoid?;
    let text = format!("perf_event_paranoid is {level}; no figure here needs perf");
    let mend = (level > 2).then(|| "for perf stat beside it: sudo sysctl kernel.perf_event_paranoid=2".to_owned());
    Some(Line { mend, ..Line::good("perf", text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::BusyProgram;

    fn threads(threads: usize) -> Settings {
        Settings { threads, ..Settings::default() }
    }

    /// A machine with nothing to mend.
    fn quiet() -> (Host, Examination) {
        let mut host = fixture::complete().host;
        (host.cpus, host.affinity, host.governor) = (2, Some("0-1".into()), Some("performance".into()));
        host.load_before.cpus_online = Some(2);
        let found = Examination {
            watched_s: 0.3,
            others_cpus: Some(0.02),
            stolen: Some(0.0),
            turbo: Some(false),
            siblings: Some(false),
            huge_pages: Some("madvise".into()),
            clock_ghz: vec![3.7, 3.69, 3.7],
            memory_left: Some(4 << 30),
            memory_limit: Some("what this machine has free".into()),
            memory_needed: Some(1 << 30),
            ptrace_refused: Some(String::new()),
            perf_event_paranoid: Some(4),
            ..Examination::default()
        };
        (host, found)
    }

    /// What is not good after a change.
    fn changed(change: impl Fn(&mut Host, &mut Examination)) -> Vec<String> {
        let (mut host, mut found) = quiet();
        change(&mut host, &mut found);
        let lines = grade(&host, &found, &threads(1));
        lines.iter().filter(|line| line.grade > Grade::Good).map(Line::in_words).collect()
    }

    #[test]
    fn a_quiet_machine_has_nothing_to_mend() {
        let (host, found) = quiet();
        let lines = grade(&host, &found, &threads(1));
        assert!(lines.len() == 13 && lines.iter().all(|line| line.grade == Grade::Good), "{lines:#?}");
        assert_eq!(worst_in_words(&lines), "this machine: good: nothing was found that disturbs a measurement");
        let said = lines.iter().find(|line| line.what == "perf").expect("there");
        assert!(said.mend.as_deref().is_some_and(|mend| mend.contains("sysctl")), "perf's own limit");
        assert!(
            grade(&Host::default(), &Examination::default(), &threads(1)).iter().all(|line| line.grade == Grade::Good)
        );
        assert!(of_receipt(&fixture::complete()).is_empty(), "nobody looked");
    }

    #[test]
    fn two_busy_loops_are_named_with_what_stops_them() {
        let program = |pid, cpus| BusyProgram { name: "yes".into(), pid, cpus };
        let said = changed(|_, found| {
            found.others_cpus = Some(1.99);
            found.programs = vec![program(17, 1.0), program(18, 0.99)];
        });
        assert_eq!(
            said,
            ["costs precision: load: other programs take 1.99 of 2 CPUs: yes (pid 17) 1.00, yes (pid 18) 0.99; kill \
                 -STOP 17 18 for the run, kill -CONT 17 18 after it"]
        );
        assert!(changed(|_, found| found.others_cpus = Some(1.9))[0].contains("none of which can be seen"));
        assert!(changed(|_, found| found.others_cpus = Some(0.09)).is_empty(), "less than 5% of two CPUs");
    }

    #[test]
    fn a_quota_an_affinity_and_memory_say_what_they_cost() {
        let half = changed(|host, _| host.cgroup_cpus = Some(0.5));
        assert!(
            half[0].starts_with("costs precision: quota: a control group allows 0.50 CPUs of time for 1 thread, so ")
        );
        assert!(changed(|host, _| host.cgroup_cpus = Some(0.1))[0].starts_with("forbids: quota: "));
        assert!(changed(|host, _| host.cgroup_cpus = Some(1.0)).is_empty(), "enough for one thread");
        let one = changed(|host, _| host.affinity = Some("1".into()));
        assert!(one[0].starts_with("costs precision: affinity: bound to CPU 1 of 2: ") && one.len() == 1, "{one:?}");
        let (mut host, found) = quiet();
        host.affinity = Some("1".into());
        assert_eq!(grade(&host, &found, &threads(2))[0].grade, Grade::Forbids, "two threads have one CPU");
        let pinned = Settings { pinned_cpus: vec![1], ..threads(1) };
        assert_eq!(grade(&host, &found, &pinned)[0].grade, Grade::Good, "as --pin asked");
        let little = changed(|_, found| found.memory_left = Some(1 << 20));
        assert!(little[0].starts_with("forbids: memory: the scenario's largest product needs 1.00 GiB, but only "));
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(["0-3,7", "0", "0-1\n"].map(cpus_listed), [Some(5), Some(1), Some(2)]);
        assert_eq!(["", "3-1", "a", "0-18446744073709551615,1"].map(cpus_listed), [None; 4]);
    }

    #[test]
    fn each_other_thing_is_named_once() {
        let only = |what: &str, said: Vec<String>| {
            assert!(said.len() == 1 && said[0].starts_with(&format!("costs precision: {what}: ")), "{said:?}");
        };
        only("other runs", changed(|_, found| found.other_runs = vec![7, 8]));
        only("steal", changed(|_, found| found.stolen = Some(0.02)));
        only("clock", changed(|_, found| found.clock_ghz.push(3.0)));
        only("governor", changed(|host, _| host.governor = Some("powersave".into())));
        only("turbo", changed(|_, found| found.turbo = Some(true)));
        only("siblings", changed(|_, found| found.siblings = Some(true)));
        only("huge pages", changed(|_, found| found.huge_pages = Some("never".into())));
        only("ptrace", changed(|_, found| found.ptrace_refused = Some("EPERM".into())));
    }

    #[test]
    fn the_worst_comes_first_and_the_rest_is_counted() {
        let (host, mut found) = quiet();
        (found.turbo, found.memory_left, found.stolen) = (Some(true), Some(1), Some(0.3));
        let said = worst_in_words(&grade(&host, &found, &threads(1)));
        assert!(said.starts_with("this machine: forbids: memory: ") && said.ends_with(" (2 more: tritbench doctor)"));
    }
}
