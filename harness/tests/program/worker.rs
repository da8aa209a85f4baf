//! Workers from outside: they die with their parent, and a run goes on without one that died.

use crate::common::*;
use std::fs::{read, read_to_string};
use std::path::Path;
use std::process::Child;

/// Process ids of the workers that a process has started and that run.
fn workers(parent: u32) -> Vec<u32> {
    let text = read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).filter(|id| is_worker(*id)).collect()
}

fn is_worker(id: u32) -> bool {
    // A process that has ended, and that nobody has waited for, has no command line.
    let line = read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument == b"worker")
}

/// A line of a process's status; none for one that is gone.
fn status(id: u32, key: &str) -> Option<String> {
    let status = read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()))
}

/// Counting that takes some seconds, and its first worker as soon as it is followed; none where ptrace is refused.
fn counting() -> (Child, Option<u32>) {
    let count = start(Path::new("."), "count --kernels scalar,scalar-i8 --shape 512x2560 --json");
    let id = count.id();
    let worker = wait_for(|| {
        let is_followed = |worker: &u32| status(*worker, "TracerPid:").is_some_and(|tracer| tracer != "0");
        let followed = workers(id).into_iter().find(is_followed);
        // Ended, and nobody has waited for it. Not by its command line, which is empty for a moment when it starts too.
        let ended = status(id, "State:").is_none_or(|state| state.starts_with('Z'));
        if followed.is_none() && ended { Some(None) } else { followed.map(Some) }
    });
    (count, worker)
}

#[test]
fn counting_goes_on_without_a_worker_that_died() {
    let (count, worker) = counting();
    assert!(worker.is_none_or(|worker| signal(worker, "KILL")));
    let output = count.wait_with_output().expect("ends");
    if worker.is_none() && ptrace_is_refused(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: not counted: scalar\n"), "{}", stderr(&output));
    let printed = parsed(&output);
    let wanted = "scalar: the worker was ended by signal 9 SIGKILL while asked to `call gemv 512x2560 of scalar`";
    let failed = &printed["failed"][0];
    assert_eq!((text(failed, "kernel"), text(failed, "reason")), ("scalar", wanted));
    let counted: Vec<&str> = list(&printed, "counts").iter().map(|count| text(count, "kernel")).collect();
    assert_eq!(counted, ["scalar-i8"]);
}

#[test]
fn workers_die_with_their_parent() {
    let (mut count, followed) = counting();
    count.kill().expect("killed");
    let output = count.wait_with_output().expect("ends");
    assert!(followed.is_some() || ptrace_is_refused(&output), "{}", stderr(&output));
    // Those of a gate.
    let folder = Folder::new();
    let (scenario, out) = (folder.small(4), folder.at("run"));
    let args = format!("gate --against {} --scenario {scenario} --out {out}", program());
    let mut gate = start(folder.path(), &args);
    let pair = wait_for(|| Some(workers(gate.id())).filter(|workers| workers.len() > 1));
    gate.kill().expect("killed");
    gate.wait().expect("ended");
    for worker in pair.into_iter().chain(followed) {
        wait_for(|| (!is_worker(worker)).then_some(()));
    }
}

#[test]
fn a_worker_is_started_by_the_program_only() {
    for channel in ["1", "999"] {
        let output = run(&format!("worker --channel {channel}"));
        assert_eq!(output.status.code(), Some(2), "{channel}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{channel}: {}", stderr(&output));
    }
    // What starts it passes on stdin and stdout only: it says who it is, and ends with its parent.
    assert_eq!(printed("worker"), "{\"hello\":{\"protocol\":2}}\n");
}

#[test]
fn a_patience_that_is_no_number_is_refused() {
    let mut gate = command(&format!("gate --against {}", program()));
    let output = gate.env("TRITBENCH_WORKER_PATIENCE", "long").output().expect("starts");
    ends_with_error(&output, 2, &["TRITBENCH_WORKER_PATIENCE", "long"]);
}
