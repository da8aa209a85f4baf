//! Libraries of kernels from outside: the example in C is a row like any other, and a fault is a row too. All faults
//! are in ci/foreign.sh.

use crate::common::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Compiles a C file of the repository to a library.
fn library(folder: &Path, source: &str, flags: &[&str]) -> String {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let to = folder.join(format!("lib{}.so", flags.join("-").replace("-DFAULT=", "")));
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-w", "-O2", "-fPIC", "-shared", "-fvisibility=hidden"]).args(flags);
    cc.arg("-I").arg(root.join("kernels/include")).arg("-o").arg(&to).arg(root.join(source));
    assert!(cc.status().expect("a C compiler").success());
    to.display().to_string()
}

#[test]
fn the_example_is_a_row_like_any_other() {
    let folder = TempDir::new().expect("a folder");
    let plain = library(folder.path(), "kernels/examples/guest/plain.c", &[]);
    let listed = json(&["list", "kernels", "--json", "--kernel-library", &plain]);
    let kernels = listed["kernels"].as_array().expect("kernels");
    let guest = kernels.iter().find(|k| k["id"] == "plain-c").expect("listed");
    let hash = guest["foreign"]["sha256"].as_str().expect("a hash");
    assert_eq!((hash.len(), guest["bits_per_weight"].as_f64()), (64, Some(2.0)), "{guest}");
    let out = folder.path().join("run").display().to_string();
    let shape = "--kernels scalar-i8 --shape 64x512 --residency llc --rounds 9 --out".words();
    let args = [vec!["micro".into()], shape, vec![out.clone(), "--kernel-library".into(), plain]].concat();
    let output = succeeds(run(&args[..]));
    assert!(stderr(&output).contains(&format!("sha256 {hash}")), "said before it is loaded");
    let receipt = read_json(folder.path().join("run/receipt.json"));
    let cell = &receipt["micro"][0];
    let ids: Vec<&str> =
        cell["entries"].as_array().expect("entries").iter().filter_map(|e| e["kernel"].as_str()).collect();
    assert_eq!(ids, ["scalar-i8", "plain-c", "scalar-i8"]);
    assert_eq!(cell["entries"][1]["output_sha256"], cell["entries"][0]["output_sha256"], "the same integers");
    let page = std::fs::read_to_string(folder.path().join("run/report.html")).expect("a page");
    assert!(page.contains("plain-c") && page.contains(&hash[..16]), "the page names kernel and library");
    printed(&["receipt", "verify", &out]);
}

/// One is ready for the cell when the other says that it does not take the shape.
#[test]
fn a_shape_that_one_library_refuses_is_timed_with_the_others() {
    let folder = TempDir::new().expect("a folder");
    let plain = library(folder.path(), "kernels/examples/guest/plain.c", &[]);
    let twelve = library(folder.path(), "ci/hostile/families.c", &["-DFAULT=multiples", "-DAFTER=0"]);
    let out = folder.path().join("run").display().to_string();
    let shape = "micro --kernels scalar-i8 --shape 64x512 --residency llc --rounds 9 --out".words();
    let libraries = ["--kernel-library", &plain, "--kernel-library", &twelve].words();
    succeeds(run(&[shape, vec![out], libraries].concat()[..]));
    let cell = read_json(folder.path().join("run/receipt.json"))["micro"][0].clone();
    let timed = cell["entries"].as_array().expect("entries").iter().any(|entry| entry["kernel"] == "plain-c");
    assert!(timed && cell["without_time"][0]["kernel"] == "hostile", "{cell}");
    assert_eq!(cell["without_time"][0]["status"], "refused");
}

