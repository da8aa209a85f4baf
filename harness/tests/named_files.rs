//! Files that the user names: what is no file is not read, and what is there is not replaced unless that is asked for.

mod common;

use common::{assert_refused, harness, run, stderr};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn example() -> String {
    common::scenarios().join("../reports/example").display().to_string()
}

fn older() -> String {
    common::scenarios().join("../reports/receipt/tests/fixtures/receipt-1.1.0.json").display().to_string()
}

/// Every command that writes to a place that the user names.
fn writers(folder: &Path) -> Vec<(Vec<String>, PathBuf)> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let runs = folder.join("runs");
    std::fs::create_dir_all(runs.join("one")).expect("made");
    std::fs::copy(Path::new(&example()).join("receipt.json"), runs.join("one/receipt.json")).expect("copied");
    let named = |name: &str| folder.join(name);
    let commands = [
        (words("generate --prompt x --greedy --max-tokens 1 --receipt"), named("text.json")),
        (words("model synth --shape tiny --layers 1 --out"), named("model.gguf")),
        ([words("receipt export"), vec![example()], words("--format csv --out")].concat(), named("figures.csv")),
        ([words("report"), vec![example(), older(), "--out".into()]].concat(), named("both.html")),
        (vec!["report".into(), runs.display().to_string(), "--out".into()], named("runs.html")),
        (vec!["report".into(), example(), "--out".into()], named("page")),
    ];
    commands.into_iter().collect()
}

#[test]
fn what_is_there_is_replaced_with_force_only() {
    let dir = TempDir::new().expect("a folder");
    for (mut args, path) in writers(dir.path()) {
        args.push(path.display().to_string());
        let first = run(&args);
        assert_eq!(first.status.code(), Some(0), "{args:?}: {}", stderr(&first));
        let file = if path.is_dir() { path.join("report.html") } else { path.clone() };
        std::fs::write(&file, "mine").expect("written");
        assert_refused(&args, 2, &[&path.display().to_string(), "exists; add --force to replace it"]);
        assert_eq!(std::fs::read(&file).expect("there"), b"mine", "{args:?}");
        args.push("--force".into());
        let forced = run(&args);
        assert_eq!(forced.status.code(), Some(0), "{args:?}: {}", stderr(&forced));
        assert_ne!(std::fs::read(&file).expect("there"), b"mine", "{args:?}");
    }
}

/// A run's files go to `earlier`, whoever wrote them.
#[test]
fn a_run_moves_what_its_folder_holds() {
    let dir = TempDir::new().expect("a folder");
    let scenario = common::scenario_with_rounds(dir.path(), 4).display().to_string();
    let out = dir.path().join("run");
    std::fs::create_dir(&out).expect("made");
    for name in ["measurements.csv", "summary.md"] {
        std::fs::write(out.join(name), "mine").expect("written");
    }
    let output = run(&["micro", "--scenario", &scenario, "--out", &out.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["measurements.csv", "summary.md"] {
        assert_eq!(std::fs::read(out.join("earlier/1").join(name)).expect("moved"), b"mine");
    }
}

/// Nobody writes to the pipe: who opens it waits for ever.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = TempDir::new().expect("a folder");
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for what in [pipe.display().to_string(), "/dev/zero".into()] {
        for args in [
            &["perplexity", "--text", &what][..],
            &["generate", "--prompt", "x", "--model", &what],
            &["generate", "--prompt", "x", "--receipt", &what, "--force"],
            &["model", "inspect", &what],
            &["model", "synth", "--shape", "tiny", "--out", &what, "--force"],
            &["compare", "--scenario", &what],
            &["micro", "--scenario", &what],
            &["gate", "--against", &what],
            &["gate", "--against", "HEAD", "--current", &what],
            &["gate", "--against", &example(), "--scenario", &what],
            &["baseline", "save", "x", "--binary", &what, "--dir", &dir.path().display().to_string()],
            &["receipt", "verify", &what],
            &["receipt", "export", &what, "--format", "csv"],
            &["receipt", "export", &example(), "--format", "csv", "--out", &what, "--force"],
            &["report", &what],
        ] {
            let mut command = harness();
            let output = command.args(args).timeout(std::time::Duration::from_secs(300)).output().expect("starts");
            assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
            common::error_line(&stderr(&output), &[&what]);
        }
    }
}
