//! Workers from outside: they die with their parent, and a run goes on without one that died.
#![cfg(target_os = "linux")]

mod common;

use common::{harness_path, stderr};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn wait_for<T>(what: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed().as_secs() < 300, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Process ids of the workers that a process has started and that run.
fn workers(parent: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let ids = text.split_whitespace().filter_map(|id| id.parse().ok());
    ids.filter(|id| is_worker(*id)).collect()
}

fn is_worker(id: u32) -> bool {
    // A process that has ended, and that nobody has waited for, has no command line.
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument == b"worker")
}

fn is_followed(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
}

fn spawn(args: &[&str]) -> Child {
    let mut command = Command::new(harness_path());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("starts")
}

/// Counting that takes some seconds, unless ptrace is refused here.
const COUNT: [&str; 6] = ["count", "--kernels", "scalar,scalar-i8", "--shape", "512x2560", "--json"];

fn followed_worker(count: &mut Child) -> Option<u32> {
    let id = count.id();
    wait_for(|| {
        let followed = workers(id).into_iter().find(|worker| is_followed(*worker));
        if followed.is_none() && count_ended(id) { Some(None) } else { followed.map(Some) }
    })
}

/// A process that has ended, and that nobody has waited for.
fn count_ended(id: u32) -> bool {
    // Not by its command line, which is empty for a moment when it starts too.
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("State:")).is_none_or(|state| state.trim().starts_with('Z'))
}

fn refused(output: &std::process::Output) -> bool {
    let refused = output.status.code() == Some(5) && stderr(output).contains("ptrace is refused here");
    if refused {
        println!("skipped: {}", stderr(output).trim_end());
    }
    refused
}

#[test]
fn counting_goes_on_without_a_worker_that_died() {
    let mut count = spawn(&COUNT);
    let worker = followed_worker(&mut count);
    if let Some(worker) = worker {
        let killed = Command::new("kill").args(["-9", &worker.to_string()]).status().expect("kill runs");
        assert!(killed.success());
    }
    let output = count.wait_with_output().expect("ends");
    if worker.is_none() && refused(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: not counted: scalar\n"), "{}", stderr(&output));
    let printed = common::parsed(&output);
    let failed = &printed["failed"][0];
    assert_eq!(failed["kernel"], "scalar");
    let reason = failed["reason"].as_str().expect("a reason");
    let wanted = "scalar: the worker was ended by signal 9 SIGKILL while asked to `call gemv 512x2560 of scalar`";
    assert_eq!(reason, wanted);
    assert_eq!(
        (&printed["counts"][0]["kernel"], printed["counts"].as_array().map(Vec::len)),
        (&"scalar-i8".into(), Some(1))
    );
}

#[test]
fn a_followed_worker_dies_with_its_parent() {
    let mut count = spawn(&COUNT);
    let worker = followed_worker(&mut count);
    count.kill().expect("killed");
    let output = count.wait_with_output().expect("ends");
    let Some(worker) = worker else {
        assert!(refused(&output), "{}", stderr(&output));
        return;
    };
    wait_for(|| (!is_worker(worker)).then_some(()));
}

#[test]
fn the_workers_of_a_gate_die_with_it() {
    let folder = TempDir::new().expect("a folder");
    let scenario = common::scenario_with_rounds(folder.path(), 4).display().to_string();
    let program = harness_path().display().to_string();
    let out = folder.path().join("run").display().to_string();
    let mut gate = spawn(&["gate", "--against", &program, "--scenario", &scenario, "--out", &out]);
    let id = gate.id();
    let pair: Vec<u32> = wait_for(|| Some(workers(id)).filter(|workers| workers.len() > 1));
    gate.kill().expect("killed");
    gate.wait().expect("ended");
    for worker in pair {
        wait_for(|| (!is_worker(worker)).then_some(()));
    }
}

#[test]
fn a_worker_is_started_by_the_program_only() {
    for args in [&["worker", "--channel", "1"], &["worker", "--channel", "999"]] {
        let output = common::run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{args:?}: {}", stderr(&output));
    }
}

/// What starts it passes on stdin and stdout only: it says who it is, and ends with its parent.
#[test]
fn a_worker_without_a_channel_speaks_over_stdin_and_stdout() {
    let output = common::run(&["worker"]);
    let said = common::stdout(&output);
    assert_eq!(
        (output.status.code(), said.as_str()),
        (Some(0), "{\"hello\":{\"protocol\":2}}\n"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_patience_that_is_no_number_is_refused() {
    let program: PathBuf = harness_path();
    let mut count = common::harness();
    count.args(["gate", "--against"]).arg(program).env("TRITBENCH_WORKER_PATIENCE", "long");
    let output = count.output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    common::error_line(&stderr(&output), &["TRITBENCH_WORKER_PATIENCE", "long"]);
}
