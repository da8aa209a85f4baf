//! `report` on one run, on several, and on a folder of runs: what is written, what is printed, and what is refused.

use crate::common::*;
use serde_json::Value;

/// The committed run, in a folder of its own and changed.
fn receipt(folder: &Folder, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut receipt = committed();
    change(&mut receipt);
    folder.write(&format!("{name}/receipt.json"), receipt.to_string());
    folder.at(name)
}

/// The same, with digests that fit what was changed.
fn sealed(folder: &Folder, name: &str, change: impl FnOnce(&mut receipt::Receipt)) -> String {
    let mut receipt = receipt::parse("the example", committed().to_string().as_bytes()).expect("a receipt");
    change(&mut receipt);
    folder.write(&format!("{name}/receipt.json"), receipt::sealed(&receipt).expect("written"));
    folder.at(name)
}

fn committed() -> Value {
    read_json(format!("{}/receipt.json", example()))
}

/// The section of that id.
fn section<'p>(printed: &'p Value, id: &str) -> &'p Value {
    let found = list(printed, "sections").iter().find(|section| section["id"] == id);
    found.unwrap_or_else(|| panic!("no section {id}"))
}

/// Cells of its first table, row by row.
fn rows(section: &Value) -> Vec<&Value> {
    list(&section["blocks"][0]["table"], "rows").iter().map(|row| &row["cells"]).collect()
}

