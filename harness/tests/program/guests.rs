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
