//! Cargo as a gate asks it: the compiler, the flags and the profile of this program build the other side, however this
//! program was started, because the question is whether the code is slower.

use super::git::Git;
use super::wait;
use crate::build_info::{self, Recipe};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Package of the program, in every revision.
const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// The cargo and the compiler with which a gate builds revisions.
pub struct Cargo<'a> {
    git: &'a Git,
    recipe: Recipe,
    /// What the compiler calls itself.
    rustc: String,
}

impl<'a> Cargo<'a> {
    /// Finds the compiler with which a gate builds revisions.
    ///
    /// # Errors
    /// Exit 2 where there is none, or rustup does not have the one that built this program.
    pub fn find(git: &'a Git) -> Result<Self> {
        let mut cargo = Self { git, recipe: build_info::recipe(), rustc: String::new() };
        let rustc = std::env::var_os("RUSTC").filter(|rustc| !rustc.is_empty()).unwrap_or_else(|| "rustc".into());
        let mut command = cargo.command(&rustc);
        let ended = wait::run(command.arg("--version"), "rustc", false).map_err(|e| not_run("rustc", &e))?;
        if !ended.status.success() {
            let stderr = String::from_utf8_lossy(&ended.stderr);
            let why = stderr.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let what = "the compiler that built this program cannot build a revision here";
            return Err(Error::input(format!("{what}: {why}; install it or name a program")));
        }
        String::from_utf8_lossy(&ended.stdout).trim().clone_into(&mut cargo.rustc);
        Ok(cargo)
    }

    /// Compiler, flags and settings that a revision is built with, in words.
    pub fn words(&self) -> String {
        let build = build_info::build();
        let mut words = format!("profile {} and {}", build.profile, self.rustc);
        if self.rustc != build.rustc {
            words.push_str(&format!(" (this program: {})", build.rustc));
        }
        let flags = self.recipe.rustflags.replace('\x1f', " ");
        let set = self.recipe.settings.iter().map(|(name, value)| format!("{name}={value}"));
        let flags = Some(flags).filter(|flags| !flags.is_empty()).map(|flags| format!("RUSTFLAGS={flags}"));
        flags.into_iter().chain(set).for_each(|setting| words.push_str(&format!(", {setting}")));
        words
    }

    /// Builds the work tree into `target` and says where cargo put its program.
    pub fn build(&self, label: &str, tree: &Path, target: &Path) -> Result<PathBuf> {
        let build = build_info::build();
        let mut cargo = self.command("cargo".as_ref());
        cargo.args(["build", "--quiet", "-p", PACKAGE, "--profile", &build.profile, "--target", &build.target]);
        cargo.arg("--manifest-path").arg(tree.join("Cargo.toml")).arg("--target-dir").arg(target);
        cargo.arg("--message-format=json-render-diagnostics");
        // The revision's own settings. Cargo looks for settings above the folder that it is started in, and above the
        // work tree are those of other checkouts.
        let own = ["config.toml", "config"].map(|name| tree.join(".cargo").join(name));
        if let Some(path) = own.iter().find(|path| path.is_file()) {
            cargo.arg("--config").arg(path);
        }
        cargo.env("CARGO_BUILD_BUILD_DIR", target);
        let what = format!("cargo, which builds {label}");
        let ended = wait::run(&mut cargo, &what, true).map_err(|e| match e.kind() {
            ErrorKind::Interrupted => {
                Error::interrupted(format!("interrupted while building {label}; nothing was measured"))
            }
            _ => not_run("cargo", &e),
        })?;
        if !ended.status.success() {
            return Err(Error::input(format!("{label} does not build; cargo's messages are above")));
        }
        program(&ended.stdout).map_err(Error::input)
    }

    /// A command with the compiler and the flags that built this program, and with nothing of how it was started.
    fn command(&self, name: &std::ffi::OsStr) -> Command {
        let mut command = Command::new(name);
        let root = std::env::current_dir().ok().and_then(|here| here.ancestors().last().map(Path::to_path_buf));
        command.current_dir(root.unwrap_or_else(|| PathBuf::from("/")));
        self.git.leave_hook(&mut command);
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in names.filter(of_a_build) {
            command.env_remove(name);
        }
        if let Some(toolchain) = &self.recipe.toolchain {
            command.env("RUSTUP_TOOLCHAIN", toolchain);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", &self.recipe.rustflags);
        command.envs(self.recipe.settings.iter().cloned());
        command
    }
}

/// Whether an environment variable says how something is built: set by `cargo run`, or by the user for another build.
fn of_a_build(name: &OsString) -> bool {
    let Some(name) = name.to_str() else { return false };
    let settings = ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_ENCODED_"].iter().any(|start| name.starts_with(start));
    settings || ["CARGO", "CARGO_INCREMENTAL", "CARGO_TARGET_DIR", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"].contains(&name)
}

fn not_run(name: &str, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => Error::interrupted("interrupted before anything was measured"),
        ErrorKind::NotFound => Error::input(format!(
            "{name} is not installed, and a revision has to be built; install Rust or name a tritbench executable"
        )),
        _ => Error::input(format!("cannot run {name} to build a revision: {error}")),
    }
}

/// What is read of one of cargo's messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
}

/// The program among what cargo says it built. Its name is the revision's own, and where it lies is cargo's to say.
fn program(messages: &[u8]) -> std::result::Result<PathBuf, String> {
    let messages =
        messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    let artifacts = messages.filter(|message| message.reason == "compiler-artifact");
    let programs: Vec<PathBuf> = artifacts.filter_map(|artifact| artifact.executable).collect();
    if let [program] = &programs[..] {
        return Ok(program.clone());
    }
    let found = if programs.is_empty() { "none".into() } else { programs.len().to_string() };
    Err(format!("package {PACKAGE} has one program in every revision that can be gated; cargo built {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_the_program_is() {
        let library = r#"{"reason":"compiler-artifact","executable":null,"target":{"kind":["lib"]}}"#;
        let end = r#"{"reason":"build-finished","success":true}"#;
        let built = |path: &str| format!(r#"{{"reason":"compiler-artifact","executable":"{path}","fresh":true}}"#);
        let said = |lines: &[&str]| program(lines.join("\n").as_bytes());
        let one = built("/elsewhere/any-name");
        assert_eq!(said(&[library, &one, end]), Ok(PathBuf::from("/elsewhere/any-name")));
        assert!(said(&[library, end]).unwrap_err().ends_with("cargo built none"));
        assert!(said(&[&one, &built("/b"), end]).unwrap_err().ends_with("cargo built 2"));
    }
}