/// Every time of a kernel's microbenchmarks twice as long.
fn slower(receipt: &mut Value, kernel: &str) {
    for cell in receipt["micro"].as_array_mut().expect("cells") {
        let entries = list(cell, "entries");
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
    let folder = Folder::new();
    let a = receipt(&folder, "a", |_| {});
    let b = receipt(&folder, "b", |r| {
        slower(r, "avx512-vnni");
        r["build"]["git_commit"] = "b".repeat(40).into();
    });
    let said = printed(&format!("report {a} {b}"));
    let page = folder.path().canonicalize().expect("a folder").join("comparison.html");
    assert_eq!(said.trim_end().lines().last(), Some(page.display().to_string().as_str()), "beside the runs by default");
    assert!(said.starts_with("B against A: of ") && said.contains("avx512-vnni  slower"), "{said}");
    let against = format!("gate --against {}", text(&committed()["build"], "git_commit"));
    assert!(said.contains(&against) && said.contains("--kernels avx512-vnni"), "{said}");
    // Lines of the text are broken, the page's sentence is not.
    let opening = said.split("\n\n").next().expect("a sentence").replace('\n', " ");
    assert!(folder.read("comparison.html").contains(&opening), "{opening}");

    let out = folder.at("other.html");
    let shown = json(&format!("report {a} {b} --out {out} --json"));
    assert_eq!(shown["report"], out.as_str());
    let moved = rows(section(&shown, "changed"));
    let slower = moved.iter().filter(|row| row[1]["value"] == "slower");
    let slower: Vec<&str> = slower.map(|row| text(&row[0], "value")).collect();
    assert!(slower.len() > 3 && slower.iter().all(|kernel| *kernel == "avx512-vnni"), "{slower:?}");

    let output = run(&format!("report {a} {b} --markdown --out {out} --force"));
    let said = stdout(&output);
    assert!(said.starts_with("### 2 runs side by side") && said.contains("| `avx512-vnni` | slower | 0."), "{said}");
    assert!(!said.contains("other.html") && stderr(&output).contains("other.html"), "only the comment on stdout");
}

#[test]
fn other_machines_are_not_divided() {
    let folder = Folder::new();
    let a = receipt(&folder, "a", |_| {});
    let b = receipt(&folder, "b", |r| r["host"]["cpus"] = 64.into());
    let shown = json(&format!("report {a} {b} --json"));
    let differ = rows(section(&shown, "differ"));
    let facts: Vec<&str> = (0..3).map(|i| text(&differ[0][i], "value")).collect();
    assert_eq!(facts, ["number of CPUs", "2", "64"]);
    for row in rows(section(&shown, "pairs-W2A8")) {
        assert!(row[4]["value"].is_null() || row[4]["value"] == "not comparable", "{row}");
        assert!(row[5]["value"].is_null(), "nothing by the clock: {row}");
    }
    let said = printed(&format!("report {a} {b}"));
    let fact = said.lines().find(|line| line.contains("number of CPUs  ")).expect("the fact");
    assert_eq!(fact.split_whitespace().collect::<Vec<_>>(), ["number", "of", "CPUs", "2", "64"]);
}

#[test]
fn a_folder_of_runs_gets_an_index() {
    let folder = Folder::new();
    receipt(&folder, "a", |_| {});
    sealed(&folder, "later/b", |r| {
        r.timestamp = "2027-01-01T00:00:00Z".into();
        r.run_id = Some("0123456789abcdef0123456789abcdef".into());
    });
    receipt(&folder, "edited", |r| r["host"]["cpus"] = 64.into());
    folder.write("broken/receipt.json", "{");
    let report = format!("report {}", folder.path().display());
    let output = run(&format!("{report} --json"));
    ends_with_error(&output, 1, &["unreadable: broken/receipt.json: is not JSON", "; 1 more"]);
    let shown = parsed(&output);
    assert_eq!(shown["report"], folder.at("index.html"));
    let runs: Vec<&str> = rows(section(&shown, "runs")).iter().map(|row| text(&row[0], "value")).collect();
    assert_eq!(runs, ["later/b", "a"]);
    let left: Vec<&str> = rows(section(&shown, "left-out")).iter().map(|row| text(&row[0], "value")).collect();
    assert_eq!(left, ["broken/receipt.json", "edited/receipt.json"]);
    let standings: Vec<&str> = list(&shown, "receipts").iter().map(|row| text(row, "standing")).collect();
    assert_eq!(standings, ["holds", "unreadable", "fails", "holds"]);
    let first = folder.read("index.html");
    let output = run(&report);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(folder.read("index.html"), first, "the same bytes again");
    let said = stderr(&output);
    assert!(said.contains("does not hold: edited/receipt.json: /host: not what was written"), "{said}");
    let sentence = format!("2 runs from {} to 2027-01-01", &text(&committed(), "timestamp")[..10]);
    assert!(stdout(&output).replace('\n', " ").contains(&sentence), "{}", stdout(&output));

    // A run folder itself stays a run.
    let alone = json(&format!("report {} --json", folder.at("a")));
    assert!(text(&alone, "report").ends_with("a/report.html"));
    // With a page of its own it is linked.
    run(&report);
    assert!(folder.read("index.html").replace("&#x2f;", "/").contains("href=\"a/report.html\""));
}

#[test]
fn what_cannot_be_shown_is_refused_in_one_line() {
    let folder = Folder::new();
    let (a, empty, any) = (receipt(&folder, "a", |_| {}), folder.make("empty"), folder.path().display().to_string());
    refused("report /no/such/folder", 2, &["/no/such/folder", "run folder"]);
    refused(&format!("report {a} /no/such/folder"), 2, &["/no/such/folder"]);
    refused(&format!("report {empty}"), 2, &[&empty, "no receipt.json", "run folder"]);
    refused(&format!("report {a} {empty}"), 2, &[&empty, "`report DIR`"]);
    refused(&format!("report {any} --markdown"), 2, &["--markdown", "folder of runs"]);
    assert_eq!(run(&format!("report {a} --markdown --json")).status.code(), Some(2));
    refused(&format!("report {a} {a} --out {a}/receipt.json/inside.html"), 2, &["receipt.json"]);
}

#[test]
fn markdown_is_one_function() {
    let folder = Folder::new();
    let a = receipt(&folder, "a", |_| {});
    let report = run(&format!("report {a} --markdown"));
    let said = stdout(&report);
    assert_eq!(said.trim_end(), printed(&format!("receipt export {a} --format markdown")).trim_end());
    assert!(stderr(&report).contains("report.html"));
    for part in [
        "### tritbench: quick",
        "**W2A8 (int8",
        ", whole text**",
        "smallest difference that counts",
        "how to reproduce",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn full_has_every_table_and_no_summary_is_wider_than_80() {
    let folder = Folder::new();
    let a = receipt(&folder, "a", |_| {});
    let lines = |args: &str| {
        let mut lines: Vec<String> = printed(args).trim_end().lines().map(String::from).collect();
        // The last line is a path.
        lines.pop();
        lines
    };
    let (short, full) = (lines(&format!("report {a}")), lines(&format!("report {a} --full")));
    assert!(short.len() < full.len() && short.len() <= 70, "{} and {} lines", short.len(), full.len());
    // Commands are copied: never broken.
    for line in short.iter().chain(&full).filter(|line| !line.starts_with("  ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(full.iter().any(|line| line.contains("known answers")));
}
