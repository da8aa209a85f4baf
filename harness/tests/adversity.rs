//! Runs under bad conditions: no cache folder, no room on the disk, folders that take no file, a model that changes. And runs that
//! must give the same again.

mod common;

use common::{assert_refused, error_line, harness, harness_path, json, parsed, run, stderr};
use std::process::Command;
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
        (100, "model convert builtin --packing vnni16x16 --out out.trit"),
        (100, "model synth --shape tiny --out out.gguf"),
        (8, "compare --quick --kernels scalar-i8 --out run"),
        (1, "report RECEIPT --out run"),
    ] {
        let dir = TempDir::new().expect("a folder");
        let receipt = common::scenarios().join("../reports/example/receipt.json").display().to_string();
        let script = format!("ulimit -f {kib}; exec \"$0\" {}", args.replace("RECEIPT", &receipt));
        // `ulimit -f` counts blocks of 512 bytes in POSIX shells and of 1024 in others: far below what is written in both.
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
        &["model", "convert", "builtin", "--packing", "qk256", "--out", "/proc/x.trit"],
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
        let exact = kernel.contains("i8") || kernel.contains("vnni") || kernel.contains("lut16");
        if exact {
            for threads in ["1", "2", "3"] {
                assert_eq!(text(kernel, threads), first, "{kernel} with {threads} threads");
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
        (&["generate"][..], &["--prompt <T>", "see harness generate --help"][..]),
        (&["generate", "--promt", "x"], &["'--promt'", "'--prompt'", "see harness generate --help"]),
        (&["compare", "--kernels"], &["--kernels", "see harness compare --help"]),
        (&["kompare"], &["'kompare'", "'compare'", "see harness --help"]),
        (&["generate", "--prompt", "x", "--seed", "many"], &["'many'", "--seed", "see harness generate --help"]),
    ] {
        let line = assert_refused(args, 2, parts);
        assert_eq!(stderr(&run(args)), format!("{line}\n"), "one line in all");
    }
    let help = run(&["generate", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(common::stdout(&help).contains("Usage: harness generate") && help.stderr.is_empty());
}
