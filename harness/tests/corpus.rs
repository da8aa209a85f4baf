//! Bad files, each named after what is wrong with it, and the exact line that a user sees.
//!
//! `tests/corpus/FOLDER/NAME.snap` is the message with the file's path as `FILE`. `INSTA_UPDATE=always` writes the
//! messages instead of comparing them; `tests/corpus/make.py` makes the files.

mod common;

use std::path::{Path, PathBuf};

/// Every file of a folder, in order, with the command that reads it.
fn check(folder: &str, ending: &str, least: usize, args: impl Fn(&Path) -> Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let entries = std::fs::read_dir(&folder).expect("the corpus").map(|entry| entry.expect("readable").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    files.sort();
    assert!(files.len() >= least, "{} files in {}", files.len(), folder.display());
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for file in files {
        let line = common::assert_refused(&args(&file), 2, &["error: "]);
        let line = line.replace(&file.display().to_string(), "FILE");
        // The version of the receipts that this build writes is no part of what is wrong.
        let line = match line.split_once("this build reads ").and_then(|(a, b)| Some((a, b.split_once(' ')?.1))) {
            Some((before, after)) => format!("{before}this build reads VERSION {after}"),
            None => line,
        };
        // A list of what this build knows grows with it, and is no part of what is wrong.
        let cut = |line: String, mark: &str| line.split_once(mark).map_or(line.clone(), |(line, _)| line.to_owned());
        let line = cut(cut(line, "; known: "), ", expected one of `");
        let name = file.file_stem().expect("named").to_string_lossy();
        insta::assert_snapshot!(name.as_ref(), line);
    }
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| arg.to_string()).collect()
}

#[test]
fn gguf_files() {
    // Generating needs what listing does not: the meaning of the metadata.
    check("gguf", "gguf", 40, |file| words(&["generate", "--prompt", "x", "--model", &file.display().to_string()]));
}

#[test]
fn scenarios() {
    check("scenario", "toml", 20, |file| words(&["compare", "--scenario", &file.display().to_string()]));
}

#[test]
fn receipts() {
    check("receipt", "json", 14, |file| words(&["report", &file.display().to_string()]));
}

#[test]
fn baselines() {
    check("baseline", "saved", 15, |folder| {
        let name = folder.file_name().expect("named").to_string_lossy();
        words(&["baseline", "show", &name, "--dir", &folder.with_file_name("").display().to_string()])
    });
}
