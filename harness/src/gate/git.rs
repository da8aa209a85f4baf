//! Git as a gate asks it: about the repository that the current folder is in, without a question to the user, and with
//! git's own words when it refuses.

use super::wait;
use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// Git's answers about one repository.
pub struct Git {
    /// Environment variables with which a hook tells its own git where to work: of another repository, or of an index
    /// that is not this one's.
    places: Vec<String>,
}

/// Git did not do what it was asked for: its own words.
pub struct Refused(pub String);

impl Git {
    /// Finds out whether there is a git.
    ///
    /// # Errors
    /// Exit 2 where it is not installed.
    pub fn find() -> Result<std::result::Result<Self, Refused>> {
        let mut git = Self { places: Vec::new() };
        let answer = git.run(&["rev-parse", "--local-env-vars"])?;
        Ok(answer.map(|names| {
            // Configuration stays: it may be what makes git trust the folder.
            let places = names.lines().filter(|name| !name.starts_with("GIT_CONFIG"));
            git.places = places.map(str::to_owned).collect();
            git
        }))
    }

    /// What git prints, without the line's end; else why it refuses.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<std::result::Result<String, Refused>> {
        let mut command = Command::new("git");
        self.leave_hook(&mut command);
        // No hook of the user's runs because a gate checks a revision out; a remote that wants a password is refused.
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]).args(args);
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
        match wait::run(&mut command, &format!("`git {}`", words.join(" ")), false) {
            Ok(ended) if ended.status.success() => {
                let text = String::from_utf8_lossy(&ended.stdout).into_owned();
                Ok(Ok(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            Ok(ended) => Ok(Err(Refused(reason(&ended.stderr)))),
            Err(wait::Failed::Interrupted) => Err(Error::interrupted("interrupted while git was at work")),
            Err(wait::Failed::NotRun(e)) if e.kind() == std::io::ErrorKind::NotFound => {
                Ok(Err(Refused("git is not installed".into())))
            }
            Err(wait::Failed::NotRun(e)) => Ok(Err(Refused(format!("cannot run git: {e}")))),
        }
    }

    /// As [`Self::run`], where a refusal is only a no.
    pub fn ask<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Option<String>> {
        Ok(self.run(args)?.ok())
    }

    /// Takes from a command's environment what a hook tells its own git.
    pub fn leave_hook(&self, command: &mut Command) {
        for place in &self.places {
            command.env_remove(place);
        }
    }

    /// The folder that all work trees of the repository share.
    pub fn common_folder(&self) -> Result<std::result::Result<PathBuf, Refused>> {
        let here = std::env::current_dir().map_err(|e| Error::input(format!("cannot find the current folder: {e}")))?;
        Ok(self.run(&["rev-parse", "--git-common-dir"])?.map(|folder| here.join(folder)))
    }
}

/// The first line of what git said, and the command that it advises, which it indents.
fn reason(said: &str) -> String {
    let lines = || said.lines().filter(|line| !line.starts_with("warning: ") && !line.trim().is_empty());
    let plain = |line: &str| line.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned();
    let first = lines().next().map_or_else(|| "git failed without a word".into(), plain);
    match lines().find_map(|line| line.strip_prefix('\t')) {
        Some(advice) => format!("{first}; {advice}"),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_gits_first_line_and_its_advice() {
        let owner = "fatal: detected dubious ownership in repository at '/r'\nTo add an exception for this directory, \
                     call:\n\n\tgit config --global --add safe.directory /r\n";
        let line = "detected dubious ownership in repository at '/r'; git config --global --add safe.directory /r";
        assert_eq!(reason(owner), line);
        assert_eq!(reason("warning: refname 'x' is ambiguous.\nfatal: no\nmore\n"), "no");
        assert_eq!(reason("error: no\n"), "no");
        assert_eq!(reason(""), "git failed without a word");
    }
}
