//! Runs under bad conditions: no cache folder, no room on the disk, a model that changes. And runs that must give the
//! same again.

use crate::common::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn without_a_cache_folder_the_next_step_is_named() {
    let homeless = |args: &str| command(args).env_remove("HOME").env_remove("XDG_CACHE_HOME").output().expect("starts");
    ends_with_error(&homeless("model inspect synth:2b-4t"), 2, &["no cache folder", "TRITBENCH_CACHE"]);
    // Nothing else needs one.
    succeeds(homeless("generate --prompt x --max-tokens 1 --kernel scalar-i8"));
}

/// A limit on the size of files is a full disk that needs no root.
#[cfg(unix)]
pub fn with_files_up_to(kib: u32, args: &str, folder: &Folder) -> Output {
    // `ulimit -f` counts blocks of 512 bytes in POSIX shells and of 1024 in others: far below what is written in both.
    let mut limited = std::process::Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -f {kib}; exec \"$@\" {args}")).arg("sh").args(start_words());
    limited.current_dir(folder.path()).env("TMPDIR", folder.make("tmp")).output().expect("sh is there")
}

#[cfg(unix)]
#[test]
fn no_room_is_one_line_and_leaves_nothing_half_written() {
    for (kib, args) in [
        (100, "model synth --shape tiny --out out.gguf".to_owned()),
        (8, "compare --quick --kernels scalar-i8 --out run".to_owned()),
        (1, format!("report {}/receipt.json --out run", example())),
    ] {
        let folder = Folder::new();
        ends_with_error(&with_files_up_to(kib, &args, &folder), 2, &["too large"]);
        let left = folder.names("");
        assert!(left.iter().all(|name| !folder.path().join(name).is_file()), "{args} left {left:?}");
    }
}

/// No home, no terminal, and a current folder in which nothing can be written.
#[test]
#[cfg(target_os = "linux")]
fn from_a_read_only_folder_a_run_needs_a_place_and_nothing_else() {
    let folder = Folder::new();
    let scenario = folder.small(4);
    let inside = |command: &str| {
        let script = "mount -t tmpfs -o ro none \"$1\" && cd \"$1\" && shift && exec \"$@\"";
        let mut namespace = Command::new("unshare");
        namespace.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &folder.make("ro")]);
        namespace.args(command.words()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        namespace.output()
    };
    if !inside("true").is_ok_and(|output| output.status.success()) {
        println!("skipped: no mount namespaces here");
        return;
    }
    let micro = format!("{} micro --scenario {scenario} --kernels scalar-i8", program());
    let output = inside(&micro).expect("it ran");
    ends_with_error(&output, 2, &["cannot write the run folder tritbench-runs", "name another with --out"]);
    let output = succeeds(inside(&format!("{micro} --out {}", folder.at("run"))).expect("it ran"));
    assert!(stdout(&output).trim_end().ends_with("report.html") && folder.has("run/receipt.json"));
}

#[test]
fn what_cannot_be_deterministic_is_refused() {
    let base = "generate --prompt x --deterministic --max-tokens 2";
    refused(&format!("{base} --timeout-s 5"), 2, &["--deterministic", "--timeout-s"]);
    refused("compare --scenario timeout --deterministic", 2, &["--deterministic", "timeout"]);
    refused(&format!("{base} --kernel scalar"), 2, &["--deterministic", "scalar sums in f32"]);
}

#[test]
fn bitnet_variables_are_honoured_and_checked() {
    let generate = |variables: &[(&str, &str)], more: &str| {
        let base = "generate --prompt x --max-tokens 2 --temperature 1 --kernel scalar-i8 --json";
        command(&format!("{base} {more}")).envs(variables.iter().copied()).output().expect("starts")
    };
    let report = parsed(&generate(&[("BITNET_SEED", "11"), ("BITNET_DETERMINISTIC", "1")], ""));
    assert_eq!((&report["seed"], &report["deterministic"]), (&11.into(), &true.into()));
    let report = parsed(&generate(&[("BITNET_SEED", "11")], "--seed 12"));
    assert_eq!((&report["seed"], &report["deterministic"]), (&12.into(), &false.into()), "a flag wins");
    for (name, value) in
        [("BITNET_SEED", "-3"), ("BITNET_SEED", "x"), ("BITNET_DETERMINISTIC", "perhaps"), ("BITNET_STRICT_MODE", "2")]
    {
        ends_with_error(&generate(&[(name, value)], ""), 2, &[name, value, "unset it"]);
    }
}

