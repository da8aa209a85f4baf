//! Ctrl-C and kill: what was measured so far is there and readable.
#![cfg(unix)]

mod common;

use common::{error_line, harness_path, read_json, scenario_with_rounds, stderr, stdout};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

fn start(folder: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(harness_path());
    command.args(args).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

/// Reads stderr up to a line that starts with `text`; the reader gives the rest.
fn wait_for(child: &mut Child, text: &str) -> BufReader<ChildStderr> {
    let mut reader = BufReader::new(child.stderr.take().expect("piped"));
    let mut seen = String::new();
    while !seen.lines().last().is_some_and(|line| line.starts_with(text)) {
        assert!(reader.read_line(&mut seen).is_ok_and(|n| n > 0), "no {text:?} in {seen}");
    }
    reader
}

/// The end of a child whose stderr was partly read.
fn finish(child: Child, mut rest: BufReader<ChildStderr>) -> Output {
    let mut text = Vec::new();
    rest.read_to_end(&mut text).expect("readable");
    let mut output = child.wait_with_output().expect("it ends");
    output.stderr = text;
    output
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stdout(output)))
}

#[test]
fn ctrl_c_during_compare_keeps_what_was_measured() {
    for name in ["INT", "TERM"] {
        let dir = TempDir::new().expect("a folder");
        scenario_with_rounds(dir.path(), 10_000);
        let mut child = start(dir.path(), &["compare", "--scenario", "small.toml", "--out", "run", "--json"]);
        let rest = wait_for(&mut child, "microbenchmarks");
        sleep(Duration::from_millis(100));
        signal(&child, name);
        let output = finish(child, rest);
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        error_line(&stderr(&output), &["interrupted"]);
        let receipt = read_json(&dir.path().join("run/receipt.json"));
        assert_eq!((&receipt["status"], &json_of(&output)["status"]), (&"interrupted".into(), &"interrupted".into()));
        assert!(receipt["verify"].as_array().is_some_and(|v| v.len() == 2), "verified before it was interrupted");
        assert!(dir.path().join("run/report.html").is_file() && dir.path().join("run/measurements.csv").is_file());
        assert_eq!(common::run(&["report", &dir.path().join("run").display().to_string()]).status.code(), Some(0));
    }
}

#[test]
fn a_killed_compare_leaves_a_readable_receipt_or_nothing() {
    let mut readable = 0;
    for delay_ms in [0, 5, 20, 60, 150, 400, 800] {
        let dir = TempDir::new().expect("a folder");
        scenario_with_rounds(dir.path(), 2_000);
        let mut child = start(dir.path(), &["compare", "--scenario", "small.toml", "--out", "run"]);
        sleep(Duration::from_millis(delay_ms));
        signal(&child, "KILL");
        child.wait().expect("it ends");
        let receipt = dir.path().join("run/receipt.json");
        if receipt.exists() {
            assert_eq!(read_json(&receipt)["status"], "running", "after {delay_ms} ms");
            let report = common::run(&["report", &dir.path().join("run").display().to_string()]);
            assert_eq!(report.status.code(), Some(0), "{}", stderr(&report));
            readable += 1;
        } else if let Ok(left) = std::fs::read_dir(dir.path().join("run")) {
            let left: Vec<_> = left.map(|entry| entry.expect("readable").file_name()).collect();
            assert!(left.iter().all(|name| name.to_string_lossy().starts_with(".unfinished-")), "{left:?}");
        }
    }
    assert!(readable > 0, "no run lived long enough to be tested");
}

