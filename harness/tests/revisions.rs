//! `gate --against REVISION`: which program runs, by which compiler, and what is said where there is none.
#![cfg(target_os = "linux")]

mod common;

use common::repository::{Repository, git};
use common::{error_line, harness_path, stderr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Waits for something that comes, however slow the machine is.
fn wait_for(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(120), "it never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(id: u32, name: &str) -> bool {
    Command::new("kill").args(["-s", name, &id.to_string()]).stderr(Stdio::null()).status().expect("kill").success()
}

fn started(gate: &mut Command) -> Child {
    gate.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
}

#[test]
fn the_program_that_cargo_built_of_the_revision_runs_wherever_it_lies() {
    let repository = Repository::new();
    let target = String::from_utf8(Command::new("rustc").arg("-vV").output().expect("rustc runs").stdout);
    let target =
        target.expect("text").lines().find_map(|l| Some(l.strip_prefix("host: ")?.to_owned())).expect("a host");
    let plain = |against: &str| repository.gate(against);
    assert_eq!(repository.gated("rev-a", plain("rev-a")), ["a"]);
    let mut moved = repository.gate("rev-b");
    moved.env("CARGO_BUILD_TARGET", &target).env("CARGO_TARGET_DIR", "elsewhere");
    assert_eq!(repository.gated("rev-b", moved), ["b"]);
    // Settings of the folder where the gate is started are no settings of the revision.
    repository.write(".cargo/config.toml", "[build]\ntarget-dir = \"there\"\nrustflags = [\"--no-such-flag\"]\n");
    repository.git(&["tag", "again", "rev-a"]);
    assert_eq!(repository.gated("again", plain("again")), ["a"]);
    // What is not committed is no part of it, and a hook's settings for its own git are none for this one.
    repository.write("kernels/src/lib.rs", "pub const REVISION: &str = \"edited\";\n");
    let mut hook = repository.gate("main");
    hook.env("GIT_DIR", "/no/such/folder").env("GIT_INDEX_FILE", "/no/such/index").env("GIT_WORK_TREE", "/");
    assert_eq!(repository.gated("main", hook), ["b"]);
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1);
    assert!(!repository.root().join(".git/tritbench-gate/tree").exists());
}

#[test]
fn two_gates_at_once_run_each_its_own_revision() {
    let repository = Repository::new();
    let children = ["rev-a", "rev-b"].map(|against| started(&mut repository.gate(against)));
    for child in children {
        assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(2));
    }
    assert_eq!((repository.ran("rev-a"), repository.ran("rev-b")), (vec!["a".into()], vec!["b".into()]));
}

/// A build and a lock that never end: one signal to the gate alone ends it with all that it started.
#[test]
fn a_gate_that_waits_says_for_what_and_ends_with_one_signal() {
    let repository = Repository::new();
    let started_file = repository.folder().join("started");
    let endless = r#"fn main() {
        std::fs::write(std::env::var_os("STARTED").unwrap(), std::process::id().to_string()).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(6000));
    }"#;
    repository.write("kernels/build.rs", endless);
    repository.commit("endless");
    for signals in [1, 2] {
        let _ = std::fs::remove_file(&started_file);
        let building = started(repository.gate("endless").env("STARTED", &started_file));
        let text = || std::fs::read_to_string(&started_file).unwrap_or_default();
        wait_for(|| !text().is_empty());
        let script: u32 = text().parse().expect("a process id");
        let waiting = started(&mut repository.gate("rev-a"));
        (0..signals).for_each(|_| assert!(signal(building.id(), "INT")));
        let output = building.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        wait_for(|| !signal(script, "0"));
        if signals == 1 {
            error_line(&stderr(&output), &["interrupted while building endless ("]);
        }
        // The lock is free, whatever ended its holder.
        assert_eq!(waiting.wait_with_output().expect("ends").status.code(), Some(2));
        assert_eq!(repository.ran("rev-a"), ["a"]);
        assert_eq!(repository.git(&["worktree", "list"]).lines().filter(|l| !l.contains("prunable")).count(), 1);
    }
    let lock = std::fs::File::options().write(true).open(repository.root().join(".git/tritbench-gate/lock"));
    let lock = lock.expect("there");
    lock.lock().expect("locked");
    std::fs::write(repository.root().join(".git/tritbench-gate/lock"), "12345\n").expect("written");
    let mut waiting = started(&mut repository.gate("rev-a"));
    let mut said = std::io::BufReader::new(waiting.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("waiting for process 12345, which builds a revision in ") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut said, &mut line).expect("text"), 0, "it ended");
    }
    assert!(signal(waiting.id(), "INT"));
    assert_eq!(waiting.wait().expect("ends").code(), Some(130));
}

