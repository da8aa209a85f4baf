//! A repository whose package `harness` builds in a second. Its program notes which revision of `kernels` it was built
//! with, and becomes the program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// See the module. Tags `rev-a` and `rev-b` differ in one file of a dependency.
pub struct Repository {
    dir: TempDir,
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
        let repository = Self { dir: TempDir::new().expect("a folder") };
        let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        std::fs::create_dir(repository.root()).expect("made");
        repository.git(&["init", "--quiet", "-b", "main"]);
        repository.write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"kernels\", \"harness\"]\n");
        repository.write("kernels/Cargo.toml", &package("kernels"));
        let depends = "[dependencies]\nkernels = { path = \"../kernels\" }\n";
        repository.write("harness/Cargo.toml", &(package("harness") + depends));
        repository.write("harness/src/main.rs", PROGRAM);
        repository.write(".gitignore", "target\n");
        repository.write("kernels/src/lib.rs", "pub const REVISION: &str = \"a\";\n");
        let lock =
            Command::new("cargo").args(["generate-lockfile", "--offline"]).current_dir(repository.root()).output();
        assert!(lock.expect("cargo runs").status.success());
        repository.commit("rev-a");
        repository.write("kernels/src/lib.rs", "pub const REVISION: &str = \"b\";\n");
        repository.commit("rev-b");
        repository
    }

    pub fn root(&self) -> PathBuf {
        self.folder().join("repository")
    }

    /// For what is beside the repository.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub fn commit(&self, tag: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", tag]);
        self.git(&["tag", tag]);
    }

    pub fn git(&self, args: &[&str]) -> String {
        git(&self.root(), args)
    }

    /// `gate --against REVISION`, with more settings to come.
    pub fn gate(&self, against: &str) -> Command {
        let mut gate = Command::new(super::harness_path());
        gate.args(["gate", "--against", against, "--out"]).arg(self.run(against)).current_dir(self.root());
        gate.env("REAL_PROGRAM", super::harness_path()).env("REVISION_LOG", self.log(against));
        gate
    }

    /// Runs a gate to its end and says which revisions ran. The real program's commit is not the mini revision's, which
    /// the gate must find out after it has started the program.
    pub fn gated(&self, against: &str, mut gate: Command) -> Vec<String> {
        let output = gate.output().expect("starts");
        let said = super::stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        super::error_line(
            &said,
            &[&format!("--against {against} ("), "the program that cargo built from it", "commit"],
        );
        assert!(!self.run(against).exists(), "nothing was measured");
        self.ran(against)
    }

    /// Which revisions ran when `against` was asked for.
    pub fn ran(&self, against: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.log(against)).unwrap_or_default();
        let mut ran: Vec<String> = text.lines().map(str::to_owned).collect();
        ran.dedup();
        ran
    }

    fn run(&self, against: &str) -> PathBuf {
        self.folder().join(format!("run-{against}"))
    }

    fn log(&self, against: &str) -> PathBuf {
        self.folder().join(format!("log-{against}"))
    }
}

/// What git prints about the repository at `folder`.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let output: Output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(folder)
        .env_remove("GIT_DIR")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}
