//! The gate from outside: what it writes, what it refuses, its exit codes. Whether it is right about times is
//! `ci/calibrate.sh`'s business: nothing here depends on one.

use crate::common::*;
use serde_json::Value;

/// Whether a cell was compared.
fn has_pairs(cell: &Value) -> bool {
    list(cell, "pairs").len() >= 12
}

fn holds(run_folder: &str) {
    json(&format!("receipt verify {run_folder} --json"));
}

#[test]
fn a_build_against_itself() {
    let folder = Folder::new();
    let (own, scenario, out) = (program(), folder.tiny(), folder.at("run"));
    let output = run(&format!("gate --against {own} --scenario {scenario} --out {out} --json"));
    let gate = parsed(&output);
    let word = text(&gate, "outcome");
    let codes = [("PASS", 0), ("FAIL", 1), ("INCONCLUSIVE", 3), ("UNSTABLE", 4)];
    assert!(codes.contains(&(word, verdict(&output))), "{word}");
    let cells = list(&gate, "cells");
    assert_eq!(cells.len(), 2);
    for cell in cells {
        assert!(has_pairs(cell) && cell["verdict"]["samples"].as_u64().expect("a count") >= 12);
        let rounds = list(&cell["pairs"][0], "rounds");
        assert!(!rounds.is_empty() && rounds.iter().all(|round| list(round, "ns").len() == 3));
    }
    for what in ["output", "token_ids", "perplexity"] {
        let checks = list(&gate, "checks").iter().filter(|check| check["what"] == what);
        assert_eq!(checks.inspect(|check| assert_eq!(check["passed"], true, "{check}")).count(), 2, "{what}");
    }
    for name in ["run/receipt.json", "run/report.html", "run/measurements.csv"] {
        assert!(folder.has(name), "{name}");
    }
    holds(&out);
    let summary = folder.read("run/summary.md");
    assert!(summary.starts_with(&format!("### tritbench gate: {word}")), "{summary}");
}

/// What users feel is timed beside the matrices where the scenario generates.
#[test]
fn decoding_and_prefill_are_compared() {
    let folder = Folder::new();
    let prefills = available_kernels().iter().any(|id| id == "avx2-i8-tile8");
    let kernels = if prefills { "scalar-i8,avx2-i8-tile8" } else { "scalar-i8" };
    let generates = "[generate]\nprompt = \"ROMEO:\"\nmax_tokens = 8\nrounds = 1\n";
    let scenario = folder.write("text.toml", TINY.replace("kernels = [\"scalar\", \"scalar-i8\"]\n", "") + generates);
    let (own, out) = (program(), folder.at("run"));
    let args = format!("gate --against {own} --scenario {scenario} --kernels {kernels} --inject scalar-i8:20");
    let output = run(&format!("{args} --out {out} --json"));
    verdict(&output);
    let gate = parsed(&output);
    let texts: Vec<&Value> = list(&gate, "cells").iter().filter(|cell| cell["model"] == "builtin").collect();
    let named: Vec<_> = texts.iter().map(|c| (text(c, "kernel"), text(c, "op"), c["tokens"].as_u64())).collect();
    let mut wanted = vec![("scalar-i8", "decode", Some(1))];
    if prefills {
        wanted.extend([("avx2-i8-tile8", "decode", Some(1)), ("avx2-i8-tile8", "prefill", Some(32))]);
    }
    assert_eq!(named, wanted, "prefill of a kernel with a gemm only");
    for cell in &texts {
        assert!(has_pairs(cell), "{cell}");
        let checks = list(&gate, "checks").iter().filter(|check| {
            let subject = check["subject"].as_str().unwrap_or("");
            check["kernel"] == cell["kernel"] && check["what"] == "output" && subject.starts_with(text(cell, "op"))
        });
        assert_eq!(checks.inspect(|check| assert_eq!(check["passed"], true, "{check}")).count(), 1);
    }
    let summary = folder.read("run/summary.md");
    let row =
        |line: &str| ["| `scalar-i8` |", "decode, built-in model", "tokens/s"].iter().all(|part| line.contains(part));
    assert!(summary.lines().any(row), "{summary}");
    holds(&out);
}

