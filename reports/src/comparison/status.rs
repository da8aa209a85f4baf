//! How far a run got.

use receipt::Status;

/// How far a run got, in a word.
pub fn status(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Interrupted => "interrupted",
        Status::Failed => "failed",
        Status::Running => "never finished",
    }
}