/// The compiler that built this program builds the revision, and the flags are this program's.
#[test]
fn how_a_gate_is_started_does_not_choose_the_compiler() {
    let repository = Repository::new();
    repository.write("rust-toolchain.toml", "[toolchain]\nchannel = \"no-such-toolchain\"\n");
    repository.commit("another-compiler");
    let note = |output: &Output| {
        let said = stderr(output);
        let line = said.lines().find(|line| line.starts_with("building another-compiler (")).map(str::to_owned);
        assert_eq!(output.status.code(), Some(2), "{said}");
        error_line(&said, &["the program that cargo built from it"]);
        line.unwrap_or_else(|| panic!("{said}"))
    };
    let mut direct = repository.gate("another-compiler");
    direct.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    let direct = note(&direct.output().expect("starts"));
    let mut by_cargo = repository.gate("another-compiler");
    by_cargo.env("CARGO", "/no/such/cargo").env("RUSTUP_TOOLCHAIN", "no-such-toolchain");
    by_cargo.env("RUSTFLAGS", "--no-such-flag").env("CARGO_ENCODED_RUSTFLAGS", "--no-such-flag");
    by_cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "no-such-level");
    assert_eq!(note(&by_cargo.output().expect("starts")), direct);
    // Tests are built by the compiler that built the program.
    let rustc = Command::new("rustc").arg("--version").output().expect("rustc runs").stdout;
    let rustc = String::from_utf8(rustc).expect("text");
    assert!(direct.contains(&format!(" with profile {} and {}", profile(), rustc.trim())), "{direct}");
}

/// The profile that the program was built with, as cargo calls it.
fn profile() -> String {
    let folder = harness_path().parent().expect("a folder").file_name().expect("a name").to_string_lossy().into_owned();
    if folder == "debug" { "dev".into() } else { folder }
}

/// The program that is judged is the one that was started, whatever is built in its place meanwhile.
#[test]
fn the_program_that_runs_is_gated_although_its_file_is_another_by_then() {
    let repository = Repository::new();
    let own = repository.folder().join("tritbench");
    std::fs::copy(harness_path(), &own).expect("copied");
    let replace = r#"fn main() {
        let own = std::env::var_os("OWN").unwrap();
        std::fs::remove_file(&own).unwrap();
        std::fs::write(&own, "junk").unwrap();
    }"#;
    repository.write("kernels/build.rs", replace);
    repository.commit("replaces");
    let mut gate = Command::new(&own);
    gate.args(["gate", "--against", "replaces"]).current_dir(repository.root());
    gate.env("OWN", &own).env("REAL_PROGRAM", harness_path());
    let output = gate.output().expect("starts");
    error_line(&stderr(&output), &["--against replaces (", "the program that cargo built from it"]);
    assert_eq!(std::fs::read_to_string(&own).expect("there"), "junk", "it was replaced before anything was compared");
}

