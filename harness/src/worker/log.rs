//! What a worker and the code it loads print: kept apart, and quoted when it ends without an answer.

use std::fs::File;
use std::io;
use std::process::Stdio;

/// Bytes of the end that are looked at, and characters of a line that are quoted.
const TAIL_BYTES: u64 = 4096;
const LONGEST_QUOTE: usize = 240;

/// What a worker prints, kept in a file without a name: gone with the last process that has it open.
pub struct Log(File);

impl Log {
    /// Makes an empty log.
    pub fn new() -> io::Result<Self> {
        tempfile::tempfile().map(Self)
    }

    /// A handle of the log to be a child's stdout or stderr.
    pub fn stdio(&self) -> io::Result<Stdio> {
        self.0.try_clone().map(Stdio::from)
    }

    /// The last 4096 bytes of what was printed.
    pub fn tail(&self) -> String {
        String::from_utf8_lossy(&self.read_tail().unwrap_or_default()).into_owned()
    }

    /// Read at a place, not from the place where this handle stands: the child writes there.
    #[cfg(unix)]
    fn read_tail(&self) -> io::Result<Vec<u8>> {
        let length = self.0.metadata()?.len();
        let from = length.saturating_sub(TAIL_BYTES);
        let mut bytes = vec![0; (length - from) as usize];
        std::os::unix::fs::FileExt::read_exact_at(&self.0, &mut bytes, from)?;
        Ok(bytes)
    }

    #[cfg(not(unix))]
    fn read_tail(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// The last printed line that says something, see [`last_line`].
    pub fn last_line(&self) -> Option<String> {
        last_line(&self.tail())
    }
}

/// The last line of what a program printed that is neither empty nor a `note:`, with which a panic ends.
pub fn last_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("note: "))?;
    Some(line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_QUOTE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_line_that_says_something() {
        let log = Log::new().expect("a file");
        assert_eq!(log.last_line(), None);
        let mut other = log.0.try_clone().expect("another handle");
        other.write_all(&b"first\n".repeat(5000)).expect("written");
        other.write_all(b"what\x1b[1m happened\n\n  \n").expect("written");
        assert_eq!(log.last_line().as_deref(), Some("what [1m happened"));
        other.write_all(b"more\nnote: run with a backtrace\n").expect("written");
        assert_eq!(log.last_line().as_deref(), Some("more"), "looking moved nothing");
    }
}
