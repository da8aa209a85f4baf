//! `report` on one run, on several, and on a folder of runs: what is written, what is printed, and what is refused.

mod common;

use common::{assert_refused, harness, json, read_json, run, stderr, stdout};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The committed run, in a folder of its own and changed.
fn receipt(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/example/receipt.json");
    let mut receipt = read_json(&example);
    change(&mut receipt);
    let path = folder.join(name);
    std::fs::create_dir_all(&path).expect("a folder");
    std::fs::write(path.join("receipt.json"), receipt.to_string()).expect("written");
    path.display().to_string()
}

/// What the committed run says of itself.
fn example(pointer: &str) -> String {
    let example = read_json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/example/receipt.json"));
    example.pointer(pointer).and_then(Value::as_str).expect("text").to_owned()
}

fn words(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|p| p.to_string()).collect()
}

/// Every time of a kernel's microbenchmarks twice as long.
fn slower(receipt: &mut Value, kernel: &str) {
    for cell in receipt["micro"].as_array_mut().expect("cells") {
        let entries = cell["entries"].as_array().expect("entries");
        let columns: Vec<usize> = (0..entries.len()).filter(|i| entries[*i]["kernel"] == kernel).collect();
        for round in cell["rounds"].as_array_mut().expect("rounds") {
            for &i in &columns {
                round["ns"][i] = (2 * round["ns"][i].as_u64().expect("a time")).into();
            }
        }
    }
}