#[test]
fn faults_are_rows_and_the_run_goes_on() {
    let folder = TempDir::new().expect("a folder");
    let wanted = [
        ("crash", "crashed", "SIGSEGV in gemv"),
        ("exit_7_in_pack", "crashed", "exit code 7 in pack"),
        ("leak", "wrong", "leaves 1 file(s) open"),
        ("one_bit_of_minus_128", "wrong", "the oracle says"),
        ("gives_99", "refused", "99, which is no result"),
    ];
    for (fault, status, why) in wanted {
        let flag = format!("-DFAULT={fault}");
        let library = library(folder.path(), "ci/hostile/hostile.c", &[&flag, "-DLACKING=\"none\""]);
        let output = run(&["verify", "--kernels", "scalar-i8", "--json", "--kernel-library", &library]);
        assert_eq!(output.status.code(), Some(1), "{fault}: {}", stderr(&output));
        let kernels = parsed(&output)["kernels"].clone();
        let [ours, theirs] = &kernels.as_array().expect("rows")[..] else { panic!("{kernels}") };
        assert_eq!((&ours["id"], &ours["mismatches"]), (&"scalar-i8".into(), &0.into()), "ours was verified");
        assert_eq!(theirs["status"], status, "{fault}: {theirs}");
        assert!(theirs["first_mismatch"].as_str().is_some_and(|text| text.contains(why)), "{fault}: {theirs}");
    }
    // What is no library ends it before anything is run.
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").expect("written");
    let output = run(&["verify", "--kernel-library", &text.display().to_string()]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("text.so: is no shared library"), "{}", stderr(&output));
}

/// A scenario of one small product and a whole text.
fn text_scenario(folder: &Path) -> String {
    let text = "[generate]\nprompt = \"ROMEO:\"\nmax_tokens = 12\nrounds = 2\ngoldens = true\n";
    let scored = "[perplexity]\nwindows = 1\nwindow = 16\n";
    scenario_of(folder, &[text, scored].concat())
}

/// One product and these texts.
fn scenario_of(folder: &Path, texts: &str) -> String {
    let micro = "[micro]\nrounds = 9\ngemv = [\"64x512\"]\nresidency = [\"llc\"]\n";
    let head = "name = \"text\"\nsummary = \"t\"\nanalysis = \"t\"\nmodel = \"builtin\"\n";
    let path = folder.join("text.toml");
    std::fs::write(&path, [head, micro, texts].concat()).expect("written");
    path.display().to_string()
}

/// As ours: the same ids, known answers and loss, its turns by blocks, and its instructions.
#[test]
fn texts_are_generated_scored_and_counted() {
    let folder = TempDir::new().expect("a folder");
    let (scenario, out) = (text_scenario(folder.path()), folder.path().join("run").display().to_string());
    let plain = library(folder.path(), "kernels/examples/guest/plain.c", &[]);
    let args = ["compare", "--scenario", &scenario, "--kernels", "scalar-i8,plain-c", "--out", &out];
    succeeds(run(&[&args[..], &["--kernel-library", &plain]].concat()[..]));
    let receipt = read_json(folder.path().join("run/receipt.json"));
    let of = |list: &serde_json::Value, key: &str| -> Vec<serde_json::Value> {
        let rows = list.as_array().expect("a list").iter();
        let named = ["scalar-i8", "plain-c"].map(|id| rows.clone().find(|row| row["kernel"] == id).expect(id));
        named.map(|row| row[key].clone()).into()
    };
    let generation = &receipt["generation"];
    for same in ["token_ids", "text", "stop_reason"] {
        let [ours, theirs] = &of(&generation["kernels"], same)[..] else { panic!("two") };
        assert_eq!(ours, theirs, "{same}");
    }
    let goldens = of(&generation["kernels"], "goldens");
    assert!(goldens.iter().flat_map(|g| g.as_array().expect("answers")).all(|g| g["passed"] == true), "{goldens:?}");
    let [ours, theirs] = &of(&receipt["perplexity"]["kernels"], "nats_per_token")[..] else { panic!("two") };
    assert_eq!(ours, theirs, "exact: the same bits");
    assert!(of(&generation["blocks"][0]["summaries"], "tokens_per_s").iter().all(|rate| rate.as_f64() > Some(0.0)));
    if cfg!(target_arch = "x86_64") {
        of(&receipt["counts"], "total");
    }
    printed(&["receipt", "verify", &out]);
}