#[test]
fn ctrl_c_in_generate_gives_the_text_so_far() {
    let dir = TempDir::new().expect("a folder");
    let args = ["generate", "--prompt", "ROMEO:", "--max-tokens", "500", "--kernel", "scalar", "--threads", "1"];
    let whole = common::run(&args);
    // Ends by itself when the machine is so fast that the signal comes too late: then once more.
    let interrupted = |more: &[&str]| {
        (0..20).find_map(|_| {
            let mut child = start(dir.path(), &[&args[..], more].concat());
            let rest = wait_for(&mut child, "kernel: scalar");
            signal(&child, "INT");
            Some(finish(child, rest)).filter(|output| output.status.code() != Some(0))
        })
    };
    let output = interrupted(&["--json", "--receipt", "r.json"]).expect("interrupted in one of 20 tries");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    error_line(&stderr(&output), &["interrupted"]);
    let report = json_of(&output);
    assert_eq!(report["stop_reason"], "interrupted");
    assert!(stdout(&whole).starts_with(report["text"].as_str().expect("text")));
    assert!(report["token_ids"].as_array().is_some_and(|ids| ids.len() < 500));
    assert_eq!(read_json(&dir.path().join("r.json")), report);
    let output = interrupted(&[]).expect("interrupted in one of 20 tries");
    assert_eq!(output.status.code(), Some(130));
    assert!(stdout(&whole).starts_with(stdout(&output).trim_end_matches('\n')));
}

#[test]
fn ctrl_c_in_perplexity_is_130() {
    let dir = TempDir::new().expect("a folder");
    let mut child = start(dir.path(), &["perplexity", "--kernel", "scalar", "--threads", "1"]);
    let rest = wait_for(&mut child, "scoring");
    signal(&child, "INT");
    let output = finish(child, rest);
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    error_line(&stderr(&output), &["interrupted", "windows"]);
    assert!(output.stdout.is_empty());
}

/// A command, the line on stderr after which it is interrupted, and how long after; what it says then, and what it may
/// leave.
struct Interrupted<'a> {
    args: &'a [&'a str],
    line: &'a str,
    wait_ms: u64,
    said: &'a str,
    left: &'a str,
}

/// Every other command that takes long: code 130, one line that says what was not done, and nothing that looks done.
#[test]
fn ctrl_c_during_any_long_command_leaves_nothing_half_done() {
    let program = harness_path();
    let gate = ["gate", "--against", program.to_str().expect("text"), "--out", "run"];
    let case = |args, line, wait_ms, said, left| Interrupted { args, line, wait_ms, said, left };
    let commands = [
        case(&["model", "synth", "--shape", "2b-4t", "--out", "m.gguf"], "writing", 30, "m.gguf is not written", ""),
        case(&["baseline", "save", "mine"], "proving", 100, "baseline mine is not saved", ""),
        case(&gate, "gate:", 100, "interrupted", "run"),
        case(&["verify"], "verifying", 30, "interrupted after verifying", ""),
        case(&["limits"], "", 100, "interrupted while measuring", ""),
    ];
    for name in ["INT", "TERM"] {
        for Interrupted { args, line, wait_ms, said, left } in &commands {
            let dir = TempDir::new().expect("a folder");
            let mut child = start(dir.path(), args);
            let rest = wait_for(&mut child, line);
            sleep(Duration::from_millis(*wait_ms));
            signal(&child, name);
            let output = finish(child, rest);
            assert_eq!(output.status.code(), Some(130), "{args:?}: {}", stderr(&output));
            error_line(&stderr(&output), &[said]);
            let entries = std::fs::read_dir(dir.path()).expect("there");
            let entries: Vec<_> =
                entries.map(|e| e.expect("readable").file_name().into_string().expect("text")).collect();
            assert!(entries.iter().all(|e| e == left), "{args:?} left {entries:?}");
        }
    }
}

#[test]
fn two_runs_at_once_get_two_folders() {
    let dir = TempDir::new().expect("a folder");
    scenario_with_rounds(dir.path(), 4);
    let args = ["compare", "--scenario", "small.toml", "--json"];
    let children = [(); 3].map(|()| start(dir.path(), &args));
    let mut folders: Vec<PathBuf> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            dir.path().join(json_of(&output)["run_folder"].as_str().expect("a path"))
        })
        .collect();
    folders.iter().for_each(|folder| assert_eq!(read_json(&folder.join("receipt.json"))["status"], "complete"));
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), 3);
    assert_eq!(std::fs::read_dir(dir.path().join("reports/runs")).expect("there").count(), 3);
}
