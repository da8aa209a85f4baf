//! `gate --against REVISION`: which program runs, by which compiler, and what is said where there is none.

use crate::common::*;
use crate::repository::{Repository, git};
use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn what_rustc_says(flag: &str) -> String {
    stdout(&Command::new("rustc").arg(flag).output().expect("rustc runs"))
}

#[test]
fn the_program_that_cargo_built_of_the_revision_runs_wherever_it_lies() {
    let repository = Repository::new();
    let said = what_rustc_says("-vV");
    let target = said.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let plain = |against: &str| repository.gate(against);
    assert_eq!(repository.gated("rev-a", plain("rev-a")), ["a"]);
    let mut moved = repository.gate("rev-b");
    moved.env("CARGO_BUILD_TARGET", target).env("CARGO_TARGET_DIR", "elsewhere");
    assert_eq!(repository.gated("rev-b", moved), ["b"]);
    // Settings of the folder where the gate is started are no settings of the revision.
    repository.write(".cargo/config.toml", "[build]\ntarget-dir = \"there\"\nrustflags = [\"--no-such-flag\"]\n");
    repository.git("tag again rev-a");
    assert_eq!(repository.gated("again", plain("again")), ["a"]);
    // What is not committed is no part of it, and a hook's settings for its own git are none for this one.
    repository.write("kernels/src/lib.rs", "pub const REVISION: &str = \"edited\";\n");
    let mut hook = repository.gate("main");
    hook.env("GIT_DIR", "/no/such/folder").env("GIT_INDEX_FILE", "/no/such/index").env("GIT_WORK_TREE", "/");
    assert_eq!(repository.gated("main", hook), ["b"]);
    assert_eq!(repository.git("worktree list").lines().count(), 1);
    assert!(!repository.root().join(".git/tritbench-gate/tree").exists());
}

#[test]
fn two_gates_at_once_run_each_its_own_revision() {
    let repository = Repository::new();
    for child in ["rev-a", "rev-b"].map(|against| repository.gate(against).spawn().expect("starts")) {
        assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(2));
    }
    assert_eq!((repository.ran("rev-a"), repository.ran("rev-b")), (vec!["a".into()], vec!["b".into()]));
}