#[test]
fn a_usage_error_is_one_line_that_names_flag_and_next_step() {
    for (args, parts) in [
        ("generate", &["--prompt <T>", "see tritbench generate --help"][..]),
        ("generate --promt x", &["'--promt'", "'--prompt'", "see tritbench generate --help"]),
        ("compare --kernels", &["--kernels", "see tritbench compare --help"]),
        ("kompare", &["'kompare'", "'compare'", "see tritbench --help"]),
        ("generate --prompt x --seed many", &["'many'", "--seed", "see tritbench generate --help"]),
    ] {
        let line = refused(args, 2, parts);
        assert_eq!(stderr(&run(args)), format!("{line}\n"), "one line in all");
    }
}

/// A clock that is set while a run goes on must not change what is measured: durations come from `Instant`, which no
/// one can set. The other clock names runs and saved files, and tells whether a file was written to.
#[test]
fn durations_never_come_from_a_clock_that_can_be_set() {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    for folder in ["harness/src", "harness/model/src", "kernels/src"] {
        sources(&crates.join(folder), &mut files);
    }
    assert!(files.len() > 100, "{}", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        let name = file.strip_prefix(crates).expect("inside").to_string_lossy().replace('\\', "/");
        // Ages of files.
        let files = ["harness/src/files.rs", "harness/src/gate/builds.rs", "harness/model/src/mapped.rs"];
        for (clock, allowed) in [("SystemTime", &files[..]), ("Timestamp::now", &["harness/src/cmd/"])] {
            let is_allowed = allowed.iter().any(|start| name.starts_with(start));
            assert!(!text.contains(clock) || is_allowed, "{name} reads {clock}");
        }
    }
}

/// Whoever comes second replaces, or says that the name is taken; what is there is whole either way.
#[test]
fn baselines_saved_at_once_leave_one_that_is_whole() {
    let folder = Folder::new();
    let (scenario, store) = (folder.small(4), folder.at("baselines"));
    let save = format!("baseline save one --replace --scenario {scenario} --kernels scalar-i8 --dir {store}");
    for child in [(); 3].map(|()| start(folder.path(), &save)) {
        let output = child.wait_with_output().expect("it ends");
        if output.status.code() != Some(0) {
            ends_with_error(&output, 2, &["one"]);
        }
    }
    assert_eq!(json(&format!("baseline show one --dir {store} --json"))["name"], "one");
    assert_eq!(folder.names("baselines"), ["one"]);
}

/// The built-in model's file with another name in it, so that nobody knows its hash.
#[test]
fn what_is_odd_about_a_model_is_said_before_the_run_and_kept() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(scenarios().join("model/shakespeare-ternary.gguf")).expect("there");
    let name = b"shakespeare-ternary";
    let at = bytes.windows(name.len()).position(|w| w == name).expect("its general.name");
    bytes[at] = b'S';
    let model = folder.write("m.gguf", bytes);
    let inspected = stdout(&run(&format!("model inspect {model}")));
    assert!(inspected.contains("warning: I2_S layout: x86 (assumed"), "{inspected}");
    let (scenario, out) = (folder.small(4), folder.at("run"));
    let flags = "--kernels scalar-i8 --deterministic";
    let said = stderr(&run(&format!("compare --scenario {scenario} {flags} --model {model} --out {out}")));
    let (warning, work) = (said.find("warning: I2_S layout: x86 (assumed"), said.find("microbenchmarks"));
    assert!(warning.is_some() && warning < work, "{said}");
    let receipt = read_json(folder.at("run/receipt.json"));
    let warning = receipt["model"]["warnings"][0].as_str();
    assert!(warning.is_some_and(|text| text.contains("model inspect --score")), "{}", receipt["model"]);
    let findings = list(&receipt, "findings");
    assert!(findings.iter().any(|f| f["evidence"] == "/model/warnings"), "{findings:?}");
    // The page escapes slashes.
    assert!(folder.read("run/report.html").contains("I2_S layout: x86 (assumed"));
    // What was asked for is kept too.
    assert_eq!(receipt["settings"]["deterministic"], true);
    assert_eq!(receipt["generation"]["kernels"][0]["ids_equal_in_rounds"], true);
}
