//! What went wrong: a kind, and one line of text that says what, where and, if there is one, the next step.

/// Kind of a failure, from which a caller can choose an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A check failed: something computes what it must not.
    Failed,
    /// Bad input: a file, a parameter, a request that does not fit.
    Input,
    /// The work was stopped by its stop flag, for example after Ctrl-C.
    Interrupted,
    /// A kernel that is not of this program says that it cannot.
    Refused,
}

/// An error of this crate: a kind, and a message of one line.
#[derive(thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

/// Result of this crate's functions, with [`Error`] as its error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Makes an error of kind [`Kind::Failed`]: a check failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, message: message.into() }
    }

    /// Makes an error of kind [`Kind::Input`]. The message names the thing and, where there is one, the next step.
    pub fn input(message: impl Into<String>) -> Self {
        Self { kind: Kind::Input, message: message.into() }
    }

    /// Makes an error of kind [`Kind::Interrupted`]: the stop flag was set.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { kind: Kind::Interrupted, message: message.into() }
    }

    /// The first of some faults of the input, with their number in words where there are more; none is fine.
    pub(crate) fn first_of(mut faults: impl Iterator<Item = Error>, more: &str) -> Result<()> {
        let Some(first) = faults.next() else { return Ok(()) };
        match faults.count() {
            0 => Err(first),
            n => Err(Self::input(format!("{first} ({n} {more})"))),
        }
    }

    /// This error, which a kernel's is behind: a refusal where the kernel says itself that it cannot.
    pub(crate) fn caused_by(self, error: &kernels::KernelError) -> Self {
        if error.is_refusal() { Self { kind: Kind::Refused, ..self } } else { self }
    }

    /// The kind of this failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// The line too: what `main` prints when it returns one.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