/// A process that needs more memory than it may have ends in the middle of its work: the cell says so, and the gate
/// goes on.
#[cfg(target_os = "linux")]
#[test]
fn a_cell_whose_worker_dies_says_so_and_the_others_are_compared() {
    let folder = Folder::new();
    let shapes = TINY.replace("gemv = [\"64x256\"]", "gemv = [\"64x256\", \"16384x16384\"]");
    let (own, scenario) = (program(), folder.write("memory.toml", shapes));
    // Room for the program and its threads, not for a quarter of a GiB of codes.
    let limited = folder.script("limited.sh", &format!("ulimit -v 220000\nexec '{own}' \"$@\""));
    for (side, against, current, outcome) in
        [("current", &own, &limited, "FAIL"), ("baseline", &limited, &own, "UNSUPPORTED")]
    {
        // The smaller matrix has one shape.
        let out = folder.at(side);
        let args = format!("gate --full --against {against} --current {current} --scenario {scenario}");
        let output = run(&format!("{args} --kernels scalar-i8 --out {out} --json"));
        let gate = parsed(&output);
        let [small, large] = &list(&gate, "cells")[..] else { panic!("{gate}") };
        assert!(has_pairs(small), "{small}");
        assert_eq!(large["verdict"]["outcome"], outcome);
        let reason = text(&large["broken"], side);
        let part = "while asked to `prepare gemv 16384x16384 of scalar-i8`";
        assert!(reason.contains("the worker was ended by signal 6 SIGABRT") && reason.contains(part), "{reason}");
        assert!(side == "baseline" || (verdict(&output), text(&gate, "outcome")) == (1, "FAIL"));
        verdict(&output);
        holds(&out);
    }
}

/// What starts the worker passes on stdin and stdout only, and from the second cell on nothing of what it says.
#[cfg(unix)]
#[test]
fn a_cell_whose_worker_falls_silent_says_so_and_the_others_are_compared() {
    let folder = Folder::new();
    let (own, scenario, out) = (program(), folder.tiny(), folder.at("run"));
    let silent = folder.script(
        "silent.sh",
        &format!(
            "why='this command is started by tritbench itself, with a socket to speak over'\n\
             [ \"$2\" = --channel ] && {{ echo \"$why\" >&2; exit 2; }}\n\
             '{own}' \"$@\" | while IFS= read -r line; do\n\
             case $line in *prepared*) cells=x$cells ;; esac\n\
             [ \"$cells\" != xx ] || cat >/dev/null\n\
             printf '%s\\n' \"$line\"\n\
             done"
        ),
    );
    let args = format!("gate --against {own} --current {silent} --scenario {scenario} --out {out} --json");
    let output = command(&args).env("TRITBENCH_WORKER_PATIENCE", "15").output().expect("starts");
    let gate = parsed(&output);
    assert_eq!((output.status.code(), text(&gate, "outcome")), (Some(1), "FAIL"), "{}", stderr(&output));
    let [heard, lost] = &list(&gate, "cells")[..] else { panic!("{gate}") };
    assert!(has_pairs(heard), "{heard}");
    let reason = "the current build: the worker did not answer `prepare gemv 64x256 of scalar-i8` within 15 s";
    assert_eq!(text(&lost["broken"], "current"), reason);
    holds(&out);
}

/// A planted slowdown, in every format: a person's, and two for machines, by two gates at once, which do not mix.
#[test]
fn a_planted_slowdown_is_recorded_and_formats_are_kept() {
    let folder = Folder::new();
    let (own, scenario, out) = (program(), folder.tiny(), folder.at("run"));
    let args = format!("gate --against {own} --scenario {scenario} --kernels scalar-i8 --inject scalar-i8:50");
    let output = run(&format!("{args} --format human --out {out}"));
    verdict(&output);
    assert!(stdout(&output).contains("a slowdown of 50% was planted in scalar-i8"), "{}", stdout(&output));
    // One number of every kind that a gate's receipt holds.
    let kinds = ["/gate/cells/*/pairs/*/rounds/*/ns/*", "/gate/cells/*/verdict/change", "/gate/inject/percent"];
    crate::receipt::edits_are_named(&read_json(folder.at("run/receipt.json")), &kinds);

    let steps = folder.at("steps.md");
    let gates = ["github", "junit"].map(|format| {
        let mut gate = command(&format!("{args} --format {format}"));
        gate.current_dir(folder.path()).env("GITHUB_STEP_SUMMARY", &steps).spawn().expect("starts")
    });
    let [github, junit] = gates.map(|gate| {
        let output = gate.wait_with_output().expect("ends");
        verdict(&output);
        stdout(&output)
    });
    assert!(github.lines().all(|line| line.starts_with("::")), "{github}");
    assert!(folder.read("steps.md").contains("planted in scalar-i8"));
    assert!(junit.contains("<testsuites") && junit.trim_end().ends_with("</testsuites>"), "{junit}");
    let runs = folder.names("tritbench-runs");
    assert_eq!(runs.len(), 2, "{runs:?}");
    for run in runs.iter().map(|name| folder.at(&format!("tritbench-runs/{name}"))) {
        holds(&run);
        let gate = &read_json(format!("{run}/receipt.json"))["gate"];
        assert_eq!((&gate["inject"]["percent"], list(gate, "cells").len()), (&50.0.into(), 1));
    }
}