#[test]
fn runs_side_by_side_say_what_changed_and_what_to_do() {
    let dir = TempDir::new().expect("a folder");
    let a = receipt(dir.path(), "a", |_| {});
    let b = receipt(dir.path(), "b", |r| {
        slower(r, "avx512-vnni");
        r["build"]["git_commit"] = "b".repeat(40).into();
    });
    let output = run(&["report", &a, &b]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = dir.path().canonicalize().expect("a folder").join("comparison.html");
    assert_eq!(text.trim_end().lines().last(), Some(page.display().to_string().as_str()), "beside the runs by default");
    assert!(text.starts_with("B against A: of ") && text.contains("avx512-vnni  ▼ slower"), "{text}");
    let against = format!("gate --against {}", example("/build/git_commit"));
    assert!(text.contains(&against) && text.contains("--kernels avx512-vnni"), "{text}");
    let html = std::fs::read_to_string(&page).expect("a page");
    // Lines of the text are broken, the page's sentence is not.
    let opening = text.split("\n\n").next().expect("a sentence").replace('\n', " ");
    assert!(html.contains(&opening), "{opening}");

    let out = dir.path().join("other.html").display().to_string();
    let printed = json(&["report", &a, &b, "--out", &out, "--json"]);
    assert_eq!(printed["report"], out.as_str());
    assert_eq!(printed["against"][0]["counts"][0][0], "slower");
    let rows = printed["tables"].as_array().expect("tables").iter().flat_map(|t| t["rows"].as_array().expect("rows"));
    let slower = rows.filter(|r| r["cells"][1]["change"]["direction"] == "slower").map(|r| &r["kernel"]);
    assert!(slower.clone().count() > 3 && slower.clone().all(|k| k == "avx512-vnni"));

    let output = run(&["report", &a, &b, "--markdown", "--out", &out, "--force"]);
    let text = stdout(&output);
    assert!(text.starts_with("### 2 runs side by side") && text.contains("| `avx512-vnni` | B | ▼ slower |"), "{text}");
    assert!(!text.contains("other.html") && stderr(&output).contains("other.html"), "only the comment on stdout");
}

#[test]
fn other_machines_are_not_divided() {
    let dir = TempDir::new().expect("a folder");
    let a = receipt(dir.path(), "a", |_| {});
    let b = receipt(dir.path(), "b", |r| r["host"]["cpus"] = 64.into());
    let printed = json(&["report", &a, &b, "--json"]);
    assert_eq!(printed["against"][0]["differences"][0]["what"], "number of CPUs");
    for row in printed["tables"].as_array().expect("tables").iter().flat_map(|t| t["rows"].as_array().expect("rows")) {
        let cell = &row["cells"][1];
        assert!(cell["unpaired"].is_null() && cell["change"]["ratio"].is_null(), "{row}");
    }
    let text = stdout(&run(&["report", &a, &b]));
    assert!(text.contains("number of CPUs: “2” in A, “64” in B"), "{text}");
}

#[test]
fn a_folder_of_runs_gets_an_index() {
    let dir = TempDir::new().expect("a folder");
    receipt(dir.path(), "a", |_| {});
    receipt(dir.path(), "later/b", |r| r["timestamp"] = "2027-01-01T00:00:00Z".into());
    std::fs::create_dir_all(dir.path().join("broken")).expect("a folder");
    std::fs::write(dir.path().join("broken/receipt.json"), "{").expect("written");
    let folder = dir.path().display().to_string();
    let printed = json(&["report", &folder, "--json"]);
    let page = dir.path().join("index.html");
    assert_eq!(printed["report"], page.display().to_string().as_str());
    let runs: Vec<&str> = printed["runs"].as_array().expect("runs").iter().filter_map(|r| r["run"].as_str()).collect();
    assert_eq!(runs, ["later/b", "a"]);
    assert_eq!(printed["unreadable"][0]["path"], "broken");
    let first = std::fs::read(&page).expect("a page");
    let output = run(&["report", &folder]);
    assert_eq!((output.status.code(), std::fs::read(&page).expect("a page")), (Some(0), first), "the same bytes again");
    assert!(stderr(&output).contains("note: broken: "), "{}", stderr(&output));
    let first_day = example("/timestamp")[..10].to_owned();
    let sentence = format!("2 runs from {first_day} to 2027-01-01");
    assert!(stdout(&output).starts_with(&sentence), "{}", stdout(&output));

    // A run folder itself stays a run.
    let run_folder = dir.path().join("a").display().to_string();
    assert!(json(&["report", &run_folder, "--json"])["report"].as_str().expect("a path").ends_with("a/report.html"));
    // With a page of its own it is linked.
    json(&["report", &folder, "--json"]);
    let html = std::fs::read_to_string(&page).expect("a page").replace("&#x2f;", "/");
    assert!(html.contains("href=\"a/report.html\""));
}

#[test]
fn what_cannot_be_shown_is_refused_in_one_line() {
    let dir = TempDir::new().expect("a folder");
    let a = receipt(dir.path(), "a", |_| {});
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let empty = empty.display().to_string();
    assert_refused(&["report", "/no/such/folder"], 2, &["/no/such/folder", "run folder"]);
    assert_refused(&["report", &a, "/no/such/folder"], 2, &["/no/such/folder"]);
    assert_refused(&["report", &empty], 2, &[&empty, "no receipt.json", "run folder"]);
    assert_refused(&["report", &a, &empty], 2, &[&empty, "`report DIR`"]);
    assert_refused(&["report", &dir.path().display().to_string(), "--markdown"], 2, &["--markdown", "folder of runs"]);
    assert_eq!(run(&["report", &a, "--markdown", "--json"]).status.code(), Some(2));
    let file = PathBuf::from(&a).join("receipt.json/inside.html").display().to_string();
    assert_refused(&["report", &a, &a, "--out", &file], 2, &["receipt.json"]);
}

#[test]
fn markdown_is_one_function() {
    let dir = TempDir::new().expect("a folder");
    let a = receipt(dir.path(), "a", |_| {});
    let report = run(&["report", &a, "--markdown"]);
    let export = run(&["receipt", "export", &a, "--format", "markdown"]);
    assert_eq!(stdout(&report).trim_end(), stdout(&export).trim_end());
    assert!(stderr(&report).contains("report.html"));
    let text = stdout(&report);
    for part in [
        "### tritbench: quick",
        "**W2A8 (int8",
        "end to end**, tokens/s",
        "smallest difference that counts",
        "How to reproduce",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn full_has_every_table_and_no_summary_is_wider_than_80() {
    let dir = TempDir::new().expect("a folder");
    let a = receipt(dir.path(), "a", |_| {});
    let text = |args: &[&str]| {
        let output = harness().args(words(&["report", &a])).args(args).output().expect("it ran");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        // The last line is a path.
        let lines: Vec<String> = text.trim_end().lines().map(String::from).collect();
        lines[..lines.len() - 1].to_vec()
    };
    let (short, full) = (text(&[]), text(&["--full"]));
    assert!(short.len() < full.len() && short.len() <= 70, "{} and {} lines", short.len(), full.len());
    for line in short.iter().chain(&full) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(full.iter().any(|l| l.contains("known answers")));
}
