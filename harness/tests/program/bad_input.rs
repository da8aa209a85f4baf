//! Flags, texts, folders and scenarios that cannot work: one line that names the thing and what to do, the documented
//! exit code.

use crate::common::*;

fn generate(more: &str) -> String {
    format!("generate --prompt ROMEO: --max-tokens 2 {more}")
}

#[test]
fn unknown_kernels_list_the_known_ones() {
    for args in [
        &*generate("--kernel avx9-magic"),
        "perplexity --quick --kernel avx9-magic",
        "verify --kernels scalar,avx9-magic",
        "compare --kernels avx9-magic",
        "micro --kernels avx9-magic",
    ] {
        refused(args, 2, &["\"avx9-magic\"", "known: scalar, "]);
    }
    refused(&["generate", "--prompt", "a", "--kernel", "two\nlines\u{1b}[2J"], 2, &["two\\nlines\\u{1b}"]);
}

#[test]
fn a_kernel_that_this_cpu_or_architecture_lacks_is_exit_5() {
    let folder = Folder::new();
    let out = folder.at("run");
    let [(own, feature), (theirs, architecture)] = if cfg!(target_arch = "aarch64") {
        [("neon-sdot-tile16", "asimddp"), ("avx2-i8", "x86_64")]
    } else {
        [("avx2-i8", "avx2"), ("neon-sdot-tile16", "aarch64")]
    };
    let commands = |kernel: &str| {
        [
            generate(&format!("--kernel {kernel}")),
            format!("perplexity --quick --kernel {kernel}"),
            format!("verify --kernels {kernel}"),
            format!("compare --quick --kernels scalar,{kernel} --out {out}"),
        ]
    };
    for args in commands(own).into_iter().filter(|_| cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))) {
        refused(&format!("{args} --cpu-features none"), 5, &[own, feature, "list kernels"]);
    }
    let prefill = generate(&format!("--prefill-kernel {theirs}"));
    let count = format!("count --kernels {theirs}");
    for args in commands(theirs).into_iter().chain([prefill, count]) {
        refused(&args, 5, &[&format!("kernel {theirs} is for {architecture}"), std::env::consts::ARCH, "list kernels"]);
    }
    let scenario = TINY.replace("\"scalar\"", &format!("\"{theirs}\""));
    let path = folder.write("theirs.toml", scenario);
    refused(&format!("compare --scenario {path} --out {out}"), 5, &["theirs.toml", "line ", theirs, architecture]);
    assert!(!folder.has("run"));
}

#[test]
fn prompts_and_lengths() {
    refused(&["generate", "--prompt", ""], 2, &["prompt", "--prompt"]);
    refused("generate --prompt a --max-tokens 512", 2, &["context of 512", "at most 511"]);
    refused(&format!("generate --prompt a --max-tokens {}", usize::MAX), 2, &["context of 512"]);
    // One token a word, and no begin-of-text.
    let long = |words: usize, most: &str, parts: &[&str]| {
        let args = ["generate", "--prompt", &" the".repeat(words), "--max-tokens", most];
        refused(&args, 2, &[parts, &["context of 512"]].concat())
    };
    long(600, "4", &["prompt of 600 tokens", "--max-tokens 4", "shorten the prompt by 92 tokens"]);
    long(510, "4", &["shorten the prompt by 2 tokens, or ask for at most 2"]);
    let line = long(600, "0", &["shorten the prompt by 88 tokens"]);
    assert!(!line.contains("at most") && !line.contains("--max-tokens"), "{line}");
    let none = json("generate --prompt a --max-tokens 0 --json");
    assert_eq!((&none["stop_reason"], &none["text"]), (&"max_tokens".into(), &"".into()));
}

#[test]
fn sampling_and_stops() {
    for flag_and_value in [
        "--temperature -1",
        "--temperature nan",
        "--temperature inf",
        "--top-p 0",
        "--top-p 1.5",
        "--top-p -0.1",
        "--top-p nan",
        "--timeout-s -1",
        "--timeout-s nan",
        "--timeout-s 1e30",
    ] {
        let flag = flag_and_value.split(' ').next().expect("a flag");
        refused(&generate(flag_and_value), 2, &[flag]);
    }
    refused(&generate("--stop-id 1024"), 2, &["--stop-id 1024", "0 to 1023"]);
    refused(&["generate", "--prompt", "a", "--stop", ""], 2, &["--stop"]);
    refused(&generate("--stop-id 1,,2"), 2, &["--stop-id", "an item is empty"]);
    refused(&generate("--pre llama-9"), 2, &["--pre llama-9", "gpt-2"]);
    for args in [
        &*generate("--greedy --temperature 1"),
        &*generate("--top-k many"),
        &*generate("--stop-id -4"),
        &*generate("--no-such-flag"),
        "no-such-command",
        "",
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args}");
    }
}

