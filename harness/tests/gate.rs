//! The gate from outside: what it writes, what it refuses, its exit codes. Whether it is right about times is
//! `ci/calibrate.sh`'s business: nothing here depends on one.

mod common;

use common::{TINY, VERDICTS, harness, json, parsed, run, stderr, stdout, tiny_scenario};
use std::path::Path;
use tempfile::TempDir;

fn own() -> String {
    common::harness_path().display().to_string()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_build_against_itself() {
    let dir = TempDir::new().expect("a folder");
    let out = text(&dir.path().join("run"));
    let args = ["gate", "--against", &own(), "--scenario", &tiny_scenario(&dir), "--out", &out, "--json"];
    let output = run(&args);
    let code = output.status.code().expect("no signal");
    assert!(VERDICTS.contains(&code), "{code}: {}", stderr(&output));
    let gate = parsed(&output);
    let word = gate["outcome"].as_str().expect("a word");
    assert_eq!(
        code,
        match word {
            "PASS" => 0,
            "FAIL" => 1,
            "INCONCLUSIVE" => 3,
            "UNSTABLE" => 4,
            other => panic!("{other}"),
        }
    );
    let cells = gate["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 2);
    for cell in cells {
        let pairs = cell["pairs"].as_array().expect("pairs");
        assert!(pairs.len() >= 12 && cell["verdict"]["samples"].as_u64().expect("a count") >= 12);
        let rounds = pairs[0]["rounds"].as_array().expect("rounds");
        assert!(!rounds.is_empty() && rounds.iter().all(|r| r["ns"].as_array().is_some_and(|ns| ns.len() == 3)));
    }
    let checks = gate["checks"].as_array().expect("checks");
    for what in ["output", "token_ids", "perplexity"] {
        let of = checks.iter().filter(|c| c["what"] == what);
        assert_eq!(of.inspect(|c| assert_eq!(c["passed"], true, "{c}")).count(), 2, "{what}");
    }
    for name in ["receipt.json", "report.html", "measurements.csv", "summary.md"] {
        assert!(dir.path().join("run").join(name).is_file(), "{name}");
    }
    json(&["receipt", "verify", &out, "--json"]);
    let summary = std::fs::read_to_string(dir.path().join("run/summary.md")).expect("there");
    assert!(summary.starts_with(&format!("## tritbench gate: {word}")), "{summary}");
}

/// What users feel is timed beside the matrices where the scenario generates.
#[test]
fn decoding_and_prefill_are_compared() {
    let dir = TempDir::new().expect("a folder");
    let prefills = common::available_kernels().iter().any(|id| id == "avx2-i8-tile8");
    let kernels = if prefills { "scalar-i8,avx2-i8-tile8" } else { "scalar-i8" };
    let path = dir.path().join("text.toml");
    let generates = "[generate]\nprompt = \"ROMEO:\"\nmax_tokens = 8\nrounds = 1\n";
    let scenario = TINY.replace("kernels = [\"scalar\", \"scalar-i8\"]\n", "") + generates;
    std::fs::write(&path, scenario).expect("written");
    let scenario = text(&path);
    let out = dir.path().join("run");
    let args = ["gate", "--against", &own(), "--scenario", &scenario, "--kernels", kernels];
    let inject = ["--inject", "scalar-i8:20", "--out", &text(&out), "--json"];
    let output = run(&[&args[..], &inject].concat());
    let code = output.status.code().expect("no signal");
    assert!(VERDICTS.contains(&code), "{code}: {}", stderr(&output));
    let gate = parsed(&output);
    let cells = gate["cells"].as_array().expect("cells");
    let texts: Vec<_> = cells.iter().filter(|c| c["model"] == "builtin").collect();
    let named: Vec<_> = texts.iter().map(|c| (c["kernel"].as_str(), c["op"].as_str(), c["tokens"].as_u64())).collect();
    let mut wanted = vec![(Some("scalar-i8"), Some("decode"), Some(1))];
    if prefills {
        let tiles = Some("avx2-i8-tile8");
        wanted.extend([(tiles, Some("decode"), Some(1)), (tiles, Some("prefill"), Some(32))]);
    }
    assert_eq!(named, wanted, "prefill of a kernel with a gemm only");
    for cell in &texts {
        assert!(cell["pairs"].as_array().is_some_and(|pairs| pairs.len() >= 12), "{cell}");
        let (kernel, op) = (&cell["kernel"], cell["op"].as_str().expect("a word"));
        let of_cell = |c: &&serde_json::Value| {
            c["kernel"] == *kernel && c["what"] == "output" && c["subject"].as_str().is_some_and(|s| s.starts_with(op))
        };
        let checks: Vec<_> = gate["checks"].as_array().expect("checks").iter().filter(of_cell).collect();
        assert!(checks.len() == 1 && checks[0]["passed"] == true, "{checks:?}");
    }
    let summary = std::fs::read_to_string(out.join("summary.md")).expect("there");
    assert!(summary.contains("scalar-i8 decode, built-in model") && summary.contains("tokens/s"), "{summary}");
    json(&["receipt", "verify", &text(&out), "--json"]);
}

/// A process that needs more memory than it may have ends in the middle of its work: the cell says so, and the gate
/// goes on.
#[cfg(target_os = "linux")]
#[test]
fn a_cell_whose_worker_dies_says_so_and_the_others_are_compared() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("memory.toml");
    let shapes = TINY.replace("gemv = [\"64x256\"]", "gemv = [\"64x256\", \"16384x16384\"]");
    std::fs::write(&path, shapes).expect("written");
    let limited = dir.path().join("limited.sh");
    // Room for the program and its threads, not for a quarter of a GiB of codes.
    std::fs::write(&limited, format!("#!/bin/sh\nulimit -v 220000\nexec '{}' \"$@\"\n", own())).expect("written");
    std::fs::set_permissions(&limited, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let limited = text(&limited);
    for (side, outcome) in [("current", "FAIL"), ("baseline", "UNSUPPORTED")] {
        let (against, current) = if side == "current" { (own(), limited.clone()) } else { (limited.clone(), own()) };
        // The smaller matrix has one shape.
        let args = ["gate", "--full", "--against", &against, "--current", &current, "--scenario"];
        let out = text(&dir.path().join(side));
        let rest = [&text(&path), "--kernels", "scalar-i8", "--out", &out, "--json"];
        let output = run(&[&args[..], &rest].concat());
        let code = output.status.code().expect("no signal");
        let gate = parsed(&output);
        let cells = gate["cells"].as_array().expect("cells");
        assert_eq!(cells.len(), 2);
        let (small, large) = (&cells[0], &cells[1]);
        assert!(small["pairs"].as_array().is_some_and(|pairs| pairs.len() >= 12), "{small}");
        assert_eq!(large["verdict"]["outcome"], outcome);
        let reason = large["broken"][side].as_str().expect("a reason");
        let part = "while asked to `prepare gemv 16384x16384 of scalar-i8`";
        assert!(reason.contains("the worker was ended by signal 6 SIGABRT") && reason.contains(part), "{reason}");
        if side == "current" {
            assert_eq!((code, &gate["outcome"]), (1, &"FAIL".into()));
        } else {
            assert!(VERDICTS.contains(&code), "{code}: {}", stderr(&output));
        }
        json(&["receipt", "verify", &out, "--json"]);
    }
}

/// What starts the worker passes on stdin and stdout only, and from the second cell on nothing of what it says.
#[test]
fn a_cell_whose_worker_falls_silent_says_so_and_the_others_are_compared() {
    let dir = TempDir::new().expect("a folder");
    let silent = dir.path().join("silent.sh");
    let script = format!(
        "#!/bin/sh\n\
         why='this command is started by tritbench itself, with a socket to speak over'\n\
         [ \"$2\" = --channel ] && {{ echo \"$why\" >&2; exit 2; }}\n\
         '{}' \"$@\" | while IFS= read -r line; do\n\
         case $line in *prepared*) cells=x$cells ;; esac\n\
         [ \"$cells\" != xx ] || cat >/dev/null\n\
         printf '%s\\n' \"$line\"\n\
         done\n",
        own()
    );
    std::fs::write(&silent, script).expect("written");
    std::fs::set_permissions(&silent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let out = text(&dir.path().join("run"));
    let args = ["gate", "--against", &own(), "--current", &text(&silent), "--scenario", &tiny_scenario(&dir)];
    let output = harness().args(args).args(["--out", &out, "--json"]).env("TRITBENCH_WORKER_PATIENCE", "15").output();
    let output = output.expect("starts");
    let gate = parsed(&output);
    assert_eq!((output.status.code(), &gate["outcome"]), (Some(1), &"FAIL".into()), "{}", stderr(&output));
    let (heard, lost) = (&gate["cells"][0], &gate["cells"][1]);
    assert!(heard["pairs"].as_array().is_some_and(|pairs| pairs.len() >= 12), "{heard}");
    let reason = lost["broken"]["current"].as_str().expect("a reason");
    assert_eq!(reason, "the current build: the worker did not answer `prepare gemv 64x256 of scalar-i8` within 15 s");
    json(&["receipt", "verify", &out, "--json"]);
}

#[test]
fn a_planted_slowdown_is_recorded_and_formats_are_kept() {
    let dir = TempDir::new().expect("a folder");
    let scenario = tiny_scenario(&dir);
    let base =
        ["gate", "--against", &own(), "--scenario", &scenario, "--kernels", "scalar-i8", "--inject", "scalar-i8:50"];
    for format in ["human", "github", "junit"] {
        let folder = dir.path().join(format);
        let steps = dir.path().join("steps.md");
        let output = harness()
            .args(base)
            .args(["--format", format, "--out", &text(&folder)])
            .env("GITHUB_STEP_SUMMARY", &steps)
            .output()
            .expect("starts");
        assert!(VERDICTS.contains(&output.status.code().expect("no signal")), "{}", stderr(&output));
        let said = stdout(&output);
        match format {
            "human" => assert!(said.contains("a slowdown of 50% was planted in scalar-i8"), "{said}"),
            "github" => {
                assert!(said.lines().all(|l| l.starts_with("::")), "{said}");
                assert!(std::fs::read_to_string(&steps).expect("written").contains("planted in `scalar-i8`"));
            }
            _ => assert!(said.contains("<testsuites") && said.trim_end().ends_with("</testsuites>"), "{said}"),
        }
        let receipt = common::read_json(&folder.join("receipt.json"));
        assert_eq!(receipt["gate"]["inject"]["percent"], 50.0);
    }
}

#[test]
fn baselines_are_saved_gated_listed_and_removed() {
    let dir = TempDir::new().expect("a folder");
    let (scenario, store) = (tiny_scenario(&dir), text(&dir.path().join("store")));
    let saved = json(&["baseline", "save", "main", "--scenario", &scenario, "--dir", &store, "--json"]);
    assert_eq!((saved["name"].as_str(), saved["quick"].as_bool()), (Some("main"), Some(true)));
    assert!(saved["computed"].as_array().is_some_and(|c| c.iter().any(|c| c["what"] == "output")));
    let again = run(&["baseline", "save", "main", "--scenario", &scenario, "--dir", &store]);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("--replace"), "{}", stderr(&again));
    let listed = json(&["baseline", "list", "--dir", &store, "--json"]);
    assert_eq!(listed["baselines"].as_array().map(Vec::len), Some(1));
    assert!(stdout(&run(&["baseline", "show", "main", "--dir", &store])).contains("tiny --quick"));
    let out = text(&dir.path().join("run"));
    let output = run(&["gate", "--baseline", "main", "--dir", &store, "--out", &out, "--json"]);
    assert!(VERDICTS.contains(&output.status.code().expect("no signal")), "{}", stderr(&output));
    let checks = parsed(&output)["checks"].as_array().expect("checks").clone();
    assert!(checks.iter().any(|c| c["what"] == "stored output") && checks.iter().all(|c| c["passed"] == true));
    assert_eq!(run(&["baseline", "remove", "main", "--dir", &store]).status.code(), Some(0));
    let gone = run(&["gate", "--baseline", "main", "--dir", &store]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(stderr(&gone).contains("there is no baseline main"), "{}", stderr(&gone));
}

#[test]
fn another_result_fails_before_anything_is_timed() {
    let dir = TempDir::new().expect("a folder");
    let (scenario, store) = (tiny_scenario(&dir), dir.path().join("store"));
    json(&["baseline", "save", "main", "--scenario", &scenario, "--dir", &text(&store), "--json"]);
    let facts = store.join("main/baseline.json");
    let mut baseline = common::read_json(&facts);
    for check in baseline["computed"].as_array_mut().expect("checks") {
        if check["what"] == "output" {
            check["baseline"] = "00".repeat(32).into();
        }
    }
    std::fs::write(&facts, baseline.to_string()).expect("written");
    let out = text(&dir.path().join("run"));
    let output = run(&["gate", "--baseline", "main", "--dir", &text(&store), "--out", &out, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("stored output of scalar"), "{}", stderr(&output));
    assert!(parsed(&output)["cells"][0]["pairs"].as_array().is_some_and(|p| p.len() <= 1));
}

#[test]
fn what_cannot_be_gated_is_one_line() {
    let dir = TempDir::new().expect("a folder");
    let scenario = tiny_scenario(&dir);
    let not_a_program = dir.path().join("notes.txt");
    std::fs::write(&not_a_program, "text").expect("written");
    let other = if cfg!(unix) { "/bin/true" } else { "cmd.exe" };
    let cases: [(&[&str], i32, &str); 8] = [
        (&["gate"], 2, "--baseline"),
        (&["gate", "--against", "no-such-revision"], 2, "--against no-such-revision"),
        (&["gate", "--against", &text(&not_a_program), "--scenario", &scenario], 2, "not executable"),
        (&["gate", "--against", other, "--scenario", &scenario], 5, "the baseline"),
        (&["gate", "--against", &own(), "--scenario", &scenario, "--delta", "0"], 2, "--delta 0"),
        (&["gate", "--against", &own(), "--scenario", &scenario, "--inject", "scalar:x"], 2, "KERNEL:PERCENT"),
        (&["gate", "--against", &own(), "--scenario", &scenario, "--inject", "avx2-i8:5"], 2, "does not measure it"),
        (
            &["gate", "--against", &own(), "--scenario", &scenario, "--kernels", "avx9"],
            2,
            "there is no kernel \"avx9\"",
        ),
    ];
    for (args, code, part) in cases {
        let output = harness().args(args).current_dir(dir.path()).output().expect("starts");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && said.contains(part) && !said.contains("panicked"), "{args:?}: {said}");
    }
}

/// Gates that were killed leave copies of programs behind. The next one, whatever becomes of it, removes them, and
/// nothing of a gate that is running.
#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_gate_leaves_is_removed_by_the_next() {
    let dir = TempDir::new().expect("a folder");
    let scenario = tiny_scenario(&dir);
    let temporary = dir.path().join("tmp");
    std::fs::create_dir(&temporary).expect("made");
    let copies = || -> Vec<std::path::PathBuf> {
        let folders = std::fs::read_dir(&temporary).expect("there").flatten().map(|e| e.path());
        folders.filter(|f| f.join("a/program").is_file() || f.join("b/program").is_file()).collect()
    };
    let start = |out: &str| {
        let mut gate = std::process::Command::new(common::harness_path());
        gate.args(["gate", "--against", &own(), "--scenario", &scenario, "--out", &text(&dir.path().join(out))]);
        gate.env("TMPDIR", &temporary).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        gate.spawn().expect("starts")
    };
    let wait_for = |what: &dyn Fn() -> bool| {
        let start = std::time::Instant::now();
        while !what() {
            assert!(start.elapsed().as_secs() < 120, "it never came");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    let mut killed = start("killed");
    wait_for(&|| copies().len() == 1);
    let left = copies();
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    assert_eq!(copies(), left, "a killed process cannot clean up");
    let run_folder = dir.path().join("killed");
    if run_folder.exists() {
        assert_eq!(run(&["report", &text(&run_folder)]).status.code(), Some(0), "readable, or not there");
        json(&["receipt", "verify", &text(&run_folder), "--json"]);
    }
    let mut running = start("running");
    wait_for(&|| copies().iter().any(|f| !left.contains(f)));
    assert!(!left[0].exists(), "the next gate removes it");
    let of_running = copies();
    let mut refused = harness();
    refused.args(["gate", "--against", "no-such-revision"]).env("TMPDIR", &temporary).current_dir(dir.path());
    let refused = refused.output().expect("starts");
    assert_eq!((refused.status.code(), copies()), (Some(2), of_running), "{}", stderr(&refused));
    let code = running.wait().expect("ended").code().expect("no signal");
    assert!(VERDICTS.contains(&code), "{code}");
    assert_eq!(std::fs::read_dir(&temporary).expect("there").count(), 0, "nothing is left of a gate that ended");
}

/// A limit on the size of files is a full disk that needs no root.
#[cfg(unix)]
#[test]
fn no_room_is_one_line_and_leaves_no_run() {
    let dir = TempDir::new().expect("a folder");
    let temporary = dir.path().join("tmp");
    std::fs::create_dir(&temporary).expect("made");
    let store = dir.path().join("store");
    json(&["baseline", "save", "main", "--scenario", &tiny_scenario(&dir), "--dir", &text(&store), "--json"]);
    for args in [
        format!("gate --against {} --scenario {} --out run", own(), tiny_scenario(&dir)),
        format!("baseline save main --replace --scenario {} --dir {}", tiny_scenario(&dir), text(&store)),
    ] {
        let mut limited = std::process::Command::new("sh");
        limited.arg("-c").arg(format!("ulimit -f 64; exec \"$0\" {args}")).arg(own()).current_dir(dir.path());
        let output = limited.env("TMPDIR", &temporary).output().expect("sh is there");
        assert_eq!(output.status.code(), Some(2), "{args}: {}", stderr(&output));
        common::error_line(&stderr(&output), &["too large"]);
        assert!(!dir.path().join("run").exists(), "{args}");
        assert_eq!(std::fs::read_dir(&temporary).expect("there").count(), 0, "{args}");
        json(&["baseline", "show", "main", "--dir", &text(&store), "--json"]);
    }
}

#[test]
fn two_gates_at_once_do_not_mix() {
    let dir = TempDir::new().expect("a folder");
    let scenario = tiny_scenario(&dir);
    let start = || {
        let mut gate = std::process::Command::new(common::harness_path());
        gate.args(["gate", "--against", &own(), "--scenario", &scenario, "--kernels", "scalar-i8", "--json"]);
        gate.current_dir(dir.path()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        gate.spawn().expect("starts")
    };
    for gate in [start(), start()] {
        let output = gate.wait_with_output().expect("ends");
        assert!(VERDICTS.contains(&output.status.code().expect("no signal")), "{}", stderr(&output));
        assert_eq!(parsed(&output)["cells"].as_array().map(Vec::len), Some(1));
    }
    let folders: Vec<_> = std::fs::read_dir(dir.path().join("reports/runs")).expect("there").flatten().collect();
    assert_eq!(folders.len(), 2, "{folders:?}");
    for folder in folders {
        json(&["receipt", "verify", &text(&folder.path()), "--json"]);
    }
}

/// One number of every kind that a gate's receipt holds.
#[test]
fn the_part_of_any_edited_number_of_a_gate_is_named() {
    let dir = TempDir::new().expect("a folder");
    let out = dir.path().join("run");
    let args = ["gate", "--against", &own(), "--scenario", &tiny_scenario(&dir), "--inject", "scalar-i8:50"];
    let output = run(&[&args[..], &["--out", &text(&out)]].concat());
    assert!(VERDICTS.contains(&output.status.code().expect("no signal")), "{}", stderr(&output));
    let kinds = common::edits_are_named(&out.join("receipt.json"));
    for kind in ["/gate/cells/*/pairs/*/rounds/*/ns/*", "/gate/cells/*/verdict/change", "/gate/inject/percent"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}
