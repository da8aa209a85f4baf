//! Files that the user names: what is no file is not read, and what is there is not replaced unless that is asked for.

use crate::common::*;
use std::time::Duration;

#[test]
fn what_is_there_is_replaced_with_force_only() {
    let folder = Folder::new();
    let older = scenarios().join("../reports/receipt/tests/fixtures/receipt-1.1.0.json").display().to_string();
    let (example, runs) = (example(), folder.make("runs"));
    folder.write("runs/one/receipt.json", std::fs::read(format!("{example}/receipt.json")).expect("there"));
    for (command, name) in [
        ("generate --prompt x --greedy --max-tokens 1 --receipt", "text.json"),
        ("model synth --shape tiny --layers 1 --out", "model.gguf"),
        ("model convert builtin --to tq1_0 --out", "converted.gguf"),
        (&format!("receipt export {example} --format csv --out"), "figures.csv"),
        (&format!("report {example} {older} --out"), "both.html"),
        (&format!("report {runs} --out"), "runs.html"),
        (&format!("report {example} --out"), "page"),
    ] {
        let path = folder.at(name);
        let args = format!("{command} {path}");
        succeeds(run(&args));
        let file = if name == "page" { "page/report.html" } else { name };
        folder.write(file, "mine");
        refused(&args, 2, &[&path, "exists; add --force to replace it"]);
        assert_eq!(folder.read(file), "mine", "{args}");
        succeeds(run(&format!("{args} --force")));
        assert_ne!(std::fs::read(folder.at(file)).expect("there"), b"mine", "{args}");
    }
}

/// Nobody writes to the pipe: who opens it waits for ever.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = Folder::new();
    let pipe = folder.at("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let example = example();
    for what in [&pipe, "/dev/zero"] {
        for args in [
            "perplexity --text WHAT".to_owned(),
            "generate --prompt x --model WHAT".to_owned(),
            "generate --prompt x --receipt WHAT --force".to_owned(),
            "model inspect WHAT".to_owned(),
            format!("model convert WHAT --to q2_0 --out {pipe}.gguf"),
            "model convert builtin --to q2_0 --out WHAT --force".to_owned(),
            "model synth --shape tiny --out WHAT --force".to_owned(),
            "compare --scenario WHAT".to_owned(),
            "micro --scenario WHAT".to_owned(),
            "gate --against WHAT".to_owned(),
            "gate --against HEAD --current WHAT".to_owned(),
            format!("gate --against {example} --scenario WHAT"),
            format!("baseline save x --binary WHAT --dir {}", folder.path().display()),
            "receipt verify WHAT".to_owned(),
            "receipt export WHAT --format csv".to_owned(),
            format!("receipt export {example} --format csv --out WHAT --force"),
            "report WHAT".to_owned(),
        ] {
            let mut command = assert_cmd::Command::from_std(command(&args.replace("WHAT", what)));
            let output = command.timeout(Duration::from_secs(300)).output().expect("starts");
            ends_with_error(&output, 2, &[what]);
        }
    }
}
