//! A build of another commit: `gate --against main` builds it in a work tree of its own, with the profile of this build.

use crate::build_info;
use crate::error::{Error, Result};
use crate::output::note;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `revision` of the repository that the current folder is in and returns its program. `folder` is for the work tree; the build
/// itself goes to a target folder that later gates find again.
pub fn build_revision(revision: &str, folder: &Path) -> Result<(String, PathBuf)> {
    let not_found = || {
        Error::input(format!(
            "--against {revision}: neither a program nor a git revision here; name a harness executable, a branch or a commit"
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
        .args(["build", "--quiet", "-p", "harness", "--profile", &profile, "--target-dir"])
        .arg(&target)
        .current_dir(&tree)
        .status();
    let folder_of_profile = if profile == "dev" { "debug" } else { &profile };
    let program = target.join(folder_of_profile).join(format!("harness{}", std::env::consts::EXE_SUFFIX));
    // Copied out of the shared target folder, because another gate may build there next.
    let kept = folder.join("harness");
    let copied = std::fs::copy(&program, &kept);
    let _ = git(&["worktree", "remove", "--force", &at]);
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(Error::input(format!("{revision} ({short}) does not build; cargo's messages are above"))),
        Err(e) => return Err(Error::input(format!("cannot run cargo to build {revision}: {e}"))),
    }
    copied.map_err(|e| Error::io("copy the program", &program, &e))?;
    Ok((format!("{revision} ({short})"), kept))
}

fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).stderr(std::process::Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    out.status.success().then(|| text.trim().to_owned())
}
