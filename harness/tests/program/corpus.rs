//! Bad files, each named after what is wrong with it, and the exact line that a user sees from every command that reads
//! such a file.
//!
//! `tests/corpus/FOLDER/NAME.snap` is the message with the file's path as `FILE`. `INSTA_UPDATE=always` writes the
//! messages instead of comparing them; `tests/corpus/make.py` makes the files.

use crate::common::*;
use std::path::{Path, PathBuf};

/// Programs that run at once.
const AT_ONCE: usize = 8;

/// Every file of a folder, in order, with the commands that read it: `FILE` is the file, `NAME` its name.
fn check(folder: &str, ending: &str, least: usize, commands: &[&str]) {
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
    let args = |command: &str, file: &Path| {
        let name = file.file_name().expect("named").to_string_lossy();
        let (path, dir) = (file.display().to_string(), folder.display().to_string());
        command.replace("FILE", &path).replace("NAME", &name).replace("DIR", &dir)
    };
    let asked: Vec<(&PathBuf, String)> =
        files.iter().flat_map(|file| commands.iter().map(move |c| (file, args(c, file)))).collect();
    // A command that looks at the machine first waits most of its time.
    let answers = asked.chunks(AT_ONCE).flat_map(|some| {
        std::thread::scope(|scope| {
            let started: Vec<_> = some.iter().map(|(_, args)| scope.spawn(move || run(args))).collect();
            started.into_iter().map(|one| one.join().expect("it ran")).collect::<Vec<_>>()
        })
    });
    for ((file, _), output) in asked.iter().zip(answers) {
        let stem = file.file_stem().expect("named").to_string_lossy();
        // `inspect` may still describe what can be read, on stdout; its verdict is the same.
        let line = ends_with_error(&output, 2, &["error: "]).replace(&file.display().to_string(), "FILE");
        // The version of the receipts that this build writes is no part of what is wrong.
        let line = match line.split_once("this build reads ").and_then(|(a, b)| Some((a, b.split_once(' ')?.1))) {
            Some((before, after)) => format!("{before}this build reads VERSION {after}"),
            None => line,
        };
        // A list of what this build knows grows with it, and is no part of what is wrong.
        let known = ["; known: ", ", expected one of `"].iter().filter_map(|mark| line.find(mark)).min();
        insta::assert_snapshot!(stem.as_ref(), &line[..known.unwrap_or(line.len())]);
    }
}

#[test]
fn gguf_files() {
    let folder = Folder::new();
    let out = folder.at("run");
    check(
        "gguf",
        "gguf",
        40,
        &[
            // Generating needs what listing does not: the meaning of the metadata.
            "generate --prompt x --model FILE",
            "perplexity --quick --model FILE",
            "model inspect FILE",
            &format!("compare --quick --kernels scalar-i8 --out {out}-NAME --model FILE"),
        ],
    );
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "a run that measured nothing leaves nothing");
}

#[test]
fn scenarios() {
    check("scenario", "toml", 20, &["compare --scenario FILE"]);
}

#[test]
fn receipts() {
    check("receipt", "json", 14, &["report FILE"]);
}

#[test]
fn baselines() {
    check("baseline", "saved", 15, &["baseline show NAME --dir DIR"]);
}
