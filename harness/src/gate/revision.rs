//! A build of another commit: `gate --against main` builds it in a work tree of its own, with the profile of this
//! build.

use crate::build_info;
use crate::error::{Error, Result};
use crate::output::note;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Package of the program, in every revision.
const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// Builds `revision` of the repository that the current folder is in and returns its program. `folder` is for the work
/// tree; the build itself goes to a target folder that later gates find again.
pub fn build_revision(revision: &str, folder: &Path) -> Result<(String, PathBuf)> {
    let not_found = || {
        Error::input(format!(
            "--against {revision}: neither a program nor a git revision here; name a tritbench executable, \
             a branch or a commit"
        ))
    };
    let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")]).ok_or_else(not_found)?;
    let common = git(&["rev-parse", "--path-format=absolute", "--git-common-dir"]).ok_or_else(not_found)?;
    let tree = folder.join(super::scratch::TREE);
    let at = tree.display().to_string();
    if git(&["worktree", "add", "--detach", &at, &commit]).is_none() {
        return Err(Error::input(format!("git worktree add {at} {commit} failed; try it by hand to see why")));
    }
    let short: String = commit.chars().take(12).collect();
    let target = Path::new(&common).join("tritbench-gate");
    let profile = build_info::build().profile;
    note(format!("building {revision} ({short}) with profile {profile}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "-p", PACKAGE, "--profile", &profile, "--target-dir"])
        .arg(&target)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(&tree)
        .stderr(Stdio::inherit())
        .output();
    let built = match built {
        Ok(built) if built.status.success() => program(&built.stdout),
        Ok(_) => Err(format!("{revision} ({short}) does not build; cargo's messages are above")),
        Err(e) => Err(format!("cannot run cargo to build {revision}: {e}")),
    };
    // Copied out of the shared target folder, because another gate may build there next.
    let kept = folder.join("program");
    let copied = built
        .map_err(Error::input)
        .and_then(|program| std::fs::copy(&program, &kept).map_err(|e| Error::io("copy the program", &program, &e)));
    let _ = git(&["worktree", "remove", "--force", &at]);
    copied?;
    Ok((format!("{revision} ({short})"), kept))
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
    let mut programs: Vec<PathBuf> = artifacts.filter_map(|artifact| artifact.executable).collect();
    match (programs.pop(), programs.len()) {
        (Some(program), 0) => Ok(program),
        (_, others) => {
            let found = if others == 0 { "none".into() } else { format!("{}", others + 1) };
            Err(format!("package {PACKAGE} has one program in every revision that can be gated; cargo built {found}"))
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    out.status.success().then(|| text.trim().to_owned())
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
