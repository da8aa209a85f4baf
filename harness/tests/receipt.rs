//! `receipt verify`, `export` and `schema` on what a real run wrote.

mod common;

use common::{assert_refused, json, parsed, read_json, run, scenario_with_rounds, stderr, stdout};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A small run in a folder of its own.
fn measured(folder: &Path) -> PathBuf {
    let scenario = scenario_with_rounds(folder, 9).display().to_string();
    let out = folder.join("run");
    let output = run(&["compare", "--scenario", &scenario, "--out", &out.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    out
}

fn edited(folder: &Path, receipt: &Value, pointer: &str, change: impl Fn(&Value) -> Value) -> String {
    let mut copy = receipt.clone();
    let field = copy.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
    *field = change(field);
    let path = folder.join("edited.json");
    std::fs::write(&path, serde_json::to_vec(&copy).expect("JSON")).expect("written");
    path.display().to_string()
}

#[test]
fn a_fresh_receipt_holds_and_an_edited_one_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let out = measured(dir.path());
    let found = json(&["receipt", "verify", &out.display().to_string(), "--json"]);
    assert!(found["verified"] == true && found["problems"] == serde_json::json!([]), "{found}");
    assert!(found["values_compared"].as_u64() > Some(300) && found["notes"] == serde_json::json!([]), "{found}");

    let receipt = read_json(&out.join("receipt.json"));
    let plus_one =
        |v: &Value| v.as_u64().map_or_else(|| (v.as_f64().expect("a number") * 1.5 + 1.0).into(), |n| (n + 1).into());
    for (pointer, part) in [
        ("/elapsed_s", "/"),
        ("/host/cpus", "/host"),
        ("/settings/seed", "/settings"),
        ("/verify/0/cases", "/verify/0"),
        ("/micro/0/seed", "/micro/0"),
        ("/micro/0/rounds/8/ns/1", "/micro/0"),
        ("/micro/0/rounds/0/cpu_ns/0", "/micro/0"),
        ("/rule/delta", "/rule"),
        ("/model/file_bytes", "/model"),
        ("/generation/kernels/1/rounds/1/decode_ns", "/generation/kernels/1"),
        ("/generation/kernels/0/token_ids/3", "/generation/kernels/0"),
    ] {
        let path = edited(dir.path(), &receipt, pointer, plus_one);
        let output = run(&["receipt", "verify", &path]);
        assert_eq!(output.status.code(), Some(1), "{pointer}");
        common::error_line(&stderr(&output), &[&path, &format!("{part}: not what was written")]);
        assert!(stdout(&output).starts_with(&format!("{part}: not what was written\n")), "{}", stdout(&output));
        let output = run(&["receipt", "verify", &path, "--json"]);
        assert_eq!((output.status.code(), &parsed(&output)["problems"][0]["field"]), (Some(1), &part.into()));
    }
    // A figure is named besides its part.
    for pointer in [
        "/micro/0/summaries/0/median_ns_per_call",
        "/micro/1/noise_floor",
        "/generation/kernels/0/phases_ms_per_token/forward",
    ] {
        let output = run(&["receipt", "verify", &edited(dir.path(), &receipt, pointer, plus_one)]);
        assert_eq!(output.status.code(), Some(1), "{pointer}");
        let named = stdout(&output);
        assert!(named.lines().any(|line| line.starts_with(&format!("{pointer} is "))), "{pointer}: {named}");
    }
    // No receipt can hold a negative time; the part is named all the same.
    let path = edited(dir.path(), &receipt, "/micro/0/rounds/8/ns/1", |_| (-5).into());
    let output = run(&["receipt", "verify", &path]);
    assert_eq!(output.status.code(), Some(1));
    common::error_line(&stderr(&output), &["/micro/0: not what was written"]);
}

#[test]
fn exports_go_to_a_file_or_to_standard_output() {
    let dir = TempDir::new().expect("a folder");
    let out = measured(dir.path()).display().to_string();
    for (format, start) in [
        ("csv", "kind,scenario"),
        ("bmf", "{"),
        ("gha", "["),
        ("junit", "<?xml"),
        ("bitnet", "{"),
        ("markdown", "### tritbench: small"),
    ] {
        let printed = run(&["receipt", "export", &out, "--format", format]);
        assert_eq!(printed.status.code(), Some(0), "{format}: {}", stderr(&printed));
        assert!(stdout(&printed).starts_with(start), "{format}: {}", stdout(&printed));
        let file = dir.path().join(format);
        let output = run(&["receipt", "export", &out, "--format", format, "--out", &file.display().to_string()]);
        assert!(output.status.success() && output.stdout.is_empty());
        assert_eq!(std::fs::read(file).expect("written"), printed.stdout, "{format}");
    }
    let csv = std::fs::read(Path::new(&out).join("measurements.csv")).expect("written");
    assert_eq!(run(&["receipt", "export", &out, "--format", "csv"]).stdout, csv);
    let bitnet = json(&["receipt", "export", &out, "--format", "bitnet"]);
    assert_eq!((&bitnet["schema_version"], &bitnet["compute_path"]), (&"1.0.0".into(), &"real".into()));
}

#[test]
fn an_edited_receipt_is_exported_with_a_warning() {
    let dir = TempDir::new().expect("a folder");
    let out = measured(dir.path());
    let receipt = read_json(&out.join("receipt.json"));
    let path = edited(dir.path(), &receipt, "/micro/0/rounds/0/ns/0", |_| 1.into());
    let output = run(&["receipt", "export", &path, "--format", "csv"]);
    assert!(output.status.success() && stderr(&output).contains("warning") && stderr(&output).contains("/micro/0"));
}

#[test]
fn a_fresh_receipt_validates_against_the_printed_schema() {
    let dir = TempDir::new().expect("a folder");
    let out = measured(dir.path());
    let schema = json(&["receipt", "schema"]);
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut receipt = read_json(&out.join("receipt.json"));
    let errors: Vec<String> = validator.iter_errors(&receipt).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    receipt["micro"][0]["rounds"][0]["ns"][0] = "soon".into();
    assert!(!validator.is_valid(&receipt));
}

#[test]
fn what_is_no_receipt_is_named() {
    let dir = TempDir::new().expect("a folder");
    let folder = dir.path().display().to_string();
    assert_refused(&["receipt", "verify", &folder], 2, &["is it a run folder?"]);
    let file = dir.path().join("a.json");
    std::fs::write(&file, "{").expect("written");
    assert_refused(&["receipt", "verify", &file.display().to_string()], 2, &["a.json", "is not JSON"]);
    assert_refused(&["receipt", "export", "none", "--format", "csv"], 2, &["none"]);
}

/// One number of every kind that a comparison's receipt holds.
#[test]
fn the_part_of_any_edited_number_of_a_comparison_is_named() {
    let dir = TempDir::new().expect("a folder");
    let scenario = dir.path().join("blocks.toml");
    let longer = common::SMALL_SCENARIO.replace("max_tokens = 4", "max_tokens = 12");
    let scored = "[perplexity]\nwindows = 1\nwindow = 16\nseed_table = true\n";
    std::fs::write(&scenario, longer + scored).expect("written");
    let out = dir.path().join("run");
    json(&["compare", "--scenario", &scenario.display().to_string(), "--out", &out.display().to_string(), "--json"]);
    let kinds = common::edits_are_named(&out.join("receipt.json"));
    for kind in [
        "/elapsed_s",
        "/micro/*/rounds/*/cpu_ns/*",
        "/generation/blocks/*/rounds/*/ns/*",
        "/generation/blocks/*/rounds/*/settling_ns/*",
        "/generation/blocks/*/noise_floor",
        "/generation/kernels/*/rounds/*/decode_times_ns/forward",
        "/perplexity/kernels/*/nats_per_token",
        "/integrity/parts/*/leaves",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}
