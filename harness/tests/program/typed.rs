//! Text, names, numbers and lists as people type them: leading dashes, spaces after commas, other case.

use crate::common::*;
use serde_json::Value;

fn generate(more: &[&str]) -> Value {
    let few = if more.contains(&"--max-tokens") { &[][..] } else { &["--max-tokens", "2"] };
    json(&[&["generate", "--json", "--kernel", "scalar-i8"], few, more].concat()[..])
}

/// A text is taken as it is, whatever it begins with.
#[test]
fn texts_may_begin_with_dashes() {
    for prompt in ["-- hello", "-5", "--", "- a list", "--max-tokens", " spaces "] {
        let typed = generate(&["--prompt", prompt]);
        let joined = generate(&[&format!("--prompt={prompt}")]);
        assert_eq!(typed["prompt_ids"], joined["prompt_ids"], "{prompt:?}");
        assert!(list(&typed, "prompt_ids").len() < 12, "{prompt:?}");
    }
    let long = ["--prompt", "ROMEO:", "--max-tokens", "20"];
    let plain = generate(&long);
    let said = text(&plain, "text");
    assert!(said.len() > 10, "{said:?}");
    for stop in ["-", "--", "-- hello", "--json"] {
        // The stop string is not in the text, so it changes nothing but must be taken.
        assert!(!said.contains(stop), "take another stop string");
        assert_eq!(generate(&[&long[..], &["--stop", stop]].concat())["text"], said);
    }
}

#[test]
fn lists_may_have_spaces_and_any_case() {
    let asked = ["--prompt", "ROMEO:", "--max-tokens", "8"];
    let id = generate(&asked)["token_ids"][2].to_string();
    let stopped = generate(&[&asked[..], &["--stop-id", &format!("1023, {id}")]].concat());
    assert_eq!(stopped["stop_reason"], "stop_id");
    let verified = json(&["verify", "--kernels", "SCALAR-I8, scalar", "--json"]);
    let kernels: Vec<&str> = list(&verified, "kernels").iter().map(|row| text(row, "id")).collect();
    assert_eq!(kernels, ["scalar", "scalar-i8"]);
    let listed = |features: &str| json(&["list", "KERNELS", "--json", "--cpu-features", features]);
    assert_eq!(listed("AVX2, FMA"), listed("avx2,fma"));
    // The environment's list is read by the same rule.
    let masked = |features: &str| {
        parsed(&command("list kernels --json").env("TRITBENCH_CPU_FEATURES", features).output().expect("it ran"))
    };
    assert_eq!(masked("AVX2, FMA"), masked("avx2,fma"));
}

#[test]
fn names_may_have_any_case() {
    for model in ["builtin", "BUILTIN", " Builtin"] {
        let made = generate(&["--prompt", "a", "--model", model, "--head", "F16", "--pre", "GPT-2"]);
        assert_eq!(made["model"]["path"], "builtin");
    }
    let auto = json("generate --json --prompt a --max-tokens 1 --kernel Scalar-I8");
    assert_eq!(auto["kernel"]["requested"], "scalar-i8");
    if cfg!(target_os = "linux") {
        refused("model synth --shape TINY --out /proc/x.gguf", 2, &["/proc"]);
    }
    // Refused for its residency or its kernels, not for the spelling of what is right.
    refused(&["micro", "--op", "GEMV", "--shape", "16 X 256", "--residency", "DRAM, L3"], 2, &["l3"]);
    refused("micro --op Gemm --shape 16×256×8 --kernels SCALAR", 2, &["has gemm"]);
    refused("micro --scenario TIMEOUT", 2, &["[micro]"]);
    let output = run("count --kernel Scalar-I8 --op GEMV --shape 16X256 --json");
    // Where instructions cannot be counted, that is what is refused.
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", stderr(&output));
}

/// A file wins over a built-in name that is spelled in another case.
#[test]
fn a_file_may_be_called_as_a_builtin_is() {
    let folder = Folder::new();
    for (name, args, part) in [
        ("BUILTIN", "generate --prompt a --model BUILTIN", "a web page"),
        ("QUICK", "micro --scenario QUICK", "QUICK: line 1"),
    ] {
        folder.write(name, "<html>");
        let output = start(folder.path(), args).wait_with_output().expect("it ran");
        ends_with_error(&output, 2, &[part]);
    }
}