/// The interface has one scale a token: by another rule a library's kernel has its products, and no text.
#[test]
fn texts_by_another_rule_are_unsupported() {
    let folder = TempDir::new().expect("a folder");
    let (scenario, out) = (text_scenario(folder.path()), folder.path().join("run").display().to_string());
    let plain = library(folder.path(), "kernels/examples/guest/plain.c", &[]);
    let args = ["compare", "--scenario", &scenario, "--kernels", "scalar-groups,plain-c", "--activations", "128"];
    succeeds(run(&[&args[..], &["--out", &out, "--kernel-library", &plain]].concat()[..]));
    let receipt = read_json(folder.path().join("run/receipt.json"));
    for (part, rows) in [("generation", "without_time"), ("perplexity", "without_score")] {
        let ids: Vec<_> = list(&receipt[part], "kernels").iter().map(|kernel| text(kernel, "kernel")).collect();
        assert_eq!(ids, ["scalar-groups"], "{part}");
        let [row] = &list(&receipt[part], rows)[..] else { panic!("one row: {receipt:#}") };
        assert_eq!((text(row, "kernel"), text(row, "status")), ("plain-c", "unsupported"));
        assert_eq!(text(row, "why"), "kernel plain-c takes activations by the rule token, not 128");
    }
    let timed = |cell: &serde_json::Value| list(cell, "entries").iter().any(|entry| entry["kernel"] == "plain-c");
    assert!(list(&receipt, "micro").iter().any(timed), "its product has one scale a token");
    printed(&["receipt", "verify", &out]);
}

/// The run goes on without a kernel that fails in a text, and says so.
#[test]
fn a_fault_in_a_text_is_a_row() {
    let folder = TempDir::new().expect("a folder");
    let scenario = text_scenario(folder.path());
    for (fault, status, why) in [("crash", "crashed", "gemv 512x1024"), ("by_pointer", "wrong", "generates id")] {
        let (flag, out) = (format!("-DFAULT={fault}"), folder.path().join(fault).display().to_string());
        let library = library(folder.path(), "ci/hostile/hostile.c", &[&flag, "-DAFTER=5", "-DSHAPE=512,1024"]);
        let args = ["compare", "--scenario", &scenario, "--kernels", "scalar-i8,hostile", "--out", &out];
        let output = run(&[&args[..], &["--kernel-library", &library]].concat()[..]);
        assert_eq!(output.status.code(), Some(1), "{fault}: {}", stderr(&output));
        let generation = read_json(folder.path().join(fault).join("receipt.json"))["generation"].clone();
        let row = &generation["without_time"][0];
        assert_eq!((&row["kernel"], &row["status"]), (&"hostile".into(), &status.into()), "{generation}");
        assert!(row["why"].as_str().is_some_and(|text| text.contains(why)), "{row}");
        let names: Vec<&str> =
            generation["kernels"].as_array().expect("rows").iter().filter_map(|k| k["kernel"].as_str()).collect();
        assert!(names.contains(&"scalar-i8") && !names.contains(&"hostile"), "{names:?}");
        printed(&["receipt", "verify", &out]);
    }
}

/// Both builds load the library.
#[test]
fn a_gate_times_a_library_in_both_builds() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("gate").display().to_string();
    let scenario = scenario_of(folder.path(), "[generate]\nprompt = \"ROMEO:\"\nmax_tokens = 4\nrounds = 1\n");
    let plain = library(folder.path(), "kernels/examples/guest/plain.c", &[]);
    let own = program();
    let args = ["gate", "--against", &own, "--scenario", &scenario, "--kernels", "plain-c", "--out", &out, "--json"];
    let output = run(&[&args[..], &["--kernel-library", &plain]].concat()[..]);
    let gate = parsed(&output);
    let cells = gate["cells"].as_array().unwrap_or_else(|| panic!("{}", stderr(&output)));
    assert!(!cells.is_empty() && cells.iter().all(|cell| cell["kernel"] == "plain-c"), "{gate}");
    assert!(gate["checks"].as_array().expect("checks").iter().all(|check| check["passed"] == true), "{gate}");
    let receipt = read_json(folder.path().join("gate/receipt.json"));
    let kernels = receipt["kernels"].as_array().expect("kernels");
    assert!(kernels.iter().any(|k| k["id"] == "plain-c" && k["foreign"]["sha256"].is_string()), "the receipt names it");
}

