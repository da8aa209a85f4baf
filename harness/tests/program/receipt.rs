//! `receipt verify`, `export` and `schema` on what a real run wrote.

use crate::common::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn edited(folder: &Folder, pointer: &str, change: impl Fn(&Value) -> Value) -> String {
    let mut copy = RUN.receipt.clone();
    let field = copy.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
    *field = change(field);
    folder.write("edited.json", copy.to_string())
}

#[test]
fn a_fresh_receipt_holds_and_an_edited_one_is_refused() {
    let found = json(&format!("receipt verify {} --json", RUN.out));
    assert!(found["verified"] == true && list(&found, "problems").is_empty(), "{found}");
    assert!(found["values_compared"].as_u64() > Some(300) && list(&found, "notes").is_empty(), "{found}");
    let folder = Folder::new();
    let plus_one = |v: &Value| {
        let number = v.as_f64().expect("a number");
        v.as_u64().map_or_else(|| (number * 1.5 + 1.0).into(), |n| (n + 1).into())
    };
    for (pointer, part) in [("/elapsed_s", "/"), ("/host/cpus", "/host"), ("/micro/0/rounds/8/ns/1", "/micro/0")] {
        let path = edited(&folder, pointer, plus_one);
        let output = run(&format!("receipt verify {path}"));
        ends_with_error(&output, 1, &[&path, &format!("{part}: not what was written")]);
        assert!(stdout(&output).starts_with(&format!("{part}: not what was written\n")), "{}", stdout(&output));
        let output = run(&format!("receipt verify {path} --json"));
        assert_eq!((output.status.code(), &parsed(&output)["problems"][0]["field"]), (Some(1), &part.into()));
    }
    // A figure is named besides its part.
    for pointer in [
        "/micro/0/summaries/0/median_ns_per_call",
        "/micro/1/noise_floor",
        "/generation/kernels/0/phases_ms_per_token/forward",
    ] {
        let output = run(&format!("receipt verify {}", edited(&folder, pointer, plus_one)));
        assert_eq!(output.status.code(), Some(1), "{pointer}");
        let named = stdout(&output);
        assert!(named.lines().any(|line| line.starts_with(&format!("{pointer} is "))), "{pointer}: {named}");
    }
    // No receipt can hold a negative time; the part is named all the same.
    let output = run(&format!("receipt verify {}", edited(&folder, "/micro/0/rounds/8/ns/1", |_| (-5).into())));
    ends_with_error(&output, 1, &["/micro/0: not what was written"]);
    // It is exported all the same, with a warning.
    let path = edited(&folder, "/micro/0/rounds/0/ns/0", |_| 1.into());
    let said = stderr(&succeeds(run(&format!("receipt export {path} --format csv"))));
    assert!(said.contains("warning") && said.contains("/micro/0"), "{said}");
}

#[test]
fn exports_go_to_a_file_or_to_standard_output() {
    let folder = Folder::new();
    let export = |format: &str| format!("receipt export {} --format {format}", RUN.out);
    for (format, start) in [
        ("csv", "kind,scenario"),
        ("bmf", "{"),
        ("gha", "["),
        ("junit", "<?xml"),
        ("bitnet", "{"),
        ("markdown", "### tritbench: small"),
    ] {
        let printed = printed(&export(format));
        assert!(printed.starts_with(start), "{format}: {printed}");
        let output = succeeds(run(&format!("{} --out {}", export(format), folder.at(format))));
        assert!(output.stdout.is_empty());
        assert_eq!(folder.read(format), printed, "{format}");
    }
    let csv = std::fs::read_to_string(text(&RUN.printed, "csv")).expect("written");
    assert_eq!(folder.read("csv"), csv);
    let bitnet = json(&export("bitnet"));
    assert_eq!((&bitnet["schema_version"], &bitnet["compute_path"]), (&"1.0.0".into(), &"real".into()));
}

#[test]
fn a_fresh_receipt_validates_against_the_printed_schema() {
    let validator = jsonschema::validator_for(&json("receipt schema")).expect("a schema");
    let mut receipt = RUN.receipt.clone();
    let errors: Vec<String> = validator.iter_errors(&receipt).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    receipt["micro"][0]["rounds"][0]["ns"][0] = "soon".into();
    assert!(!validator.is_valid(&receipt));
}

#[test]
fn what_is_no_receipt_is_named() {
    let folder = Folder::new();
    refused(&format!("receipt verify {}", folder.path().display()), 2, &["no receipt.json in it or in a folder below"]);
    refused(&format!("receipt verify {}", folder.write("a.json", "{")), 2, &["a.json", "is not JSON"]);
    refused("receipt export none --format csv", 2, &["none"]);
}