#[test]
fn a_time_limit_is_no_error() {
    let report = json(&generate("--timeout-s 0 --json"));
    assert_eq!((&report["stop_reason"], list(&report, "token_ids").len()), (&"timeout".into(), 0));
    assert!(report["time_to_first_token_ms"].is_null());
}

#[test]
fn threads_pins_and_features() {
    for threads in ["--threads 0", "--threads 1025"] {
        refused(&generate(threads), 2, &[threads, "1 and 1024"]);
    }
    // More threads than CPUs would wait for each other, pinned or not.
    let (many, most) = (format!("--threads {}", cpus() + 1), format!("--threads {}", cpus()));
    if cpus() < 1024 {
        for args in [
            &generate(""),
            &generate("--pin"),
            "compare",
            "micro",
            "verify",
            "perplexity",
            "limits",
            "model inspect builtin",
            "gate --against /no/such/program",
        ] {
            refused(&format!("{args} {many}"), 2, &[&many, &most]);
        }
    }
    refused(&generate("--cpu-features avx2,"), 2, &["--cpu-features", "known:"]);
    refused(&generate("--cpu-features mmx9"), 2, &["--cpu-features", "mmx9", "known:"]);
}

#[test]
fn matrices() {
    let folder = Folder::new();
    let out = folder.at("run");
    let mut cases = vec![
        ("--kernels scalar,,scalar-i8", &["--kernels", "an item is empty"][..]),
        ("--shape 16x256 --residency llc,", &["--residency", "an item is empty"]),
        ("--shape 0x2560", &["--shape 0x2560"]),
        ("--shape 2560", &["--shape 2560", "rows x columns"]),
        ("--shape 65536x8192x1024", &["--shape 65536x8192x1024", "549755813888 products"]),
        ("--shape 16x256 --op gemm", &["--shape 16x256", "tokens"]),
        ("--shape 16x256x8 --op dequantize", &["--shape 16x256x8", "dequantize"]),
        ("--shape 16x256 --residency l3", &["--residency \"l3\"", "l2, llc"]),
        ("--op dequantize --residency dram", &["--residency dram", "take l2 or llc"]),
        ("--rounds 0", &["--rounds 0"]),
        ("--shape 16x256x8 --kernels scalar", &["no kernel of scalar has gemm"]),
        ("--scenario timeout --shape 16x256", &["timeout", "[micro]"]),
    ];
    // No core's second-level cache holds 128 MiB twice.
    if cfg!(target_arch = "x86_64") {
        cases.push(("--shape 65536x8192 --residency l2", &["--residency l2", "65536x8192"]));
    }
    for (args, parts) in cases {
        refused(&format!("micro --out {out} {args}"), 2, parts);
        refused(&format!("compare --out {out} {args}"), 2, parts);
    }
    assert!(!folder.has("run"), "nothing was measured");
}

#[test]
fn texts_for_perplexity() {
    let folder = Folder::new();
    let short = folder.write("short", "a few words");
    let (empty, latin) = (folder.write("empty", ""), folder.write("latin", b"caf\xe9 au lait"));
    let any = folder.path().display().to_string();
    let many = format!("--window {}", usize::MAX);
    for (args, parts) in [
        (format!("--text {short}"), &[short.as_str(), "129 tokens", "--window"][..]),
        (format!("--text {empty}"), &[&empty, "has 0"]),
        (format!("--text {latin}"), &[&latin, "UTF-8", "3"]),
        (format!("--text {any}"), &["not a regular file"]),
        ("--text /no/such/text".into(), &["/no/such/text"]),
        ("--window 0".into(), &["--window 0"]),
        ("--windows 0".into(), &["--windows 0"]),
        ("--window 513".into(), &["--window 513", "512"]),
        (many, &["--window"]),
        ("--lut seed --kernel scalar-i8".into(), &["--lut seed", "scalar-i8", "W2A32"]),
    ] {
        refused(&format!("perplexity {args}"), 2, parts);
    }
}

