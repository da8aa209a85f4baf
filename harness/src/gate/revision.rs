//! What `--against` names: a program, or a revision of the repository that the current folder is in.

use super::git::Git;
use crate::error::{Error, Result};
use receipt::Build;
use std::fs;
use std::path::{Path, PathBuf};

/// What `--against` names: a program or a commit.
pub enum Named {
    Program(PathBuf),
    /// A commit, which has to be built.
    Revision(Revision),
}

/// A commit of this repository.
pub struct Revision {
    /// The revision as the user wrote it.
    pub text: String,
    /// Full hash of the commit.
    pub commit: String,
    /// The git folder that all work trees of the repository share.
    pub common: PathBuf,
    pub git: Git,
}

impl Revision {
    /// Name of the revision in messages and receipts.
    pub fn label(&self) -> String {
        format!("{} ({})", self.text, short(&self.commit))
    }
}

/// Checks that a program was built from `commit`, by what it says of its build.
///
/// # Errors
/// Exit 2 if it is another: what would be measured is not what was asked for.
pub fn require_commit(label: &str, commit: &str, build: &Build) -> Result<()> {
    if build.git_commit.as_deref() == Some(commit) {
        return Ok(());
    }
    let said = match &build.git_commit {
        Some(other) => format!("says that it is commit {}", short(other)),
        None => "does not say its commit".into(),
    };
    let (what, next) = ("nothing was compared", "build the revision yourself and name the program");
    let program = format!("the program that cargo built from it {said}, so it may be another's");
    Err(Error::input(format!("--against {label}: {program}; {what}; {next}")))
}

fn short(commit: &str) -> String {
    commit.chars().take(12).collect()
}

/// Finds out what the text after `--against` names.
///
/// # Errors
/// Exit 2 for what is no file and no revision, with git's reason.
pub fn find(text: &str) -> Result<Named> {
    let wrong = |what: &str| Error::input(format!("--against {text}: {what}"));
    let path = Path::new(text);
    let found = fs::metadata(path);
    // No revision begins like this.
    if text.is_empty() || text.starts_with(['/', '.', '~', '-']) {
        return match found {
            Ok(_) => Ok(Named::Program(path.to_path_buf())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(wrong("no such file; name a tritbench executable, a branch or a commit"))
            }
            Err(e) => Err(Error::io("read", path, &e)),
        };
    }
    match (found, revision(text)) {
        (_, Err(error)) if error.is_interrupt() => Err(error),
        (Ok(file), Ok(_)) if !file.is_dir() => {
            Err(wrong(&format!("both a file and a git revision; write ./{text} for the file or the commit's number")))
        }
        // A folder is no program, so it does not hide a branch of its name.
        (_, Ok(revision)) => Ok(Named::Revision(revision)),
        (Ok(_), Err(_)) => Ok(Named::Program(path.to_path_buf())),
        (Err(_), Err(error)) => Err(error),
    }
}

/// The commit that the text names, or why there is none: git does not answer here at all, or does not know it.
fn revision(text: &str) -> Result<Revision> {
    let wrong = |what: String| Error::input(format!("--against {text}: no such file{what}"));
    let no_git = |error: Error| error.reword(|why| wrong(format!(", and git knows no revision here: {why}")));
    let git = Git::find().map_err(no_git)?;
    let here = std::env::current_dir().map_err(|e| Error::input(format!("cannot find the current folder: {e}")))?;
    let common = here.join(git.run(&["rev-parse", "--git-common-dir"]).map_err(no_git)?);
    match git.run(&["rev-parse", "--verify", &format!("{text}^{{commit}}")]) {
        Ok(commit) => Ok(Revision { text: text.into(), commit, common, git }),
        Err(error) if error.is_interrupt() => Err(error),
        Err(refused) => {
            let remote = git.ask(&["remote"])?.and_then(|names| names.lines().next().map(str::to_owned));
            let advice = advice(&git, text, remote.as_deref(), &refused.to_string())?;
            // `target/x` and `x.old` are rather paths, `origin/x` is rather a branch.
            let branch = remote.is_some_and(|remote| text.starts_with(&format!("{remote}/")));
            Err(if text.contains(['/', '.']) && !branch {
                wrong(format!(", and no git revision of this name either; {advice}"))
            } else {
                Error::input(format!("--against {text}: neither a program nor a git revision here; {advice}"))
            })
        }
    }
}

/// What would bring the revision, as far as the repository shows it.
fn advice(git: &Git, text: &str, remote: Option<&str>, why: &str) -> Result<String> {
    let pattern = format!("refs/remotes/*/{text}");
    let tracked = git.ask(&["for-each-ref", "--count=1", "--format=%(refname:short)", &pattern])?;
    if let Some(tracked) = tracked.filter(|name| !name.is_empty()) {
        return Ok(format!("there is {tracked}"));
    }
    let shallow = git.ask(&["rev-parse", "--is-shallow-repository"])?.is_some_and(|answer| answer == "true");
    if let Some(remote) = remote {
        let branch = text.strip_prefix(&format!("{remote}/")).unwrap_or(text);
        let brings = format!("`git fetch {remote} {branch}` and then --against FETCH_HEAD");
        if shallow {
            return Ok(format!(
                "this clone is shallow, and these bring what it lacks: {brings}, or `git fetch --unshallow` \
                 (fetch-depth: 0 in a workflow)"
            ));
        }
        let fetched = git.ask(&["config", "--get-all", &format!("remote.{remote}.fetch")])?.unwrap_or_default();
        if !fetched.contains('*') {
            return Ok(format!("this clone has a single branch, and this brings another: {brings}"));
        }
    }
    // What git says of a name that it does not know is no news; of a number that begins several commits it is.
    let news = !(why.contains("Needed a single revision") || why.is_empty());
    let next = "name a tritbench executable, a branch or a commit";
    Ok(if news { format!("{why}; {next}") } else { next.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_another_commit_is_not_the_revision() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let mut build = crate::build_info::build();
        build.git_commit = Some(commit.into());
        assert!(require_commit("main (0123456789ab)", commit, &build).is_ok());
        let other = Some("f".repeat(40));
        for (other, part) in [(other, "says that it is commit ffffffffffff,"), (None, "does not say its")] {
            build.git_commit = other;
            let error = require_commit("main (0123456789ab)", commit, &build).expect_err("refused");
            assert!(error.exit() as u8 == 2 && error.to_string().contains(part), "{error}");
        }
    }
}
