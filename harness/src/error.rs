//! The one error type of the command line: what happened, what to do next, and the documented exit code.

use model::error::Kind;
use receipt::Outcome;
use std::fmt;
use std::path::Path;

/// Exit codes of the program: a stable contract (MANUAL, "Exit codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A check failed: a kernel mismatch, a wrong golden, a regression.
    Failed = 1,
    /// Bad usage or bad input: a flag, a file, a scenario.
    Input = 2,
    /// Everything was measured and neither PASS nor FAIL can be said.
    Inconclusive = 3,
    /// The machine differs from itself: nothing measured should be believed.
    Unstable = 4,
    /// This machine cannot do it: a CPU feature is missing or masked.
    Unsupported = 5,
    /// The user pressed Ctrl-C (128 + SIGINT, as shells expect).
    Interrupted = 130,
}

/// An error that is shown to the user as one line: `error: <message>`.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
}

/// Results of everything that can fail in front of a user.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The error of a failed check (exit 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// The error of bad usage or input (exit 2). The message names the thing and, where there is one, the next step.
    pub fn input(message: impl Into<String>) -> Self {
        Self { exit: Exit::Input, message: message.into() }
    }

    /// The error of a verdict other than PASS, with that verdict's exit code.
    pub fn verdict(outcome: Outcome, message: impl Into<String>) -> Self {
        let exit = match outcome {
            Outcome::Pass | Outcome::Fail => Exit::Failed,
            Outcome::Inconclusive => Exit::Inconclusive,
            Outcome::Unstable => Exit::Unstable,
            Outcome::Unsupported => Exit::Unsupported,
        };
        Self { exit, message: message.into() }
    }

    /// The error of what this machine cannot do (exit 5).
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unsupported, message: message.into() }
    }

    /// The error of work that the user stopped (exit 130).
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { exit: Exit::Interrupted, message: message.into() }
    }

    /// An operating-system error about a path (exit 2): says what was tried, on which path, and why it failed.
    pub fn io(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::input(format!("cannot {action} {}: {error}", path.display()))
    }

    /// The exit code with which this error ends the program.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether the user, and nothing that went wrong, ended the work.
    pub fn is_interrupt(&self) -> bool {
        self.exit == Exit::Interrupted
    }

    /// Makes another error of this one's message with `other`; an interrupt stays an interrupt.
    pub fn reword(self, other: impl FnOnce(String) -> Self) -> Self {
        if self.is_interrupt() { self } else { other(self.message) }
    }
}

impl From<model::Error> for Error {
    fn from(error: model::Error) -> Self {
        let exit = match error.kind() {
            Kind::Failed => Exit::Failed,
            Kind::Input => Exit::Input,
            Kind::Interrupted => Exit::Interrupted,
            Kind::Refused => Exit::Unsupported,
        };
        Self { exit, message: error.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<receipt::Error> for Error {
    fn from(error: receipt::Error) -> Self {
        match error.kind() {
            receipt::Kind::Input | receipt::Kind::OtherVersion => Self::input(error.to_string()),
            receipt::Kind::Failed => Self::failed(error.to_string()),
        }
    }
}
