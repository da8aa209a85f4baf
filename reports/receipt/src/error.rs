//! The one error type of this crate: a line for people, and whether the input or a check was at fault.

use std::fmt;

/// Whose fault an error is: the input's, or that of a check that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input is not a receipt, or not one that this build reads.
    Input,
    /// The input is a receipt of another major version.
    OtherVersion,
    /// A check of the receipt failed.
    Failed,
}

/// An error that is shown to the user as one line.
pub struct Error {
    kind: Kind,
    message: String,
}

/// The result of every function of this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of kind [`Kind::Input`]. The message names the thing and, where there is one, the next step.
    pub fn input(message: impl Into<String>) -> Self {
        Self { kind: Kind::Input, message: message.into() }
    }

    /// An error of kind [`Kind::OtherVersion`].
    pub fn other_version(message: impl Into<String>) -> Self {
        Self { kind: Kind::OtherVersion, message: message.into() }
    }

    /// An error of kind [`Kind::Failed`], for a check that does not hold.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, message: message.into() }
    }

    /// Whose fault this error is: the input's or a failed check's.
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
