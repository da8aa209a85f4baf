//! Is this machine fit to measure: what disturbs it is named, and a run keeps what was found.

use crate::common::*;
use serde_json::Value;
use std::process::{Child, Command, Stdio};

/// A loop that keeps one CPU busy, ended when dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(shell.spawn().expect("a shell"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `doctor --json` prints, whatever it comes to.
fn examined(args: &str) -> Value {
    let output = run(&format!("doctor --json {args}"));
    assert!([Some(0), Some(4)].contains(&output.status.code()), "{}", stderr(&output));
    parsed(&output)
}

fn line<'v>(found: &'v Value, what: &str) -> &'v Value {
    let lines = list(found, "lines");
    lines.iter().find(|line| line["what"] == what).unwrap_or_else(|| panic!("no line on {what} in {found:#}"))
}

#[test]
#[cfg(target_os = "linux")]
fn two_busy_loops_are_named_by_their_process_ids() {
    let loops = [Busy::start(), Busy::start()];
    let named = |found: &Value, busy: &Busy| {
        list(&found["examination"], "programs").iter().any(|program| program["pid"] == busy.0.id())
    };
    // Among many programs one may get no turn for a moment.
    let looks = (0..5).map(|_| examined(""));
    let found = looks.into_iter().find(|found| loops.iter().all(|busy| named(found, busy)));
    let found = found.expect("both loops, in one look of five");
    assert_eq!(line(&found, "load")["grade"], "costs_precision", "{found:#}");
    assert!(text(line(&found, "load"), "mend").starts_with("kill -STOP "));
    let order: Vec<&str> = list(&found, "lines").iter().map(|line| text(line, "grade")).collect();
    let rank = |grade: &&str| ["forbids", "costs_precision", "good"].iter().position(|g| g == grade);
    assert!(order.is_sorted_by_key(rank) && found["grade"] == order[0], "the worst first: {order:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_is_bound_to_one_cpu_is_told() {
    let cpus = core_affinity::get_core_ids().expect("CPUs");
    if cpus.len() < 2 {
        println!("skipped: there is one CPU");
        return;
    }
    // What a thread starts inherits its CPUs.
    let bound = std::thread::spawn(move || {
        assert!(core_affinity::set_for_current(cpus[1]));
        (cpus[1].id, examined(""), run("doctor --threads 2"))
    });
    let (cpu, found, two) = bound.join().expect("ends");
    let affinity = line(&found, "affinity");
    assert_eq!(affinity["grade"], "costs_precision", "{affinity:#}");
    assert!(text(affinity, "text").starts_with(&format!("bound to CPU {cpu} of ")), "{affinity:#}");
    ends_with_error(&two, 2, &["--threads 2", "bound to CPU(s)"]);
}

/// A control group with a quota of half a CPU, gone when dropped.
#[cfg(target_os = "linux")]
struct HalfCpu(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl HalfCpu {
    /// None where this process may make no groups.
    fn new() -> Option<Self> {
        let name = format!("tritbench-test-{}", std::process::id());
        let controllers =
            [("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "50000"), ("/sys/fs/cgroup", "cpu.max", "50000 100000")];
        controllers.into_iter().find_map(|(parent, file, quota)| {
            let group = Self(std::path::Path::new(parent).join(&name));
            std::fs::create_dir(&group.0).ok()?;
            // A group without the controller has no such file, and dropping removes the group.
            std::fs::write(group.0.join(file), quota).ok().map(|()| group)
        })
    }
}

#[cfg(target_os = "linux")]
impl Drop for HalfCpu {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_container_with_half_a_cpu_is_told_what_it_costs() {
    let Some(group) = HalfCpu::new() else {
        println!("skipped: no control group can be made here");
        return;
    };
    let inside = |args: &str| {
        let mut shell = Command::new("sh");
        let enter = format!("echo $$ > {}/cgroup.procs && exec {} {args}", group.0.display(), program());
        shell.args(["-c", &enter]).output().expect("a shell")
    };
    let found = parsed(&succeeds(inside("doctor --json")));
    let quota = line(&found, "quota");
    assert_eq!(quota["grade"], "costs_precision", "{quota:#}");
    assert!(text(quota, "text").contains("0.50 CPUs of time for 1 thread"), "{quota:#}");
    let folder = Folder::new();
    let micro = format!("micro --scenario {} --kernels scalar-i8 --out {}", folder.small(4), folder.at("run"));
    let output = succeeds(inside(&micro));
    let said = stderr(&output);
    assert!(said.starts_with("this machine: ") && said.contains("costs precision: "), "{said}");
    assert_eq!(read_json(folder.at("run/receipt.json"))["host"]["cgroup_cpus"], 0.5);
}

#[test]
fn what_a_scenario_needs_is_held_against_memory() {
    let folder = Folder::new();
    let scenario = |name: &str, shape: &str| {
        let micro = format!("[micro]\nrounds = 4\nresidency = ['l2']\ngemv = ['{shape}']\n");
        folder.write(name, format!("name = 'n'\nsummary = 's'\nanalysis = 'a'\n{micro}"))
    };
    let needed = |file: &str| {
        let found = examined(&format!("--scenario {file}"));
        let shown = text(line(&found, "memory"), "text").to_owned();
        assert!(shown.contains("largest product needs"), "{shown}");
        found["examination"]["memory_needed"].as_u64().expect("bytes")
    };
    let (small, large) = (scenario("small.toml", "64x1024"), scenario("large.toml", "2048x1024 dram"));
    assert!(needed(&large) > needed(&small));
    refused("doctor --scenario nope", 2, &["nope"]);
}

#[test]
fn a_run_says_the_worst_line_first_and_its_receipt_keeps_what_was_found() {
    let folder = Folder::new();
    let (scenario, out) = (folder.small(4), folder.at("run"));
    let output = succeeds(run(&format!("micro --scenario {scenario} --kernels scalar-i8 --out {out}")));
    let errors = stderr(&output);
    assert!(errors.starts_with("this machine: "), "{errors}");
    let receipt = read_json(format!("{out}/receipt.json"));
    let found = &receipt["examination"];
    assert!(found["watched_s"].as_f64().is_some_and(|s| s > 0.0), "{found:#}");
    assert!(folder.read("run/report.html").contains("Was it fit to measure, before the run?"));
    succeeds(run(&format!("receipt verify {out}")));
}
