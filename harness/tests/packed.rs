//! `model convert` and `--packed`: the same text with and without, and files that do not fit are refused.

mod common;

use common::{assert_refused, json, run, stderr};
use std::path::Path;
use tempfile::TempDir;

fn convert(folder: &Path, packing: &str) -> String {
    let path = folder.join(format!("{packing}.trit")).display().to_string();
    let summary = json(&["model", "convert", "builtin", "--packing", packing, "--out", &path, "--json"]);
    assert_eq!(summary["packing"], packing);
    assert_eq!(summary["bytes"], std::fs::metadata(&path).expect("written").len());
    path
}

#[test]
fn generation_and_perplexity_are_the_same() {
    let dir = TempDir::new().expect("a folder");
    // Kernels that run everywhere, one of each family.
    for (kernel, packing) in [("scalar-i8", "i2s-128x32"), ("scalar", "qk256")] {
        let file = convert(dir.path(), packing);
        let generate = ["generate", "--prompt", "ROMEO:", "--max-tokens", "8", "--kernel", kernel, "--json"];
        let (plain, packed) = (json(&generate), json(&[&generate[..], &["--packed", &file]].concat()));
        assert_eq!(plain["token_ids"], packed["token_ids"], "{kernel}");
        let note = packed["model"]["notes"].as_array().and_then(|notes| notes.last()).expect("a note");
        assert!(note.as_str().expect("text").contains(&file), "{note}");
        for lut in if kernel == "scalar" { &["file", "seed"][..] } else { &["file"] } {
            let score = ["perplexity", "--windows", "1", "--window", "32", "--kernel", kernel, "--lut", lut, "--json"];
            let (plain, packed) = (json(&score), json(&[&score[..], &["--packed", &file]].concat()));
            assert_eq!(plain["nats_per_token"], packed["nats_per_token"], "{kernel} {lut}");
        }
    }
}

#[test]
fn compare_uses_it_for_the_kernels_that_read_it() {
    let dir = TempDir::new().expect("a folder");
    let scenario = dir.path().join("small.toml");
    std::fs::write(&scenario, common::SMALL_SCENARIO).expect("written");
    let (file, scenario) = (convert(dir.path(), "qk256"), scenario.display().to_string());
    let out = dir.path().join("run").display().to_string();
    let output = run(&["compare", "--scenario", &scenario, "--packed", &file, "--out", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("(used by scalar)"), "{}", stderr(&output));
    let receipt = common::read_json(&Path::new(&out).join("receipt.json"));
    assert!(receipt["model"]["notes"].to_string().contains("qk256"), "{}", receipt["model"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let file = convert(dir.path(), "qk256");
    let generate = |kernel: &str, packed: &str, parts: &[&str]| {
        let args = ["generate", "--prompt", "a", "--max-tokens", "1", "--kernel", kernel, "--packed", packed];
        assert_refused(&args, 2, parts);
    };
    generate("scalar-i8", &file, &[&file, "packing at byte 16", "qk256", "scalar-i8 reads i2s-128x32"]);
    generate("scalar", "none.trit", &["none.trit"]);
    generate("scalar", &dir.path().display().to_string(), &["is a folder"]);
    let damaged = dir.path().join("damaged.trit").display().to_string();
    let mut bytes = std::fs::read(&file).expect("written");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&damaged, &bytes).expect("written");
    generate("scalar", &damaged, &[&damaged, "codes of tensor", "byte"]);
    let out = dir.path().join("run").display().to_string();
    let compare = ["compare", "--quick", "--kernels", "scalar", "--packed", &damaged, "--out", &out];
    assert_refused(&compare, 2, &[&damaged, "byte"]);
    assert!(!Path::new(&out).exists(), "a run that measured nothing leaves nothing");

    // Another model: the same shape and size, other weights.
    let other = dir.path().join("other.gguf").display().to_string();
    assert_eq!(run(&["model", "synth", "--shape", "tiny", "--out", &other]).status.code(), Some(0));
    let args = ["generate", "--model", &other, "--prompt", "a", "--max-tokens", "1", "--kernel", "scalar"];
    assert_refused(&[&args[..], &["--packed", &file]].concat(), 2, &[&file, "source sha256 at byte 64", &other]);
}

#[test]
fn convert_checks_its_arguments() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("a.trit").display().to_string();
    let convert = |model: &str, packing: &str, out: &str, more: &[&str], parts: &[&str]| {
        let args = ["model", "convert", model, "--packing", packing, "--out", out];
        assert_refused(&[&args[..], more].concat(), 2, parts);
    };
    let known = "known: qk256, i2s-128x32, tile8x16, vnni16x16, trit5x16x20, lut16x128, lut8x64";
    convert("builtin", "q4_0", &path, &[], &["q4_0", known]);
    convert("none.gguf", "qk256", &path, &[], &["none.gguf", "no such file"]);
    std::fs::write(&path, "old").expect("written");
    convert("builtin", "qk256", &path, &[], &["a.trit", "--force"]);
    assert_eq!(std::fs::read(&path).expect("still there"), b"old");
    let model = dir.path().join("m.gguf").display().to_string();
    std::fs::copy(common::scenarios().join("model/shakespeare-ternary.gguf"), &model).expect("copied");
    let same = dir.path().join(".").join("m.gguf").display().to_string();
    convert(&model, "qk256", &same, &["--force"], &["is the model itself"]);
}