#[test]
fn places_that_cannot_be_written() {
    let folder = Folder::new();
    let file = folder.write("file", "mine");
    let (below, any) = (format!("{file}/below"), folder.path().display().to_string());
    for (command, out) in [("compare", &file), ("compare", &below), ("micro", &file), ("micro", &below)] {
        refused(&format!("{command} --quick --out {out}"), 2, &[out, "--out"]);
    }
    // Nobody can write to /proc, root included.
    if cfg!(target_os = "linux") {
        refused("compare --quick --out /proc/none/run", 2, &["/proc/none/run", "--out"]);
        refused("model synth --shape tiny --out /proc/x.gguf", 2, &["/proc"]);
        refused(&generate("--receipt /proc/none/x.json"), 2, &["/proc/none"]);
        refused(&generate("--receipt /proc/x.json"), 2, &["/proc"]);
    }
    refused(&generate(&format!("--receipt {below}")), 2, &[&file]);
    refused(&generate(&format!("--receipt {any}")), 2, &[&any, "folder"]);
    refused(&format!("model synth --shape tiny --out {file}"), 2, &[&file, "--force"]);
    assert_eq!((folder.read("file"), folder.names("")), ("mine".into(), vec!["file".into()]), "nothing else was left");
}

#[test]
fn other_arguments() {
    refused("model synth --shape 7b", 2, &["\"7b\"", "2b-4t", "tiny"]);
    refused("model synth --shape tiny --layers 0", 2, &["--layers 0"]);
    refused(&generate("--model synth:7b"), 2, &["\"7b\"", "tiny"]);
    refused("micro --scenario timeout", 2, &["timeout", "[micro]"]);
}

/// Besides those of `tests/corpus/scenario`.
#[test]
fn scenarios() {
    let folder = Folder::new();
    let path = folder.at("s.toml");
    for (from, to, part) in [
        ("[micro]", "[macro]", "`macro`"),
        ("64x256", "64by256", "gemv: \"64by256\""),
        ("rounds = 4", "rounds = \"four\"", "rounds"),
        ("max_tokens = 4", "max_tokens = 0", "max_tokens"),
    ] {
        let at = SMALL.lines().position(|line| line.contains(from)).expect("there") + 1;
        folder.write("s.toml", SMALL.replacen(from, to, 1));
        refused(&format!("compare --scenario {path}"), 2, &[&path, &format!("line {at}:"), part]);
    }
    folder.write("s.toml", "name = \"only\"\n");
    refused(&format!("compare --scenario {path}"), 2, &[&path, "summary"]);
    folder.write("s.toml", SMALL.replace("\"builtin\"", "\"/no/such.gguf\""));
    refused(&format!("compare --scenario {path} --out {}", folder.at("run")), 2, &["/no/such.gguf"]);
    refused("compare --scenario quik", 2, &["\"quik\"", "quick, seed-tables"]);
    refused(&format!("compare --scenario {}", folder.path().display()), 2, &["scenario"]);
}

/// A file system of 1 MiB in a mount namespace of its own; skipped where that is not permitted.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_before_measuring() {
    let folder = Folder::new();
    let unshared = |command: &str| {
        let mut all = std::process::Command::new("unshare");
        let script = "mount -t tmpfs -o size=1m none \"$1\" && shift && exec \"$@\"";
        all.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(folder.path());
        all.args(command.words()).output()
    };
    if !unshared("true").is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: no mount namespaces here");
        return;
    }
    let (program, out, model) = (start_words().join(" "), folder.at("run"), folder.at("m.gguf"));
    let output = unshared(&format!("{program} compare --quick --out {out}")).expect("it ran");
    ends_with_error(&output, 2, &[&out, "No space", "--out"]);
    assert!(!stderr(&output).contains("verifying"), "found out before measuring");
    let output = unshared(&format!("{program} model synth --shape tiny --out {model}")).expect("it ran");
    ends_with_error(&output, 2, &["free"]);
}

#[test]
fn errors_can_be_coloured() {
    assert!(stderr(&run("--color always report /none")).starts_with("\u{1b}[1;31merror:"));
    assert!(stderr(&run("report /none")).starts_with("error:"));
}
