//! The one error type of this crate: a line for people, and whether the input or a check was at fault.

use std::fmt;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was given is not a receipt, or not one that this build reads.
    Input,
    /// A check failed.
    Failed,
}

/// An error that is shown to the user as one line.
pub struct Error {
    kind: Kind,
    message: String,
}

/// Results of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Bad input. The message names the thing and, where there is one, the next step.
    pub fn input(message: impl Into<String>) -> Self {
        Self { kind: Kind::Input, message: message.into() }
    }

    /// A failed check.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, message: message.into() }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The line too: what `main` prints when it returns one.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
