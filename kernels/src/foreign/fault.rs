//! What a foreign call did that is no result.

use std::fmt;

/// What a foreign call did that is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It said that it cannot.
    Refused(String),
    /// It did what the header forbids.
    Wrong(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(what) | Self::Wrong(what)) = self;
        f.write_str(what)
    }
}
