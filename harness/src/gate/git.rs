//! Git as a gate asks it: about the current folder's repository, without a question to the user, in git's own words.

use super::wait;
use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::Command;

/// Git's answers about one repository. Where it refuses, the error is its own words alone.
pub struct Git {
    /// Environment variables with which a hook tells its own git to work on another repository or index.
    places: Vec<String>,
}

impl Git {
    /// Finds git, or says that there is none.
    pub fn find() -> Result<Self> {
        let names = Self { places: Vec::new() }.run(&["rev-parse", "--local-env-vars"])?;
        // Configuration stays: it may be what makes git trust the folder.
        let places = names.lines().filter(|name| !name.starts_with("GIT_CONFIG"));
        Ok(Self { places: places.map(str::to_owned).collect() })
    }

    /// Runs git with `args`: what it prints, without the line's end, else an error with its reason.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String> {
        let mut command = Command::new("git");
        self.leave_hook(&mut command);
        // No hook of the user's runs because a gate checks a revision out; a remote that wants a password is refused.
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]).args(args);
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
        let ended = wait::run(&mut command, &format!("`git {}`", words.join(" ")), false);
        let ended = ended.map_err(|e| match e.kind() {
            ErrorKind::Interrupted => Error::interrupted("interrupted while git was at work"),
            ErrorKind::NotFound => Error::input("git is not installed"),
            _ => Error::input(format!("cannot run git: {e}")),
        })?;
        if !ended.status.success() {
            return Err(Error::input(reason(&String::from_utf8_lossy(&ended.stderr))));
        }
        Ok(String::from_utf8_lossy(&ended.stdout).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// As [`Self::run`], but a refusal of git gives `None` and is no error.
    pub fn ask<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Option<String>> {
        match self.run(args) {
            Err(error) if error.is_interrupt() => Err(error),
            answer => Ok(answer.ok()),
        }
    }

    /// Removes from a command's environment the variables that git sets for a hook.
    pub fn leave_hook(&self, command: &mut Command) {
        for place in &self.places {
            command.env_remove(place);
        }
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
        for (said, line) in [
            (owner, "detected dubious ownership in repository at '/r'; git config --global --add safe.directory /r"),
            ("warning: refname 'x' is ambiguous.\nfatal: no\nmore\n", "no"),
            ("error: no\n", "no"),
            ("", "git failed without a word"),
        ] {
            assert_eq!(reason(said), line);
        }
    }
}
