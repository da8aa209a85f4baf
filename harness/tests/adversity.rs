//! Runs under bad conditions: no cache folder, no room on the disk, folders that take no file, a model that changes.
//! And runs that must give the same again.

mod common;

use common::{assert_refused, error_line, harness, harness_path, json, parsed, run, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

#[test]
fn without_a_cache_folder_the_next_step_is_named() {
    let mut command = harness();
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    let output = command.args(["model", "inspect", "synth:2b-4t"]).output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    error_line(&stderr(&output), &["no cache folder", "TRITBENCH_CACHE"]);
    // Nothing else needs one.
    let mut command = harness();
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    let output = command.args(["generate", "--prompt", "x", "--max-tokens", "1", "--kernel", "scalar-i8"]).output();
    assert_eq!(output.expect("starts").status.code(), Some(0));
}

/// A limit on the size of files is a full disk that needs no root.
#[cfg(unix)]
#[test]
fn no_room_is_one_line_and_leaves_nothing_half_written() {
    for (kib, args) in [
        (100, "model synth --shape tiny --out out.gguf"),
        (8, "compare --quick --kernels scalar-i8 --out run"),
        (1, "report RECEIPT --out run"),
    ] {
        let dir = TempDir::new().expect("a folder");
        let receipt = common::scenarios().join("../reports/example/receipt.json").display().to_string();
        let script = format!("ulimit -f {kib}; exec \"$0\" {}", args.replace("RECEIPT", &receipt));
        // `ulimit -f` counts blocks of 512 bytes in POSIX shells and of 1024 in others: far below what is written in
        // both.
        let output = Command::new("sh").arg("-c").arg(&script).arg(harness_path()).current_dir(dir.path()).output();
        let output = output.expect("sh is there");
        assert_eq!(output.status.code(), Some(2), "{args}: {:?} {}", output.status, stderr(&output));
        error_line(&stderr(&output), &["too large"]);
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("there").map(|e| e.expect("readable").path()).collect();
        let whole = left.iter().filter(|path| path.is_file()).count();
        assert_eq!(whole, 0, "{args} left {left:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn folders_that_take_no_file_are_named_before_the_work() {
    // Nobody can write to /proc, root included.
    for args in [
        &["compare", "--quick", "--out", "/proc/run"][..],
        &["model", "synth", "--shape", "tiny", "--out", "/proc/x.gguf"],
        &["generate", "--prompt", "x", "--receipt", "/proc/r.json"],
    ] {
        assert_refused(args, 2, &["/proc"]);
    }
}

#[test]
fn the_same_text_for_any_threads_and_exact_kernel() {
    let text = |kernel: &str, threads: &str| {
        let sampled = ["--temperature", "0.9", "--seed", "7", "--max-tokens", "24"];
        let common =
            ["generate", "--prompt", "ROMEO:", "--json", "--deterministic", "--kernel", kernel, "--threads", threads];
        let report = json(&[&common[..], &sampled].concat());
        assert_eq!((&report["deterministic"], &report["seed"]), (&true.into(), &7.into()));
        report["token_ids"].clone()
    };
    let first = text("scalar-i8", "1");
    for kernel in common::available_kernels().iter().filter(|k| k.as_str() != "scalar-i8") {
        let exact = kernel.contains("i8") || kernel.contains("vnni") || kernel.contains("lut");
        if exact {
            // Three threads share the rows unevenly, where there are CPUs for them.
            let cpus = std::thread::available_parallelism().map_or(1, usize::from);
            for threads in 1..=cpus.min(3) {
                assert_eq!(text(kernel, &threads.to_string()), first, "{kernel} with {threads} threads");
            }
        }
    }
}

#[test]
fn what_cannot_be_deterministic_is_refused() {
    let base = ["generate", "--prompt", "x", "--deterministic", "--max-tokens", "2"];
    let with = |more: &[&'static str]| [&base[..], more].concat();
    assert_refused(&with(&["--timeout-s", "5"]), 2, &["--deterministic", "--timeout-s"]);
    let output = run(&with(&["--kernel", "scalar"]));
    assert_eq!(output.status.code(), Some(2));
    error_line(&stderr(&output), &["--deterministic", "scalar sums in f32"]);
    assert_refused(&["compare", "--scenario", "timeout", "--deterministic"], 2, &["--deterministic", "timeout"]);
}

#[test]
fn bitnet_variables_are_honoured_and_checked() {
    let generate = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = harness();
        command.envs(variables.iter().copied());
        let base =
            ["generate", "--prompt", "x", "--max-tokens", "2", "--temperature", "1", "--kernel", "scalar-i8", "--json"];
        command.args(base).args(more).output().expect("starts")
    };
    let report = parsed(&generate(&[("BITNET_SEED", "11"), ("BITNET_DETERMINISTIC", "1")], &[]));
    assert_eq!((&report["seed"], &report["deterministic"]), (&11.into(), &true.into()));
    let report = parsed(&generate(&[("BITNET_SEED", "11")], &["--seed", "12"]));
    assert_eq!((&report["seed"], &report["deterministic"]), (&12.into(), &false.into()), "a flag wins");
    for (name, value) in
        [("BITNET_SEED", "-3"), ("BITNET_SEED", "x"), ("BITNET_DETERMINISTIC", "perhaps"), ("BITNET_STRICT_MODE", "2")]
    {
        let output = generate(&[(name, value)], &[]);
        assert_eq!(output.status.code(), Some(2), "{name}={value}");
        error_line(&stderr(&output), &[name, value, "unset it"]);
    }
}

#[test]
fn a_deterministic_comparison_says_so_in_its_receipt() {
    let dir = TempDir::new().expect("a folder");
    let scenario = common::scenario_with_rounds(dir.path(), 4).display().to_string();
    let out = dir.path().join("run").display().to_string();
    json(&["compare", "--scenario", &scenario, "--kernels", "scalar-i8", "--deterministic", "--out", &out, "--json"]);
    let receipt = common::read_json(&dir.path().join("run/receipt.json"));
    assert_eq!(receipt["settings"]["deterministic"], true);
    assert_eq!(receipt["generation"]["kernels"][0]["ids_equal_in_rounds"], true);
}

#[test]
fn a_usage_error_is_one_line_that_names_flag_and_next_step() {
    for (args, parts) in [
        (&["generate"][..], &["--prompt <T>", "see tritbench generate --help"][..]),
        (&["generate", "--promt", "x"], &["'--promt'", "'--prompt'", "see tritbench generate --help"]),
        (&["compare", "--kernels"], &["--kernels", "see tritbench compare --help"]),
        (&["kompare"], &["'kompare'", "'compare'", "see tritbench --help"]),
        (&["generate", "--prompt", "x", "--seed", "many"], &["'many'", "--seed", "see tritbench generate --help"]),
    ] {
        let line = assert_refused(args, 2, parts);
        assert_eq!(stderr(&run(args)), format!("{line}\n"), "one line in all");
    }
    let help = run(&["generate", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(common::stdout(&help).contains("Usage: tritbench generate") && help.stderr.is_empty());
}

/// A clock that is set while a run goes on must not change what is measured: durations come from `Instant`, which no
/// one can set. The other clock names runs and saved files, and tells whether a file was written to.
#[test]
fn durations_never_come_from_a_clock_that_can_be_set() {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf();
    let mut files = Vec::new();
    ["harness/src", "harness/model/src", "kernels/src"]
        .iter()
        .for_each(|source| sources(&crates.join(source), &mut files));
    assert!(files.len() > 100, "{}", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        let name = file.strip_prefix(&crates).expect("inside").to_string_lossy().replace('\\', "/");
        // Ages of files, which are what the file system says.
        let files = ["harness/src/files.rs", "harness/src/gate/builds.rs", "harness/model/src/mapped.rs"];
        for (clock, allowed) in [("SystemTime", &files[..]), ("Timestamp::now", &["harness/src/cmd/"])] {
            let is_allowed = allowed.iter().any(|start| name.starts_with(start));
            assert!(!text.contains(clock) || is_allowed, "{name} reads {clock}");
        }
    }
}

/// Whoever comes second replaces, or says that the name is taken; what is there is whole either way.
#[test]
fn baselines_saved_at_once_leave_one_that_is_whole() {
    let dir = TempDir::new().expect("a folder");
    let scenario = common::scenario_with_rounds(dir.path(), 4).display().to_string();
    let store = dir.path().join("baselines").display().to_string();
    let save = || {
        let mut command = Command::new(harness_path());
        command.args(["baseline", "save", "one", "--replace", "--scenario", &scenario, "--kernels", "scalar-i8"]);
        command.args(["--dir", &store]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
    };
    for child in [(); 3].map(|()| save()) {
        let output = child.wait_with_output().expect("it ends");
        match output.status.code() {
            Some(0) => {}
            Some(2) => drop(error_line(&stderr(&output), &["one"])),
            other => panic!("{other:?}: {}", stderr(&output)),
        }
    }
    let shown = json(&["baseline", "show", "one", "--dir", &store, "--json"]);
    assert_eq!(shown["name"], "one");
    let left: Vec<_> = std::fs::read_dir(&store).expect("there").map(|e| e.expect("readable").file_name()).collect();
    assert_eq!(left, ["one"]);
}

/// The built-in model's file with another name in it, so that nobody knows its hash.
#[test]
fn what_is_odd_about_a_model_is_said_before_the_run_and_kept() {
    let dir = TempDir::new().expect("a folder");
    let mut bytes = std::fs::read(common::scenarios().join("model/shakespeare-ternary.gguf")).expect("there");
    let name = b"shakespeare-ternary";
    let at = bytes.windows(name.len()).position(|w| w == name).expect("its general.name");
    bytes[at] = b'S';
    let model = dir.path().join("m.gguf").display().to_string();
    std::fs::write(&model, bytes).expect("written");
    let inspected = run(&["model", "inspect", &model]);
    assert!(common::stdout(&inspected).contains("64/16 layout"), "{}", common::stdout(&inspected));
    let scenario = common::scenario_with_rounds(dir.path(), 4).display().to_string();
    let out = dir.path().join("run");
    let args = ["compare", "--scenario", &scenario, "--kernels", "scalar-i8", "--model", &model, "--out"];
    let output = run(&[&args[..], &[&out.display().to_string()]].concat());
    let said = stderr(&output);
    let (warning, work) = (said.find("warning: I2_S codes"), said.find("microbenchmarks"));
    assert!(warning.is_some() && warning < work, "{said}");
    let receipt = common::read_json(&out.join("receipt.json"));
    assert!(
        receipt["model"]["warnings"][0].as_str().is_some_and(|text| text.contains("64/16")),
        "{}",
        receipt["model"]
    );
    let findings = receipt["findings"].as_array().expect("a list");
    assert!(findings.iter().any(|f| f["evidence"] == "/model/warnings"), "{findings:?}");
    let page = std::fs::read_to_string(out.join("report.html")).expect("there");
    // The page escapes slashes.
    assert!(page.contains("I2_S codes are read in the"));
}