#[test]
fn baselines_are_saved_gated_listed_and_removed() {
    let folder = Folder::new();
    let (scenario, out) = (folder.tiny(), folder.at("run"));
    let store = format!("--dir {}", folder.at("store"));
    let save = format!("baseline save main --scenario {scenario} {store}");
    let saved = json(&format!("{save} --json"));
    assert_eq!((text(&saved, "name"), saved["quick"].as_bool()), ("main", Some(true)));
    assert!(list(&saved, "computed").iter().any(|check| check["what"] == "output"));
    refused(&save, 2, &["--replace"]);
    assert_eq!(list(&json(&format!("baseline list {store} --json")), "baselines").len(), 1);
    assert!(printed(&format!("baseline show main {store}")).contains("tiny --quick"));
    let gate = format!("gate --baseline main {store} --out {out} --json");
    let output = run(&gate);
    verdict(&output);
    let gated = parsed(&output);
    let checks = list(&gated, "checks");
    assert!(checks.iter().any(|c| c["what"] == "stored output") && checks.iter().all(|c| c["passed"] == true));
    // Another result fails before anything is timed.
    let mut baseline = read_json(folder.at("store/main/baseline.json"));
    for check in baseline["computed"].as_array_mut().expect("checks").iter_mut().filter(|c| c["what"] == "output") {
        check["baseline"] = "00".repeat(32).into();
    }
    folder.write("store/main/baseline.json", baseline.to_string());
    let output = run(&gate);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("stored output of scalar"), "{}", stderr(&output));
    assert!(list(&parsed(&output)["cells"][0], "pairs").len() <= 1);
    succeeds(run(&format!("baseline remove main {store}")));
    refused(&gate, 2, &["there is no baseline main"]);
}

#[test]
fn what_cannot_be_gated_is_one_line() {
    let folder = Folder::new();
    let not_a_program = folder.write("notes.txt", "text");
    let other = if cfg!(unix) { "/bin/true" } else { "cmd.exe" };
    let against = format!("gate --scenario {} --against", folder.tiny());
    let own = format!("{against} {}", program());
    for (args, code, part) in [
        ("gate", 2, "--baseline"),
        ("gate --against no-such-revision", 2, "--against no-such-revision"),
        (&format!("{against} {not_a_program}"), 2, "not executable"),
        (&format!("{against} {other}"), 5, "the baseline"),
        (&format!("{own} --delta 0"), 2, "--delta 0"),
        (&format!("{own} --inject scalar:x"), 2, "KERNEL:PERCENT"),
        (&format!("{own} --inject avx2-i8:5"), 2, "does not measure it"),
        (&format!("{own} --kernels avx9"), 2, "there is no kernel \"avx9\""),
    ] {
        let output = start(folder.path(), args).wait_with_output().expect("ends");
        ends_with_error(&output, code, &[part]);
    }
}

/// Gates that were killed leave copies of programs behind. The next one, whatever becomes of it, removes them, and
/// nothing of a gate that is running.
#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_gate_leaves_is_removed_by_the_next() {
    let folder = Folder::new();
    let (scenario, temporary) = (folder.tiny(), folder.make("tmp"));
    let copies = || -> Vec<String> {
        let names = folder.names("tmp").into_iter().map(|name| format!("tmp/{name}"));
        names.filter(|f| ["a", "b"].iter().any(|side| folder.has(&format!("{f}/{side}/program")))).collect()
    };
    let gate = |args: &str| {
        let mut gate = command(&format!("gate --against {args}"));
        gate.env("TMPDIR", &temporary).current_dir(folder.path()).spawn().expect("starts")
    };
    let start = |out: &str| gate(&format!("{} --scenario {scenario} --out {out}", program()));
    let mut killed = start("killed");
    let left = wait_for(|| Some(copies()).filter(|copies| copies.len() == 1));
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    assert_eq!(copies(), left, "a killed process cannot clean up");
    if folder.has("killed") {
        succeeds(run(&format!("report {}", folder.at("killed"))));
        holds(&folder.at("killed"));
    }
    let running = start("running");
    let of_running = wait_for(|| Some(copies()).filter(|copies| copies.iter().any(|f| !left.contains(f))));
    assert!(!folder.has(&left[0]), "the next gate removes it");
    let refused = gate("no-such-revision").wait_with_output().expect("ends");
    assert_eq!((refused.status.code(), copies()), (Some(2), of_running), "{}", stderr(&refused));
    verdict(&running.wait_with_output().expect("ended"));
    assert_eq!(folder.names("tmp").len(), 0, "nothing is left of a gate that ended");
}

#[cfg(unix)]
#[test]
fn no_room_is_one_line_and_leaves_no_run() {
    let folder = Folder::new();
    let (own, scenario, store) = (program(), folder.tiny(), folder.at("store"));
    json(&format!("baseline save main --scenario {scenario} --dir {store} --json"));
    for args in [
        format!("gate --against {own} --scenario {scenario} --out run"),
        format!("baseline save main --replace --scenario {scenario} --dir {store}"),
    ] {
        ends_with_error(&crate::adversity::with_files_up_to(64, &args, &folder), 2, &["too large"]);
        assert!(!folder.has("run") && folder.names("tmp").is_empty(), "{args}");
        json(&format!("baseline show main --dir {store} --json"));
    }
}
