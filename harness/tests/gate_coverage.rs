//! What a gate says of what it did not compare or could not write. Nothing here depends on a time.

mod common;

use common::{TINY, VERDICTS, harness, json, parsed, run, stderr, stdout, tiny_scenario};
use std::path::Path;
use tempfile::TempDir;

fn own() -> String {
    text(&common::harness_path())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A build that has lost a kernel: the same program, with the CPU features that it needs hidden from it.
#[cfg(unix)]
#[test]
fn a_build_that_lacks_a_kernel_of_the_baseline_does_not_pass() {
    if !common::available_kernels().iter().any(|id| id == "avx2-i8") {
        return;
    }
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("both.toml");
    std::fs::write(&path, TINY.replace("\"scalar\", \"scalar-i8\"", "\"scalar-i8\", \"avx2-i8\"")).expect("written");
    let less = dir.path().join("less.sh");
    std::fs::write(&less, format!("#!/bin/sh\nTRITBENCH_CPU_FEATURES=none exec '{}' \"$@\"\n", own()))
        .expect("written");
    std::fs::set_permissions(&less, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("made executable");
    let less = text(&less);
    let gate = |against: &str, current: &str, rest: &[&str]| {
        let args = ["gate", "--against", against, "--current", current, "--scenario", &text(&path)];
        let out = text(&dir.path().join("run"));
        run(&[&args[..], &["--out", &out], rest].concat())
    };
    let lost = gate(&own(), &less, &["--format", "github"]);
    let said = stdout(&lost);
    // A busy machine may find something graver, but never nothing.
    assert!([1, 3, 4].contains(&lost.status.code().expect("no signal")), "{said}{}", stderr(&lost));
    assert!(
        said.contains("::warning title=tritbench::not compared: avx2-i8 (the current build cannot run it"),
        "{said}"
    );
    let receipt = common::read_json(&dir.path().join("run/receipt.json"));
    assert_eq!(receipt["gate"]["unsupported"][0]["gap"], "lost");
    json(&["receipt", "verify", &text(&dir.path().join("run")), "--json"]);
    // Named away.
    let fewer = parsed(&gate(&own(), &less, &["--kernels", "scalar-i8", "--json"]));
    assert!(fewer["unsupported"].as_array().is_some_and(|rows| rows.iter().all(|row| row["gap"] != "lost")), "{fewer}");
    // The other way round it is new.
    let fresh = parsed(&gate(&less, &own(), &["--json"]));
    assert_eq!(fresh["unsupported"][0]["gap"], "no_baseline");
    if fresh["outcome"] == "PASS" {
        assert!(fresh["reason"].as_str().is_some_and(|said| said.contains("no baseline for avx2-i8")), "{fresh}");
    }
}

#[test]
fn what_cannot_be_written_is_found_before_the_work_and_changes_no_verdict() {
    let dir = TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("file"), "").expect("written");
    let out = text(&dir.path().join("file/run"));
    let early = run(&["gate", "--against", "no-such-revision", "--out", &out]);
    assert_eq!(early.status.code(), Some(2));
    common::error_line(&stderr(&early), &["cannot write the run folder", "--out"]);
    let early = run(&["baseline", "save", "b", "--scenario", &tiny_scenario(&dir), "--dir", &out]);
    assert_eq!(early.status.code(), Some(2));
    common::error_line(&stderr(&early), &["cannot write in", "--dir"]);
    let args = [
        "gate",
        "--against",
        &own(),
        "--scenario",
        &tiny_scenario(&dir),
        "--kernels",
        "scalar-i8",
        "--format",
        "github",
    ];
    let mut gate = harness();
    gate.args(args).args(["--out", &text(&dir.path().join("run"))]);
    let output = gate.env("GITHUB_STEP_SUMMARY", dir.path().join("file/summary")).output().expect("starts");
    assert!(VERDICTS.contains(&output.status.code().expect("no signal")), "{}", stderr(&output));
    assert!(stderr(&output).contains("warning: cannot write the step summary"), "{}", stderr(&output));
}

/// A summary or a chart of an earlier gate is not the new one's.
#[test]
fn a_run_folder_holds_one_gate() {
    let dir = TempDir::new().expect("a folder");
    let out = dir.path().join("run");
    std::fs::create_dir_all(&out).expect("made");
    std::fs::write(out.join("summary.md"), "of another gate").expect("written");
    let args = ["gate", "--against", "no-such-revision", "--out", &text(&out)];
    assert_eq!(run(&args).status.code(), Some(2));
    assert_eq!(
        std::fs::read_to_string(out.join("summary.md")).expect("there"),
        "of another gate",
        "nothing was measured"
    );
    let args = [
        "gate",
        "--against",
        &own(),
        "--scenario",
        &tiny_scenario(&dir),
        "--kernels",
        "scalar-i8",
        "--out",
        &text(&out),
    ];
    assert!(VERDICTS.contains(&run(&args).status.code().expect("no signal")));
    assert!(std::fs::read_to_string(out.join("summary.md")).expect("there").starts_with("## tritbench gate: "));
    assert_eq!(std::fs::read_to_string(out.join("earlier/1/summary.md")).expect("kept"), "of another gate");
    let other = dir.path().join("other");
    std::fs::create_dir_all(&other).expect("made");
    std::fs::copy(out.join("receipt.json"), other.join("receipt.json")).expect("copied");
    let mixed = run(&["report", &text(&out), "--out", &text(&other)]);
    assert_eq!(mixed.status.code(), Some(2));
    common::error_line(&stderr(&mixed), &["exists", "--force"]);
}
