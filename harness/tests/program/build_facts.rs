//! What a program says of its build is what git says when it is built, in whatever kind of checkout. The build script
//! is tried on a small workspace of its own.

use crate::common::*;
use crate::repository::{Repository, git};
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = r#"
fn main() {
    let _ = (kernels::REVISION, include_str!("../../scenarios/one.toml"));
    println!("{} {}", env!("TRITBENCH_GIT_COMMIT"), env!("TRITBENCH_GIT_DIRTY"));
}
"#;

fn workspace() -> Repository {
    let repository = Repository::new();
    repository.write("harness/build.rs", include_str!("../../build.rs"));
    repository.write("harness/src/main.rs", PROGRAM);
    repository.write("scenarios/one.toml", "summary = \"one\"\n");
    repository.write(".gitignore", "/target\n/reports/runs\n");
    repository.write("reports/README", "x\n");
    repository.commit("facts");
    repository
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--offline", "-p", "harness"]).current_dir(root);
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET");
    cargo
}

/// Commit and cleanness as the program says them, and what cargo said.
fn built(root: &Path, settings: &[(&str, &str)]) -> (String, String) {
    let output = succeeds(cargo(root).envs(settings.iter().copied()).output().expect("cargo runs"));
    let printed = Command::new(root.join("target/debug/harness")).output().expect("runs");
    (stdout(&printed).trim().to_owned(), stderr(&output))
}

fn says(root: &Path) -> String {
    built(root, &[]).0
}

/// The same as git says it.
fn truth(root: &Path) -> String {
    format!("{} {}", git(root, "rev-parse HEAD"), !git(root, "status --porcelain").is_empty())
}

/// Waits until the file system takes a change for a later one than those before.
fn a_moment(root: &Path) {
    let now = || {
        let file = root.join("target/moment");
        std::fs::write(&file, "").and_then(|()| std::fs::metadata(&file)?.modified()).expect("written")
    };
    let before = now();
    wait_for(|| (now() > before).then_some(()));
}

#[test]
fn every_input_counts_and_what_is_none_does_not() {
    let repository = workspace();
    let root = repository.root();
    assert!(says(&root).ends_with(" false"));
    // Built again only where something changed: cargo says of each package whether it was.
    let fresh = || {
        let said = stdout(&cargo(&root).arg("--message-format=json").output().expect("cargo runs"));
        said.lines().filter(|line| line.contains("\"fresh\":")).all(|line| line.contains("\"fresh\":true"))
    };
    assert!(fresh());
    for path in ["scenarios/one.toml", "reports/README", "Cargo.toml", "kernels/src/lib.rs"] {
        a_moment(&root);
        let before = std::fs::read_to_string(root.join(path)).expect("there");
        repository.write(path, &format!("{before}\n"));
        assert_eq!(says(&root), truth(&root), "{path} is edited");
        a_moment(&root);
        repository.write(path, &before);
        assert_eq!(says(&root), truth(&root), "{path} is as it was");
    }
    // Untracked inputs, the last in a folder that has nothing else.
    for path in ["harness/src/other.rs", "scenarios/two.toml", "kernels/benches/one.rs"] {
        a_moment(&root);
        repository.write(path, "");
        assert!(says(&root).ends_with(" true"), "{path} is there");
        a_moment(&root);
        std::fs::remove_file(root.join(path)).expect("removed");
        assert!(says(&root).ends_with(" false"), "{path} is gone");
    }
    // What a run writes is no input.
    a_moment(&root);
    repository.write("run/receipt.json", "{}");
    repository.write("reports/runs/one/receipt.json", "{}");
    assert!(fresh() && says(&root).ends_with(" false"));
    // An input that git forgot.
    repository.git("rm --quiet --cached scenarios/one.toml");
    repository.commit("forgotten");
    repository.git("rm --quiet --cached scenarios/one.toml");
    repository.git("commit --quiet -m without");
    assert_eq!(says(&root), truth(&root));
    assert!(says(&root).ends_with(" true"));
}

