//! Flags, texts, folders and scenarios that cannot work: one line that names the thing and what to do, the documented
//! exit code.

mod common;

use common::{SMALL_SCENARIO, assert_refused, harness, json, parsed, run, stderr};
use std::path::Path;
use tempfile::TempDir;

fn generate<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["generate", "--prompt", "ROMEO:", "--max-tokens", "2"], more].concat()
}

#[test]
fn unknown_kernels_list_the_known_ones() {
    for args in [
        generate(&["--kernel", "avx9-magic"]),
        vec!["perplexity", "--quick", "--kernel", "avx9-magic"],
        vec!["verify", "--kernels", "scalar,avx9-magic"],
        vec!["compare", "--kernels", "avx9-magic"],
        vec!["micro", "--kernels", "avx9-magic"],
    ] {
        assert_refused(&args, 2, &["\"avx9-magic\"", "known: scalar, "]);
    }
    assert_refused(&generate(&["--kernel", "two\nlines\u{1b}[2J"]), 2, &["two\\nlines\\u{1b}"]);
}

#[test]
fn a_kernel_that_this_cpu_lacks_is_exit_5() {
    let dir = TempDir::new().expect("a folder");
    let out = dir.path().join("run").display().to_string();
    for args in [
        generate(&["--kernel", "avx2-i8", "--cpu-features", "none"]),
        vec!["perplexity", "--quick", "--kernel", "avx2-i8", "--cpu-features", "none"],
        vec!["verify", "--kernels", "avx2-i8", "--cpu-features", "none"],
        vec!["compare", "--quick", "--kernels", "scalar,avx2-i8", "--cpu-features", "none", "--out", &out],
    ] {
        // On other architectures the kernel does not exist at all.
        if cfg!(target_arch = "x86_64") {
            assert_refused(&args, 5, &["avx2-i8", "avx2", "list kernels"]);
        }
    }
    assert!(!Path::new(&out).exists());
}

#[test]
fn prompts_and_lengths() {
    assert_refused(&["generate", "--prompt", ""], 2, &["prompt", "--prompt"]);
    assert_refused(&["generate", "--prompt", "a", "--max-tokens", "512"], 2, &["context of 512", "at most 511"]);
    let most = usize::MAX.to_string();
    assert_refused(&["generate", "--prompt", "a", "--max-tokens", &most], 2, &["context of 512"]);
    // One token a word, and no begin-of-text.
    let long = |words: usize| " the".repeat(words);
    let refused = |words: usize, most: &str, parts: &[&str]| {
        let line = assert_refused(&["generate", "--prompt", &long(words), "--max-tokens", most], 2, parts);
        assert!(line.contains("context of 512"), "{line}");
        line
    };
    refused(600, "4", &["prompt of 600 tokens", "--max-tokens 4", "shorten the prompt by 92 tokens"]);
    refused(510, "4", &["shorten the prompt by 2 tokens, or ask for at most 2"]);
    let line = refused(600, "0", &["shorten the prompt by 88 tokens"]);
    assert!(!line.contains("at most") && !line.contains("--max-tokens"), "{line}");
    let none = json(&["generate", "--prompt", "a", "--max-tokens", "0", "--json"]);
    assert_eq!((&none["stop_reason"], &none["text"]), (&"max_tokens".into(), &"".into()));
}

