//! Ctrl-C and kill: what was measured so far is there and readable.

use crate::common::*;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Output;
use std::thread::sleep;
use std::time::Duration;

/// Starts a command, waits for a line of stderr that starts with `line` and then for `wait_ms`, sends a signal, and
/// returns how it ended.
fn interrupted(folder: &Path, args: &str, line: &str, wait_ms: u64, name: &str) -> Output {
    let mut child = start(folder, args);
    let mut reader = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    while !said.lines().last().is_some_and(|last| last.starts_with(line)) {
        assert!(reader.read_line(&mut said).is_ok_and(|n| n > 0), "no {line:?} in {said}");
    }
    sleep(Duration::from_millis(wait_ms));
    assert!(signal(child.id(), name));
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("readable");
    let output = child.wait_with_output().expect("it ends");
    Output { stderr: rest, ..output }
}

#[test]
fn ctrl_c_during_compare_keeps_what_was_measured() {
    for name in ["INT", "TERM"] {
        let folder = Folder::new();
        folder.small(10_000);
        let args = "compare --scenario small.toml --out run --json";
        let output = interrupted(folder.path(), args, "microbenchmarks", 100, name);
        ends_with_error(&output, 130, &["interrupted"]);
        let receipt = read_json(folder.at("run/receipt.json"));
        assert_eq!((&receipt["status"], &parsed(&output)["status"]), (&"interrupted".into(), &"interrupted".into()));
        assert_eq!(list(&receipt, "verify").len(), 2, "verified before it was interrupted");
        assert!(folder.has("run/report.html") && folder.has("run/measurements.csv"));
        succeeds(run(&format!("report {}", folder.at("run"))));
    }
}

#[test]
fn a_killed_compare_leaves_a_readable_receipt_or_nothing() {
    let mut readable = 0;
    for delay_ms in [0, 5, 20, 60, 150, 400, 800] {
        let folder = Folder::new();
        folder.small(2_000);
        let mut child = start(folder.path(), "compare --scenario small.toml --out run");
        sleep(Duration::from_millis(delay_ms));
        signal(child.id(), "KILL");
        child.wait().expect("it ends");
        if folder.has("run/receipt.json") {
            assert_eq!(read_json(folder.at("run/receipt.json"))["status"], "running", "after {delay_ms} ms");
            succeeds(run(&format!("report {}", folder.at("run"))));
            readable += 1;
        } else if folder.has("run") {
            let left = folder.names("run");
            assert!(left.iter().all(|name| name.starts_with(".unfinished-")), "{left:?}");
        }
    }
    assert!(readable > 0, "no run lived long enough to be tested");
}

#[test]
fn ctrl_c_in_generate_gives_the_text_so_far() {
    let folder = Folder::new();
    let args = "generate --prompt ROMEO: --max-tokens 500 --kernel scalar --threads 1";
    let whole = printed(args);
    // Ends by itself when the machine is so fast that the signal comes too late: then once more.
    let interrupted = |more: &str| {
        let mut tries =
            (0..20).map(|_| interrupted(folder.path(), &format!("{args} {more}"), "kernel: scalar", 0, "INT"));
        let output = tries.find(|output| output.status.code() != Some(0));
        output.expect("interrupted in one of 20 tries")
    };
    let output = interrupted("--json --receipt r.json");
    ends_with_error(&output, 130, &["interrupted"]);
    let report = parsed(&output);
    assert_eq!(report["stop_reason"], "interrupted");
    assert!(whole.starts_with(text(&report, "text")) && list(&report, "token_ids").len() < 500);
    assert_eq!(read_json(folder.at("r.json")), report);
    let output = interrupted("");
    assert_eq!(output.status.code(), Some(130));
    assert!(whole.starts_with(stdout(&output).trim_end_matches('\n')));
}

/// Every other command that takes long: code 130, one line that says what was not done, and nothing that looks done.
#[test]
fn ctrl_c_during_any_long_command_leaves_nothing_half_done() {
    let gate = format!("gate --against {} --out run", program());
    // The line on stderr after which it is interrupted, and how long after; what it says then; what it may leave.
    for (name, args, line, wait_ms, said, left) in [
        ("INT", "model synth --shape 2b-4t --out m.gguf", "writing", 30, "m.gguf is not written", ""),
        ("TERM", "model synth --shape 2b-4t --out m.gguf", "writing", 30, "m.gguf is not written", ""),
        ("INT", "baseline save mine", "proving", 100, "baseline mine is not saved", ""),
        ("INT", &gate, "gate:", 100, "interrupted", "run"),
        ("TERM", &gate, "gate:", 100, "interrupted", "run"),
        ("TERM", "verify", "verifying", 30, "interrupted after verifying", ""),
        ("INT", "limits", "", 100, "interrupted while measuring", ""),
        ("INT", "perplexity --kernel scalar --threads 1", "scoring", 0, "windows", ""),
    ] {
        let folder = Folder::new();
        let output = interrupted(folder.path(), args, line, wait_ms, name);
        ends_with_error(&output, 130, &[said]);
        assert!(!args.starts_with("perplexity") || output.stdout.is_empty());
        let entries = folder.names("");
        assert!(entries.iter().all(|entry| entry == left), "{args} left {entries:?}");
    }
}

#[test]
fn two_runs_at_once_get_two_folders() {
    let folder = Folder::new();
    folder.small(4);
    let children = [(); 3].map(|()| start(folder.path(), "compare --scenario small.toml --json"));
    let outputs = children.map(|child| parsed(&succeeds(child.wait_with_output().expect("it ends"))));
    let mut folders = outputs.map(|printed| text(&printed, "run_folder").to_owned());
    folders.sort();
    assert!(folders.windows(2).all(|two| two[0] != two[1]), "{folders:?}");
    let complete = |run: &String| read_json(folder.path().join(run).join("receipt.json"))["status"] == "complete";
    assert!(folders.iter().all(complete));
    assert_eq!(folder.names("tritbench-runs").len(), 3);
}