/// Its sums are exact where every scale is one; with others it is held to a bound, which the receipt has.
#[test]
fn a_kernel_that_applies_scales_leaves_a_receipt_that_holds() {
    let folder = TempDir::new().expect("a folder");
    let groups = library(folder.path(), "ci/hostile/families.c", &["-DFAULT=groups"]);
    let out = folder.path().join("run").display().to_string();
    let shape = "micro --kernels scalar-i8 --shape 64x512 --residency llc --rounds 9 --out".words();
    succeeds(run(&[shape, vec![out.clone(), "--kernel-library".into(), groups]].concat()[..]));
    let receipt = read_json(folder.path().join("run/receipt.json"));
    let suite = receipt["verify"].as_array().expect("records").iter().find(|v| v["id"] == "hostile").expect("verified");
    assert_eq!((&suite["mismatches"], &suite["exact"]), (&0.into(), &true.into()), "{suite}");
    assert!(suite["bound"].as_f64() > Some(0.0) && suite["max_relative_error"].as_f64() <= suite["bound"].as_f64());
    printed(&["receipt", "verify", &out]);
}

/// A scenario with cells of groups: of the library's, and of others.
fn groups_scenario(folder: &Path) -> String {
    let head = "name = \"groups\"\nsummary = \"t\"\nanalysis = \"t\"\n[micro]\nrounds = 9\nresidency = [\"llc\"]\n";
    let lists = "gemv = [\"64x512 g64x32\", \"64x512 g128xtoken\"]\ngemm = [\"64x512x3 llc g64x32\"]\n";
    let path = folder.join("groups.toml");
    std::fs::write(&path, [head, lists].concat()).expect("written");
    path.display().to_string()
}

/// Where groups and rule are its own it is timed beside ours with random scales, not equal and within a bound.
#[test]
fn a_kernel_that_applies_scales_is_in_cells_of_its_groups() {
    let folder = TempDir::new().expect("a folder");
    let groups = library(folder.path(), "ci/hostile/families.c", &["-DFAULT=groups"]);
    let (scenario, out) = (groups_scenario(folder.path()), folder.path().join("run").display().to_string());
    let args = ["micro", "--scenario", &scenario, "--kernels", "scalar-groups,scalar-i8", "--out", &out];
    succeeds(run(&[&args[..], &["--kernel-library", &groups]].concat()[..]));
    let receipt = read_json(folder.path().join("run/receipt.json"));
    let cells = receipt["micro"].as_array().expect("cells");
    let ids = |cell: &serde_json::Value| -> Vec<String> {
        let entries = cell["entries"].as_array().expect("entries").iter().filter(|e| e["self_pair"] == false);
        entries.map(|e| e["kernel"].as_str().expect("an id").to_owned()).collect()
    };
    let of = |cell: &serde_json::Value| (cell["op"].clone(), cell["weight_group"].clone(), cell["activations"].clone());
    assert!(cells.iter().all(|cell| cell["family"] == "W2gA8"), "the others are in no cell of groups");
    assert_eq!(
        (of(&cells[0]), ids(&cells[0])),
        (("gemv".into(), 64.into(), "32".into()), ids_of("scalar-groups hostile"))
    );
    assert_eq!((of(&cells[1]), ids(&cells[1])), (("gemv".into(), 128.into(), "token".into()), ids_of("scalar-groups")));
    assert_eq!((of(&cells[2]), ids(&cells[2])), (("gemm".into(), 64.into(), "32".into()), ids_of("hostile")));
    let [ours, theirs] = [0, 1].map(|entry| &cells[0]["entries"][entry]);
    assert!(ours["max_abs_error"] == 0.0 && theirs["max_abs_error"].as_f64() > Some(0.0), "{theirs}");
    assert!(theirs["oracle"].as_str().is_some_and(|oracle| oracle.contains("within 1e-5")), "{theirs}");
    assert!(cells[0]["summaries"][1]["vs_baseline"]["partner"] == "scalar-groups", "ranked");
    printed(&["receipt", "verify", &out]);
    let page = std::fs::read_to_string(folder.path().join("run/report.html")).expect("a page");
    assert!(page.contains("from the oracle") && page.contains("from LLC, g64x32"), "the page says how far");
}

fn ids_of(ids: &str) -> Vec<String> {
    ids.split(' ').map(str::to_owned).collect()
}