/// A build and a lock that never end: one signal to the gate alone ends it with all that it started.
#[test]
fn a_gate_that_waits_says_for_what_and_ends_with_one_signal() {
    let repository = Repository::new();
    let started_file = repository.folder.at("started");
    let endless = "fn main() {\n    std::fs::write(std::env::var_os(\"STARTED\").unwrap(), \
                   std::process::id().to_string()).unwrap();\n    \
                   std::thread::sleep(std::time::Duration::from_secs(6000));\n}\n";
    repository.write("kernels/build.rs", endless);
    repository.commit("endless");
    for signals in [1, 2] {
        let _ = std::fs::remove_file(&started_file);
        let building = repository.gate("endless").env("STARTED", &started_file).spawn().expect("starts");
        let script: u32 = wait_for(|| std::fs::read_to_string(&started_file).ok()?.parse().ok());
        let waiting = repository.gate("rev-a").spawn().expect("starts");
        (0..signals).for_each(|_| assert!(signal(building.id(), "INT")));
        let output = building.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        wait_for(|| (!signal(script, "0")).then_some(()));
        if signals == 1 {
            ends_with_error(&output, 130, &["interrupted while building endless ("]);
        }
        // The lock is free, whatever ended its holder.
        assert_eq!(waiting.wait_with_output().expect("ends").status.code(), Some(2));
        assert_eq!(repository.ran("rev-a"), ["a"]);
        assert_eq!(repository.git("worktree list").lines().filter(|l| !l.contains("prunable")).count(), 1);
    }
    let path = repository.root().join(".git/tritbench-gate/lock");
    let lock = std::fs::File::options().write(true).open(&path).expect("there");
    lock.lock().expect("locked");
    std::fs::write(&path, "12345\n").expect("written");
    let mut waiting = repository.gate("rev-a").spawn().expect("starts");
    let mut said = std::io::BufReader::new(waiting.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("waiting for process 12345, which builds a revision in ") {
        line.clear();
        assert_ne!(said.read_line(&mut line).expect("text"), 0, "it ended");
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
    let note = |gate: &mut Command| {
        let output = gate.output().expect("starts");
        ends_with_error(&output, 2, &["the program that cargo built from it"]);
        let said = stderr(&output);
        let line = said.lines().find(|line| line.starts_with("building another-compiler (")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{said}"))
    };
    let direct = note(repository.gate("another-compiler").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN"));
    let mut by_cargo = repository.gate("another-compiler");
    by_cargo.env("CARGO", "/no/such/cargo").env("RUSTUP_TOOLCHAIN", "no-such-toolchain");
    by_cargo.env("RUSTFLAGS", "--no-such-flag").env("CARGO_ENCODED_RUSTFLAGS", "--no-such-flag");
    by_cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "no-such-level");
    assert_eq!(note(&mut by_cargo), direct);
    // Tests are built by the compiler that built the program, into a folder that has its profile's name, but for dev's.
    let program = program();
    let folder = Path::new(&program).parent().and_then(Path::file_name).expect("a folder").to_string_lossy();
    let profile = if folder == "debug" { "dev" } else { &folder };
    let built = format!(" with profile {profile} and {}", what_rustc_says("--version").trim());
    assert!(direct.contains(&built), "{direct}");
}

/// The program that is judged is the one that was started, whatever is built in its place meanwhile.
#[test]
fn the_program_that_runs_is_gated_although_its_file_is_another_by_then() {
    let repository = Repository::new();
    let own = repository.folder.at("tritbench");
    std::fs::copy(program(), &own).expect("copied");
    let replace = "fn main() {\n    let own = std::env::var_os(\"OWN\").unwrap();\n    \
                   std::fs::remove_file(&own).unwrap();\n    \
                   std::fs::write(&own, \"junk\").unwrap();\n}\n";
    repository.write("kernels/build.rs", replace);
    repository.commit("replaces");
    let mut gate = Command::new(&own);
    gate.args(["gate", "--against", "replaces"]).current_dir(repository.root());
    gate.env("OWN", &own).env("REAL_PROGRAM", program());
    let output = gate.output().expect("starts");
    ends_with_error(&output, 2, &["--against replaces (", "the program that cargo built from it"]);
    assert_eq!(repository.folder.read("tritbench"), "junk", "it was replaced before anything was compared");
}

/// Where there is nothing to gate against, one line says why, before anything is built.
#[test]
fn what_is_neither_a_program_nor_a_revision_is_told_apart() {
    let repository = Repository::new();
    let file = |name: &str, bytes: &[u8], mode: u32| {
        let path = repository.root().join(name);
        std::fs::write(&path, bytes).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let mut other = std::fs::read(program()).expect("read");
    other[18] ^= 0xff;
    file("other", &other, 0o755);
    file("plain", b"#!/bin/sh\n", 0o644);
    file("text", b"text", 0o755);
    file("script", b"#!/no/such/shell\n", 0o755);
    file("rev-a", b"#!/bin/sh\n", 0o755);
    assert!(Command::new("mkfifo").arg(repository.root().join("pipe")).status().expect("mkfifo").success());
    for (against, code, part) in [
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
    ] {
        let output = repository.gate(against).output().expect("starts");
        ends_with_error(&output, code, &[part]);
        assert!(!stderr(&output).contains("building"), "{against}");
    }
    let nothing = repository.folder.make("nothing");
    let refused = |gate: &mut Command, parts: &[&str]| ends_with_error(&gate.output().expect("starts"), 2, parts);
    refused(repository.gate("main").env("PATH", &nothing), &["git is not installed"]);
    let mut nowhere = repository.gate("main");
    nowhere.current_dir(&nothing).env("GIT_CEILING_DIRECTORIES", repository.folder.path());
    refused(&mut nowhere, &["not a git repository"]);
    // Git's own test switch for a repository of another user.
    let mut others = repository.gate("main");
    let advice = "git config --global --add safe.directory";
    refused(others.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1"), &["detected dubious ownership", advice]);
}

/// The command that the line names brings the revision.
#[test]
fn what_brings_a_revision_is_named() {
    let repository = Repository::new();
    let beside = repository.folder.path();
    let clone = |name: &str, flags: &str| {
        git(beside, &format!("clone --quiet {flags} file://{} {name}", repository.root().display()));
        beside.join(name)
    };
    let refused = |folder: &Path, against: &str, part: &str| {
        let output = repository.gate(against).current_dir(folder).output().expect("starts");
        ends_with_error(&output, 2, &[against, part])
    };
    repository.git("branch other rev-a");
    let shallow = clone("shallow", "--depth 1 --branch rev-b");
    assert!(refused(&shallow, "other", "`git fetch --unshallow`").contains("fetch-depth: 0"));
    let single = clone("single", "--single-branch --branch main");
    refused(&single, "other", "a single branch");
    for folder in [shallow, single] {
        refused(&folder, "origin/other", "`git fetch origin other`");
        refused(&folder, "other", "`git fetch origin other` and then --against FETCH_HEAD");
        git(&folder, "fetch --quiet origin other");
        let mut gate = repository.gate("FETCH_HEAD");
        gate.current_dir(&folder);
        assert_eq!(repository.gated("FETCH_HEAD", gate), ["a"]);
        std::fs::remove_file(repository.folder.at("log-FETCH_HEAD")).expect("there");
    }
    let whole = clone("whole", "");
    refused(&whole, "other", "there is origin/other");
    let mut gate = repository.gate("origin/other");
    gate.current_dir(&whole).env("REVISION_LOG", repository.folder.at("log-x"));
    assert_eq!(gate.output().expect("starts").status.code(), Some(2));
    assert_eq!(repository.ran("x"), ["a"]);
}
