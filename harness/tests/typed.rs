//! Text, names, numbers and lists as people type them: leading dashes, spaces after commas, other case.

mod common;

use common::{assert_refused, harness, json, parsed, run, stderr};
use tempfile::TempDir;

fn generate(more: &[&str]) -> serde_json::Value {
    let few = if more.contains(&"--max-tokens") { &[][..] } else { &["--max-tokens", "2"] };
    json(&[&["generate", "--json", "--kernel", "scalar-i8"], few, more].concat())
}

/// A text is taken as it is, whatever it begins with.
#[test]
fn texts_may_begin_with_dashes() {
    for prompt in ["-- hello", "-5", "--", "- a list", "--max-tokens", " spaces "] {
        let typed = generate(&["--prompt", prompt]);
        let joined = generate(&[&format!("--prompt={prompt}")]);
        assert_eq!(typed["prompt_ids"], joined["prompt_ids"], "{prompt:?}");
        assert!(typed["prompt_ids"].as_array().expect("ids").len() < 12, "{prompt:?}");
    }
    let text = generate(&["--prompt", "ROMEO:", "--max-tokens", "20"])["text"].as_str().expect("text").to_owned();
    assert!(text.len() > 10, "{text:?}");
    for stop in ["-", "--", "-- hello", "--json"] {
        // The stop string is not in the text, so it changes nothing but must be taken.
        assert!(!text.contains(stop), "take another stop string");
        assert_eq!(generate(&["--prompt", "ROMEO:", "--max-tokens", "20", "--stop", stop])["text"], text);
    }
}

#[test]
fn lists_may_have_spaces_and_any_case() {
    let asked = generate(&["--prompt", "ROMEO:", "--max-tokens", "8"]);
    let ids: Vec<u64> = asked["token_ids"].as_array().expect("ids").iter().filter_map(|id| id.as_u64()).collect();
    let stopped = generate(&["--prompt", "ROMEO:", "--max-tokens", "8", "--stop-id", &format!("1023, {}", ids[2])]);
    assert_eq!(stopped["stop_reason"], "stop_id");
    let few = ["--kernels", "SCALAR-I8, scalar", "--json"];
    let verified = json(&[&["verify"][..], &few].concat());
    let kernels: Vec<&str> =
        verified["kernels"].as_array().expect("rows").iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(kernels, ["scalar", "scalar-i8"]);
    let listed = |features: &str| json(&["list", "KERNELS", "--json", "--cpu-features", features]);
    assert_eq!(listed("AVX2, FMA"), listed("avx2,fma"));
    // The environment's list is read by the same rule.
    let masked = |list: &str| {
        let output = harness().args(["list", "kernels", "--json"]).env("TRITBENCH_CPU_FEATURES", list).output();
        parsed(&output.expect("it ran"))
    };
    assert_eq!(masked("AVX2, FMA"), masked("avx2,fma"));
}

#[test]
fn names_may_have_any_case() {
    for model in ["builtin", "BUILTIN", " Builtin"] {
        let made = generate(&["--prompt", "a", "--model", model, "--head", "F16", "--pre", "GPT-2"]);
        assert_eq!(made["model"]["path"], "builtin");
    }
    let auto = json(&["generate", "--json", "--prompt", "a", "--max-tokens", "1", "--kernel", "Scalar-I8"]);
    assert_eq!(auto["kernel"]["requested"], "scalar-i8");
    let shape = ["model", "synth", "--shape", "TINY", "--out", "/proc/x.gguf"];
    if cfg!(target_os = "linux") {
        assert_refused(&shape, 2, &["/proc"]);
    }
    // Refused for its residency or its kernels, not for the spelling of what is right.
    for (wrong, args) in [
        ("l3", vec!["--op", "GEMV", "--shape", "16 X 256", "--residency", "DRAM, L3"]),
        ("has gemm", vec!["--op", "Gemm", "--shape", "16×256×8", "--kernels", "SCALAR"]),
        ("[micro]", vec!["--scenario", "TIMEOUT"]),
    ] {
        assert_refused(&[&["micro"][..], &args].concat(), 2, &[wrong]);
    }
    let output = run(&["count", "--kernel", "Scalar-I8", "--op", "GEMV", "--shape", "16X256", "--json"]);
    // Where instructions cannot be counted, that is what is refused.
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", stderr(&output));
}

/// A file wins over a built-in name that is spelled in another case.
#[test]
fn a_file_may_be_called_as_a_builtin_is() {
    let dir = TempDir::new().expect("a folder");
    for name in ["BUILTIN", "QUICK"] {
        std::fs::write(dir.path().join(name), "<html>").expect("written");
    }
    let refused = |args: &[&str], part: &str| {
        let output = harness().args(args).current_dir(dir.path()).output().expect("it ran");
        assert_eq!(output.status.code(), Some(2));
        common::error_line(&stderr(&output), &[part]);
    };
    refused(&["generate", "--prompt", "a", "--model", "BUILTIN"], "a web page");
    refused(&["micro", "--scenario", "QUICK"], "QUICK: line 1");
}