#[test]
fn every_kind_of_checkout_says_its_commit() {
    let repository = workspace();
    let root = repository.root();
    says(&root);
    let (beside, from) = (repository.folder.path(), root.display());
    let at = |name: &str| beside.join(name);
    repository.git(&format!("worktree add --quiet {} -b linked", at("linked").display()));
    repository.git(&format!("worktree add --quiet --detach {}", at("detached").display()));
    for name in ["unlogged", "packed"] {
        git(beside, &format!("clone --quiet {from} {name}"));
        let _ = std::fs::remove_dir_all(at(name).join(".git/logs"));
        git(&at(name), "config core.logAllRefUpdates false");
    }
    git(&at("packed"), "pack-refs --all");
    git(beside, "init --quiet outer");
    git(&at("outer"), &format!("submodule --quiet add {from} inner"));
    for folder in [root.clone(), at("linked"), at("detached"), at("unlogged"), at("packed"), at("outer/inner")] {
        assert_eq!(says(&folder), truth(&folder), "{}", folder.display());
        a_moment(&folder);
        git(&folder, "commit --quiet --allow-empty -m next");
        assert_eq!(says(&folder), truth(&folder), "{} after a commit", folder.display());
        // A branch that is moved without a commit or a checkout.
        a_moment(&folder);
        git(&folder, "update-ref HEAD HEAD~1");
        assert_eq!(says(&folder), truth(&folder), "{} after its branch was moved", folder.display());
    }
}

#[test]
fn another_repository_is_not_asked() {
    let repository = workspace();
    let commit = repository.git("rev-parse HEAD");
    // A hook tells its own git where to work.
    git(repository.folder.path(), "init --quiet outer");
    let outer = repository.folder.path().join("outer");
    git(&outer, "commit --quiet --allow-empty -m outer");
    let folder = outer.join(".git").display().to_string();
    let hook = [("GIT_DIR", folder.as_str()), ("GIT_WORK_TREE", "/"), ("GIT_INDEX_FILE", "/no/such/index")];
    assert_eq!(built(&repository.root(), &hook).0, format!("{commit} false"));
    // The sources without git, as a release has them.
    let unpack = |at: &Path| {
        std::fs::create_dir_all(at).expect("made");
        let archive = format!("git archive HEAD | tar -x -C '{}'", at.display());
        let unpacked = Command::new("sh").args(["-c", &archive]).current_dir(repository.root()).status();
        assert!(unpacked.expect("sh runs").success());
    };
    // In another's repository and at its root, tracked there and not.
    for (name, tracked) in [("inside", false), ("inside", true), ("", false)] {
        let at = outer.join(name);
        unpack(&at);
        if tracked {
            git(&outer, "add --all inside");
            git(&outer, "commit --quiet -m vendored");
            std::fs::remove_dir_all(at.join("target")).expect("removed");
        }
        let (says, warned) = built(&at, &[]);
        assert_eq!(says, "", "{name}: another repository's commit is none");
        assert!(warned.contains("will name no commit: the repository at "), "{warned}");
    }
    let nowhere = repository.folder.path().join("nowhere");
    unpack(&nowhere);
    let (says, warned) = built(&nowhere, &[]);
    assert!(says.is_empty() && warned.contains("not a git repository"), "{warned}");
}

/// Git refuses, then it is told to trust the folder: the next build asks again.
#[test]
fn a_refusal_is_a_warning_until_git_answers() {
    let repository = workspace();
    // Where Rust keeps things, for a build with another home.
    let home = std::env::var("HOME").unwrap_or_default();
    let rust = |name: &str, folder: &str| std::env::var(name).unwrap_or_else(|_| format!("{home}/{folder}"));
    let (cargo, rustup) = (rust("CARGO_HOME", ".cargo"), rust("RUSTUP_HOME", ".rustup"));
    let refuses = [("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1"), ("HOME", "/no/such/home")];
    let settings = [&refuses[..], &[("CARGO_HOME", &cargo), ("RUSTUP_HOME", &rustup)]].concat();
    let (says, warned) = built(&repository.root(), &settings);
    let named = warned.contains("detected dubious ownership") && warned.contains("safe.directory");
    assert!(says.is_empty() && named, "{warned}");
    let (says, warned) = built(&repository.root(), &[]);
    assert!(says == truth(&repository.root()) && !warned.contains("warning"), "{says}: {warned}");
}