/// Where there is nothing to gate against, one line says why, before anything is built.
#[test]
fn what_is_neither_a_program_nor_a_revision_is_told_apart() {
    use std::os::unix::fs::PermissionsExt;
    let repository = Repository::new();
    let file = |name: &str, bytes: &[u8], mode: u32| {
        let path = repository.root().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, bytes).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let mut other = std::fs::read(harness_path()).expect("read");
    other[18] ^= 0xff;
    file("other", &other, 0o755);
    file("plain", b"#!/bin/sh\n", 0o644);
    file("text", b"text", 0o755);
    file("script", b"#!/no/such/shell\n", 0o755);
    file("rev-a", b"#!/bin/sh\n", 0o755);
    assert!(Command::new("mkfifo").arg(repository.root().join("pipe")).status().expect("mkfifo").success());
    let cases = [
        ("", 2, "no such file"),
        ("./tritbench-old", 2, "--against ./tritbench-old: no such file; name"),
        ("target/debug/tritbnech", 2, "no such file, and no git revision of this name either"),
        ("mian", 2, "neither a program nor a git revision here"),
        ("main:kernels", 2, "neither a program nor a git revision here"),
        ("kernels", 2, "a folder; name a tritbench executable"),
        ("pipe", 2, "not a regular file"),
        ("/dev/zero", 2, "not a regular file"),
        ("plain", 2, "--against plain: not executable"),
        ("text", 2, "--against text: neither a program nor a script"),
        ("script", 5, "--against script: its interpreter /no/such/shell is not there"),
        ("other", 5, "--against other: built for another processor"),
        ("rev-a", 2, "both a file and a git revision"),
    ];
    for (against, code, part) in cases {
        let output = repository.gate(against).output().expect("starts");
        assert_eq!(output.status.code(), Some(code), "{against}: {}", stderr(&output));
        error_line(&stderr(&output), &[part]);
        assert!(!stderr(&output).contains("building"), "{against}");
    }
    let nothing = repository.folder().join("nothing");
    std::fs::create_dir(&nothing).expect("made");
    let words = |gate: &mut Command, parts: &[&str]| {
        let output = gate.output().expect("starts");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        error_line(&stderr(&output), parts);
    };
    words(repository.gate("main").env("PATH", &nothing), &["git is not installed"]);
    words(
        repository.gate("main").current_dir(&nothing).env("GIT_CEILING_DIRECTORIES", repository.folder()),
        &["not a git repository"],
    );
    // Git's own test switch for a repository of another user.
    words(
        repository.gate("main").env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1"),
        &["detected dubious ownership", "git config --global --add safe.directory"],
    );
}

/// The command that the line names brings the revision.
#[test]
fn what_brings_a_revision_is_named() {
    let repository = Repository::new();
    let from = format!("file://{}", repository.root().display());
    let clone = |name: &str, flags: &[&str]| {
        git(repository.folder(), &[&["clone", "--quiet"][..], flags, &[&from, name]].concat());
        repository.folder().join(name)
    };
    let words = |folder: &Path, against: &str| {
        let output = repository.gate(against).current_dir(folder).output().expect("starts");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        error_line(&stderr(&output), &[against])
    };
    repository.git(&["branch", "other", "rev-a"]);
    let shallow = clone("shallow", &["--depth", "1", "--branch", "rev-b"]);
    let line = words(&shallow, "other");
    assert!(line.contains("`git fetch --unshallow`") && line.contains("fetch-depth: 0"), "{line}");
    let single = clone("single", &["--single-branch", "--branch", "main"]);
    assert!(words(&single, "other").contains("a single branch"));
    for folder in [shallow, single] {
        assert!(words(&folder, "origin/other").contains("`git fetch origin other`"));
        assert!(words(&folder, "other").contains("`git fetch origin other` and then --against FETCH_HEAD"));
        git(&folder, &["fetch", "--quiet", "origin", "other"]);
        let mut gate = repository.gate("FETCH_HEAD");
        gate.current_dir(&folder);
        assert_eq!(repository.gated("FETCH_HEAD", gate), ["a"]);
        std::fs::remove_file(repository.folder().join("log-FETCH_HEAD")).expect("there");
    }
    let whole = clone("whole", &[]);
    assert!(words(&whole, "other").contains("there is origin/other"));
    let mut gate = repository.gate("origin/other");
    gate.current_dir(&whole).env("REVISION_LOG", repository.folder().join("log-x"));
    assert_eq!(gate.output().expect("starts").status.code(), Some(2));
    assert_eq!(repository.ran("x"), ["a"]);
}
