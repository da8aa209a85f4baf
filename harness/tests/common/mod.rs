//! What the integration tests share: running the program, and its fixtures.
#![allow(dead_code)] // each test file uses its part

pub mod gguf;
#[cfg(unix)]
pub mod repository;

use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The program under test.
pub fn harness() -> Command {
    let mut command = Command::cargo_bin("tritbench").expect("cargo built it");
    command.env_remove("NO_COLOR").env_remove("TRITBENCH_CACHE");
    command
}

/// Path of the program, for tests that need a child to send signals to.
pub fn harness_path() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("tritbench").to_path_buf()
}

/// Runs with `args`, whatever the outcome.
pub fn run<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    harness().args(args).output().expect("the program starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8 on stdout")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8 on stderr")
}

/// Runs, expects exit 0, parses stdout as JSON.
pub fn json<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Value {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    parsed(&output)
}

/// stdout as JSON.
pub fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e} in {:?}", stdout(output)))
}

/// A JSON file.
pub fn read_json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Ids of the kernels that run on this CPU.
pub fn available_kernels() -> Vec<String> {
    let list = json(&["list", "kernels", "--json"]);
    let kernels = list["kernels"].as_array().expect("an array").iter();
    kernels.filter(|k| k["available"] == true).map(|k| k["id"].as_str().expect("an id").to_owned()).collect()
}

/// The repository's `scenarios` folder.
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// A scenario that takes a second: for tests of what surrounds the measuring.
pub const SMALL_SCENARIO: &str = r#"
name = "small"
summary = "s"
analysis = "a"
kernels = ["scalar", "scalar-i8"]
model = "builtin"
[micro]
rounds = 4
epoch_us = 200
residency = ["cache"]
gemv = ["64x256"]
dequantize = ["1x256"]
[generate]
prompt = "ROMEO:"
max_tokens = 4
rounds = 2
"#;

/// Writes [`SMALL_SCENARIO`] with more `rounds`: something to interrupt.
pub fn scenario_with_rounds(folder: &Path, rounds: usize) -> PathBuf {
    let path = folder.join("small.toml");
    let text = SMALL_SCENARIO.replace("rounds = 4", &format!("rounds = {rounds}"));
    std::fs::write(&path, text).expect("written");
    path
}

/// Exit code 2 (or `code`), nothing on stdout, and one `error:` line that has all `parts`. Returns the line.
pub fn assert_refused<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(args: &[S], code: i32, parts: &[&str]) -> String {
    let output = run(args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}: {}", stdout(&output));
    error_line(&text, parts)
}

/// The one `error:` line of a stderr, which must be the last line and have all `parts`.
pub fn error_line(text: &str, parts: &[&str]) -> String {
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert_eq!(text.lines().last(), Some(errors[0]), "nothing after the error in {text}");
    assert!(!text.contains("panicked"), "{text}");
    for part in parts {
        assert!(errors[0].contains(part), "{part:?} is not in {:?}", errors[0]);
    }
    errors[0].to_owned()
}

/// Edits one number of every kind in a receipt (the second of a list, where there is one, so that an index matters),
/// asks `receipt verify` about each, and expects exit 1 and the name of the part that holds it. Returns the kinds:
/// pointers with `*` for an index.
pub fn edits_are_named(receipt: &Path) -> std::collections::BTreeSet<String> {
    let value = read_json(receipt);
    let mut all = Vec::new();
    numbers(&value, "", &mut all);
    let mut kinds = std::collections::BTreeMap::new();
    for pointer in all {
        let kind: Vec<&str> =
            pointer.split('/').map(|part| if part.parse::<usize>().is_ok() { "*" } else { part }).collect();
        let first_two: &mut Vec<String> = kinds.entry(kind.join("/")).or_default();
        if first_two.len() < 2 {
            first_two.push(pointer);
        }
    }
    let edited = receipt.with_file_name("edited.json");
    for pointer in kinds.values().filter_map(|pointers| pointers.last()) {
        let mut copy = value.clone();
        let number = copy.pointer_mut(pointer).expect("listed");
        *number = number.as_u64().map_or_else(
            || f64::from_bits(number.as_f64().expect("a number").to_bits() ^ 1).into(),
            |n| (n + 1).into(),
        );
        std::fs::write(&edited, copy.to_string()).expect("written");
        let output = run(&["receipt", "verify", &edited.display().to_string(), "--json"]);
        assert_eq!(output.status.code(), Some(1), "{pointer}: {}", stderr(&output));
        let field = parsed(&output)["problems"][0]["field"].as_str().expect("a name").to_owned();
        // A digest is not part of what it is made of: which of them was edited is known as far as its part.
        let digest = field.starts_with("/integrity") && pointer.starts_with(&field);
        assert!(digest || field == part_of(&value, pointer), "{pointer}: {field} is named");
        error_line(&stderr(&output), &[&field]);
    }
    kinds.into_keys().collect()
}

/// The part of a receipt that has a digest and holds `pointer`.
fn part_of(receipt: &Value, pointer: &str) -> String {
    let parts = receipt["integrity"]["parts"].as_array().expect("digests");
    let names = parts.iter().filter_map(|part| part["part"].as_str());
    let holds = names.filter(|part| !part.is_empty() && pointer.starts_with(&format!("{part}/")));
    holds.max_by_key(|part| part.len()).unwrap_or("/").to_owned()
}

/// Pointers of all numbers.
fn numbers(value: &Value, pointer: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| {
            numbers(v, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), all);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| numbers(v, &format!("{pointer}/{i}"), all)),
        Value::Number(_) => all.push(pointer.into()),
        _ => {}
    }
}

/// A scenario that is gated in seconds: two kernels, one small matrix.
pub const TINY: &str = concat!(
    "name = \"tiny\"\nsummary = \"s\"\nanalysis = \"a\"\nkernels = [\"scalar\", \"scalar-i8\"]\n",
    "[micro]\nrounds = 50\nresidency = [\"cache\"]\ngemv = [\"64x256\"]\n",
);

/// Exit codes of a gate that came to a verdict about times.
pub const VERDICTS: [i32; 4] = [0, 1, 3, 4];

/// [`TINY`] as a file.
pub fn tiny_scenario(dir: &tempfile::TempDir) -> String {
    let path = dir.path().join("tiny.toml");
    std::fs::write(&path, TINY).expect("written");
    path.display().to_string()
}