#[test]
fn sampling_and_stops() {
    for (flag, value) in [
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--top-p", "0"),
        ("--top-p", "1.5"),
        ("--top-p", "-0.1"),
        ("--top-p", "nan"),
        ("--timeout-s", "-1"),
        ("--timeout-s", "nan"),
        ("--timeout-s", "1e30"),
    ] {
        assert_refused(&generate(&[flag, value]), 2, &[flag]);
    }
    assert_refused(&generate(&["--stop-id", "1024"]), 2, &["--stop-id 1024", "0 to 1023"]);
    assert_refused(&generate(&["--stop", ""]), 2, &["--stop"]);
    assert_refused(&generate(&["--stop-id", "1,,2"]), 2, &["--stop-id", "an item is empty"]);
    assert_refused(&generate(&["--pre", "llama-9"]), 2, &["--pre llama-9", "gpt-2"]);
    // clap adds its usage below the line.
    for args in [
        generate(&["--greedy", "--temperature", "1"]),
        generate(&["--top-k", "many"]),
        generate(&["--stop-id", "-4"]),
        generate(&["--no-such-flag"]),
        vec!["generate"],
        vec!["no-such-command"],
        vec![],
    ] {
        assert_eq!(run(&args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_time_limit_is_no_error() {
    let output = run(&generate(&["--timeout-s", "0", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = parsed(&output);
    assert_eq!(report["stop_reason"], "timeout");
    assert_eq!(report["token_ids"], serde_json::json!([]));
    assert!(report["time_to_first_token_ms"].is_null());
}

#[test]
fn threads_pins_and_features() {
    for threads in ["0", "1025"] {
        assert_refused(&generate(&["--threads", threads]), 2, &[&format!("--threads {threads}"), "1 and 1024"]);
    }
    // More threads than CPUs would wait for each other, pinned or not.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let (many, most) = (format!("--threads {}", cpus + 1), format!("--threads {cpus}"));
    let threads = (cpus + 1).to_string();
    if cpus < 1024 {
        for args in [
            generate(&["--threads", &threads]),
            generate(&["--threads", &threads, "--pin"]),
            vec!["compare", "--threads", &threads],
            vec!["micro", "--threads", &threads],
            vec!["verify", "--threads", &threads],
            vec!["perplexity", "--threads", &threads],
            vec!["limits", "--threads", &threads],
            vec!["model", "inspect", "builtin", "--threads", &threads],
            vec!["gate", "--against", "/no/such/program", "--threads", &threads],
        ] {
            assert_refused(&args, 2, &[&many, &most]);
        }
    }
    assert_refused(&generate(&["--cpu-features", "avx2,"]), 2, &["--cpu-features", "known:"]);
    assert_refused(&generate(&["--cpu-features", "mmx9"]), 2, &["--cpu-features", "mmx9", "known:"]);
}

#[test]
fn matrices() {
    let dir = TempDir::new().expect("a folder");
    let out = dir.path().join("run").display().to_string();
    let refused = |args: &[&str], parts: &[&str]| {
        for command in ["micro", "compare"] {
            assert_refused(&[&[command, "--out", &out], args].concat(), 2, parts);
        }
    };
    refused(&["--kernels", "scalar,,scalar-i8"], &["--kernels", "an item is empty"]);
    refused(&["--shape", "16x256", "--residency", "llc,"], &["--residency", "an item is empty"]);
    refused(&["--shape", "0x2560"], &["--shape 0x2560"]);
    refused(&["--shape", "2560"], &["--shape 2560", "rows x columns"]);
    refused(&["--shape", "65536x8192x1024"], &["--shape 65536x8192x1024", "549755813888 products"]);
    refused(&["--shape", "16x256", "--op", "gemm"], &["--shape 16x256", "tokens"]);
    refused(&["--shape", "16x256x8", "--op", "dequantize"], &["--shape 16x256x8", "dequantize"]);
    refused(&["--shape", "16x256", "--residency", "l3"], &["--residency \"l3\"", "l2, llc"]);
    refused(&["--op", "dequantize", "--residency", "dram"], &["--residency dram", "take l2 or llc"]);
    refused(&["--rounds", "0"], &["--rounds 0"]);
    refused(&["--shape", "16x256x8", "--kernels", "scalar"], &["no kernel of scalar has gemm"]);
    // No core's second-level cache holds 128 MiB twice.
    if cfg!(target_arch = "x86_64") {
        refused(&["--shape", "65536x8192", "--residency", "l2"], &["--residency l2", "65536x8192"]);
    }
    refused(&["--scenario", "timeout", "--shape", "16x256"], &["timeout", "[micro]"]);
    assert!(!Path::new(&out).exists(), "nothing was measured");
}

#[test]
fn texts_for_perplexity() {
    let dir = TempDir::new().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    };
    let (short, empty, latin) = (file("short", b"a few words"), file("empty", b""), file("latin", b"caf\xe9 au lait"));
    let refused = |args: &[&str], parts: &[&str]| assert_refused(&[&["perplexity"], args].concat(), 2, parts);
    refused(&["--text", &short], &[&short, "129 tokens", "--window"]);
    refused(&["--text", &empty], &[&empty, "has 0"]);
    refused(&["--text", &latin], &[&latin, "UTF-8", "3"]);
    refused(&["--text", &dir.path().display().to_string()], &["not a regular file"]);
    refused(&["--text", "/no/such/text"], &["/no/such/text"]);
    refused(&["--window", "0"], &["--window 0"]);
    refused(&["--windows", "0"], &["--windows 0"]);
    refused(&["--window", "513"], &["--window 513", "512"]);
    refused(&["--window", &usize::MAX.to_string()], &["--window"]);
    refused(&["--lut", "seed", "--kernel", "scalar-i8"], &["--lut seed", "scalar-i8", "W2A32"]);
}

#[test]
fn places_that_cannot_be_written() {
    let dir = TempDir::new().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").expect("written");
    let file = file.display().to_string();
    let below = format!("{file}/below");
    let folder = dir.path().display().to_string();
    for out in [&file, &below] {
        assert_refused(&["compare", "--quick", "--out", out], 2, &[out, "--out"]);
        assert_refused(&["micro", "--quick", "--out", out], 2, &[out, "--out"]);
    }
    if cfg!(target_os = "linux") {
        assert_refused(&["compare", "--quick", "--out", "/proc/none/run"], 2, &["/proc/none/run", "--out"]);
        assert_refused(&["model", "synth", "--shape", "tiny", "--out", "/proc/x.gguf"], 2, &["/proc"]);
        assert_refused(&generate(&["--receipt", "/proc/none/x.json"]), 2, &["/proc/none"]);
    }
    assert_refused(&generate(&["--receipt", &below]), 2, &[&file]);
    assert_refused(&generate(&["--receipt", &folder]), 2, &[&folder, "folder"]);
    assert_refused(&["model", "synth", "--shape", "tiny", "--out", &file], 2, &[&file, "--force"]);
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "mine");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing else was left");
}

#[test]
fn other_arguments() {
    assert_refused(&["model", "synth", "--shape", "7b"], 2, &["\"7b\"", "2b-4t", "tiny"]);
    assert_refused(&["model", "synth", "--shape", "tiny", "--layers", "0"], 2, &["--layers 0"]);
    assert_refused(&generate(&["--model", "synth:7b"]), 2, &["\"7b\"", "tiny"]);
    assert_refused(&["report", "/no/such/run"], 2, &["/no/such/run", "run folder"]);
    assert_refused(&["micro", "--scenario", "timeout"], 2, &["timeout", "[micro]"]);
}

#[test]
fn receipts_that_are_none() {
    let dir = TempDir::new().expect("a folder");
    let refused = |text: &str, parts: &[&str]| {
        let path = dir.path().join("receipt.json");
        std::fs::write(&path, text).expect("written");
        let path = path.display().to_string();
        assert_refused(&["report", &path], 2, &[&[path.as_str()], parts].concat());
    };
    refused("", &["JSON"]);
    refused("{\"a\": 1}", &["schema_version"]);
    refused("{\"schema_version\": \"9.0.0\"}", &["9.0.0"]);
    refused("{\"schema_version\": \"1.0.0\"}", &["not a receipt"]);
    refused("{\"schema_version\": \"1.0.0\", \"status\"", &["JSON", "line 1"]);
}

#[test]
fn scenarios() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("s.toml");
    let name = path.display().to_string();
    let refused = |text: String, parts: &[&str]| {
        std::fs::write(&path, text).expect("written");
        assert_refused(&["compare", "--scenario", &name], 2, &[&[name.as_str()], parts].concat())
    };
    let line = |needle: &str| {
        let at = SMALL_SCENARIO.lines().position(|l| l.contains(needle)).expect("there");
        format!("line {}:", at + 1)
    };
    let change = |from: &str, to: &str| SMALL_SCENARIO.replacen(from, to, 1);
    refused(change("rounds = 4", "round = 4"), &[&line("rounds = 4"), "`round`"]);
    refused(change("[micro]", "[macro]"), &[&line("[micro]"), "`macro`"]);
    refused(change("\"scalar-i8\"", "\"avx9\""), &[&line("kernels"), "kernels", "\"avx9\"", "known:"]);
    refused(change("64x256", "64by256"), &[&line("gemv"), "gemv", "64by256"]);
    refused(change("64x256", "0x256"), &[&line("gemv"), "gemv", "0x256"]);
    refused(change("64x256", "99999999x99999999"), &[&line("gemv"), "gemv"]);
    refused(change("rounds = 4", "rounds = \"four\""), &[&line("rounds = 4"), "rounds"]);
    refused(change("rounds = 4", "rounds = 0"), &[&line("rounds = 4"), "rounds"]);
    refused(change("rounds = 4", "rounds = -1"), &[&line("rounds = 4"), "rounds"]);
    refused(change("max_tokens = 4", "max_tokens = 0"), &[&line("max_tokens"), "max_tokens"]);
    refused(change("\"cache\"", "\"disk\""), &[&line("residency"), "disk"]);
    refused(change("[\"cache\"]", "[]"), &[&line("residency"), "residency"]);
    refused(change("[\"64x256\"]", "[\"64x256\""), &["line "]);
    refused("name = \"only\"\n".into(), &["summary"]);
    refused(String::new(), &["name"]);
    std::fs::write(&path, change("model = \"builtin\"", "model = \"/no/such.gguf\"")).expect("written");
    let out = dir.path().join("run").display().to_string();
    assert_refused(&["compare", "--scenario", &name, "--out", &out], 2, &["/no/such.gguf"]);
    assert_refused(&["compare", "--scenario", "quik"], 2, &["\"quik\"", "quick, seed-tables"]);
    assert_refused(&["compare", "--scenario", &dir.path().display().to_string()], 2, &["scenario"]);
    std::fs::write(&path, b"name = \"\xff\"").expect("written");
    assert_refused(&["compare", "--scenario", &name], 2, &[&name]);
}

/// A file system of 1 MiB in a mount namespace of its own; skipped where that is not permitted.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_before_measuring() {
    let dir = TempDir::new().expect("a folder");
    let script = "mount -t tmpfs -o size=1m none \"$1\" && shift && exec \"$@\"";
    let unshared = |command: &[&str]| {
        let mut all = std::process::Command::new("unshare");
        all.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(dir.path()).args(command);
        all.output()
    };
    if !unshared(&["true"]).is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: no mount namespaces here");
        return;
    }
    let program = common::harness_path().display().to_string();
    let out = dir.path().join("run").display().to_string();
    let output = unshared(&[&program, "compare", "--quick", "--out", &out]).expect("it ran");
    assert_eq!(output.status.code(), Some(2));
    common::error_line(&stderr(&output), &[&out, "No space", "--out"]);
    assert!(!stderr(&output).contains("verifying"), "found out before measuring");
    let model = dir.path().join("m.gguf").display().to_string();
    let output = unshared(&[&program, "model", "synth", "--shape", "tiny", "--out", &model]).expect("it ran");
    assert_eq!(output.status.code(), Some(2));
    common::error_line(&stderr(&output), &["free"]);
}

#[test]
fn errors_can_be_coloured() {
    let colored = harness().args(["--color", "always", "report", "/none"]).output().expect("it ran");
    assert!(stderr(&colored).starts_with("\u{1b}[1;31merror:"));
    let plain = harness().args(["report", "/none"]).output().expect("it ran");
    assert!(stderr(&plain).starts_with("error:"));
}
