//! A repository whose package `harness` builds in a second. Its program notes which revision of `kernels` it was built
//! with, and becomes the program under test.

use crate::common::*;
use std::path::{Path, PathBuf};
use std::process::Command;

/// See the module. Tags `rev-a` and `rev-b` differ in one file of a dependency.
pub struct Repository {
    /// It and what is beside it.
    pub folder: Folder,
}

const PROGRAM: &str = r#"
use std::io::Write;
use std::os::unix::process::CommandExt;
fn main() {
    if let Some(log) = std::env::var_os("REVISION_LOG") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        writeln!(file, "{}", kernels::REVISION).unwrap();
    }
    let real = std::env::var_os("REAL_PROGRAM").unwrap();
    panic!("{}", std::process::Command::new(real).args(std::env::args_os().skip(1)).exec());
}
"#;

impl Repository {
    pub fn new() -> Self {
        let repository = Self { folder: Folder::new() };
        let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        repository.folder.make("repository");
        repository.git("init --quiet -b main");
        repository.write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"kernels\", \"harness\"]\n");
        repository.write("kernels/Cargo.toml", &package("kernels"));
        let depends = "[dependencies]\nkernels = { path = \"../kernels\" }\n";
        repository.write("harness/Cargo.toml", &(package("harness") + depends));
        repository.write("harness/src/main.rs", PROGRAM);
        repository.write(".gitignore", "target\n");
        repository.write("kernels/src/lib.rs", "pub const REVISION: &str = \"a\";\n");
        let mut lock = Command::new("cargo");
        lock.args(["generate-lockfile", "--offline"]).current_dir(repository.root());
        succeeds(lock.output().expect("cargo runs"));
        repository.commit("rev-a");
        repository.write("kernels/src/lib.rs", "pub const REVISION: &str = \"b\";\n");
        repository.commit("rev-b");
        repository
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub fn write(&self, name: &str, text: &str) {
        self.folder.write(&format!("repository/{name}"), text);
    }

    pub fn commit(&self, tag: &str) {
        self.git("add --all");
        self.git(&format!("commit --quiet --allow-empty -m {tag}"));
        self.git(&format!("tag {tag}"));
    }

    pub fn git(&self, args: &str) -> String {
        git(&self.root(), args)
    }

    /// `gate --against REVISION`, with more settings to come.
    pub fn gate(&self, against: &str) -> Command {
        let out = self.folder.at(&format!("run-{against}"));
        let mut gate = command(&["gate", "--against", against, "--out", &out]);
        gate.current_dir(self.root()).env("REAL_PROGRAM", program());
        gate.env("REVISION_LOG", self.folder.at(&format!("log-{against}")));
        gate
    }

    /// Runs a gate to its end and says which revisions ran. The real program's commit is not the mini revision's, which
    /// the gate must find out after it has started the program.
    pub fn gated(&self, against: &str, mut gate: Command) -> Vec<String> {
        let parts = [&format!("--against {against} ("), "the program that cargo built from it", "commit"];
        ends_with_error(&gate.output().expect("starts"), 2, &parts);
        assert!(!self.folder.has(&format!("run-{against}")), "nothing was measured");
        self.ran(against)
    }

    /// Which revisions ran when `against` was asked for.
    pub fn ran(&self, against: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.at(&format!("log-{against}"))).unwrap_or_default();
        let mut ran: Vec<String> = text.lines().map(str::to_owned).collect();
        ran.dedup();
        ran
    }
}

/// What git prints about the repository at `folder`.
pub fn git(folder: &Path, args: &str) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]);
    git.args(args.words()).current_dir(folder).env_remove("GIT_DIR");
    stdout(&succeeds(git.output().expect("git runs"))).trim().to_owned()
}