/// One number of every kind that a comparison's receipt holds.
#[test]
fn the_part_of_any_edited_number_of_a_comparison_is_named() {
    let folder = Folder::new();
    let scored = "[perplexity]\nwindows = 1\nwindow = 16\nseed_table = true\n";
    let scenario = folder.write("blocks.toml", SMALL.replace("max_tokens = 4", "max_tokens = 12") + scored);
    let printed = json(&format!("compare --scenario {scenario} --out {} --json", folder.at("run")));
    let kinds = [
        "/elapsed_s",
        "/micro/*/rounds/*/cpu_ns/*",
        "/generation/blocks/*/rounds/*/ns/*",
        "/generation/blocks/*/rounds/*/settling_ns/*",
        "/generation/blocks/*/noise_floor",
        "/generation/kernels/*/rounds/*/decode_times_ns/forward",
        "/perplexity/kernels/*/nats_per_token",
        "/integrity/parts/*/leaves",
    ];
    edits_are_named(&read_json(text(&printed, "receipt")), &kinds);
}

/// Edits one number of every kind in a receipt (the second of a list, where there is one, so that an index matters),
/// rechecks each, and expects the name of the part that holds it. The receipt must have all `kinds`: pointers with `*`
/// for an index.
pub fn edits_are_named(receipt: &Value, kinds: &[&str]) {
    let mut all = Vec::new();
    numbers(receipt, "", &mut all);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pointer in all {
        let any_index = |part: &'_ str| if part.parse::<usize>().is_ok() { "*".to_owned() } else { part.to_owned() };
        let kind: Vec<String> = pointer.split('/').map(any_index).collect();
        found.entry(kind.join("/")).or_default().push(pointer);
    }
    for pointer in found.values().map(|pointers| pointers.get(1).unwrap_or(&pointers[0])) {
        let mut copy = receipt.clone();
        let number = copy.pointer_mut(pointer).expect("listed");
        *number = number.as_u64().map_or_else(
            || f64::from_bits(number.as_f64().expect("a number").to_bits() ^ 1).into(),
            |n| (n + 1).into(),
        );
        let checked = ::receipt::recheck::recheck("edited.json".into(), copy.to_string().as_bytes(), None);
        let problems = checked.expect("it is a receipt").problems;
        let field = &problems.first().unwrap_or_else(|| panic!("{pointer} was not noticed")).field;
        // A digest is not part of what it is made of: which of them was edited is known as far as its part.
        let digest = field.starts_with("/integrity") && pointer.starts_with(field.as_str());
        assert!(digest || field == part_of(receipt, pointer), "{pointer}: {field} is named");
    }
    let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert!(kinds.iter().all(|kind| found.contains(kind)), "{kinds:?} in {found:?}");
}

/// The part of a receipt that has a digest and holds `pointer`.
fn part_of<'r>(receipt: &'r Value, pointer: &str) -> &'r str {
    let names = list(&receipt["integrity"], "parts").iter().map(|part| text(part, "part"));
    let holds = names.filter(|part| !part.is_empty() && pointer.starts_with(&format!("{part}/")));
    holds.max_by_key(|part| part.len()).unwrap_or("/")
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

/// Receipts that are kept in the repository: they verify, no choice in them is slower than one that it passed over (by
/// more than what counts as a tie), and nothing reads faster than the plain read beside it.
#[test]
fn committed_receipts_hold_and_choose_the_fastest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let machines = std::fs::read_dir(root.join("reports/machines")).into_iter().flatten().flatten();
    let folders =
        machines.map(|entry| entry.path()).chain(["reports/example", "reports/peers"].map(|folder| root.join(folder)));
    let folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    assert!(folders.len() > 1, "a receipt of each CPU that was at hand");
    for folder in folders {
        let path = folder.join("receipt.json").display().to_string();
        succeeds(run(&format!("receipt verify {path}")));
        let receipt: Value = serde_json::from_slice(&std::fs::read(&path).expect("a receipt")).expect("JSON");
        for choice in receipt["choices"].as_array().into_iter().flatten() {
            let candidates = choice["candidates"].as_array().map_or(&[][..], Vec::as_slice);
            let us = |candidate: &Value| candidate["us"].as_f64().expect("microseconds");
            let best = candidates.iter().map(us).fold(f64::INFINITY, f64::min);
            let taken = candidates.iter().find(|candidate| candidate["name"] == choice["chosen"]);
            assert!(taken.map_or(f64::INFINITY, us) <= best * 1.03, "{path}: {choice}");
        }
        for cell in receipt["micro"].as_array().into_iter().flatten() {
            for summary in cell["summaries"].as_array().into_iter().flatten() {
                let share = summary["bound"]["share"].as_f64().unwrap_or(0.0);
                let (op, m, k) = (&cell["op"], &cell["m"], &cell["k"]);
                assert!(share <= 1.03, "{path}: {op} {m}x{k} {}: {share} of the limit", summary["kernel"]);
            }
        }
    }
}
