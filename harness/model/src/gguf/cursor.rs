//! A bounds-checked walk over a file's header, whose errors say which field broke and at which byte.

use crate::error::{Error, Result};

/// Longest piece of untrusted text that an error message repeats.
const QUOTE_CHARS: usize = 60;

const CUT: &str = "truncated or corrupt, so download it again";

/// Makes untrusted text safe for one line: quoted, control characters escaped, long text cut.
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTE_CHARS).collect();
    let dots = if cut.len() < text.len() { "..." } else { "" };
    format!("\"{}{dots}\"", cut.escape_debug())
}

/// A sentence about a metadata key that the file leaves out and what is done instead.
pub fn left_out(key: &str, instead: impl std::fmt::Display) -> String {
    format!("{} is not in the file: {instead}", quoted(key))
}

/// Reads little-endian fields from `bytes`, never past the end.
#[derive(Clone)]
pub struct Cursor<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at byte `at` of `bytes`; `file` is the name that errors show.
    pub fn new(file: &'a str, bytes: &'a [u8], at: usize) -> Self {
        Self { file, bytes, at: at.min(bytes.len()) }
    }

    /// Byte offset of the next field.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Number of bytes that are left to read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Makes an input error about a field that starts at byte `at`.
    pub fn error_at(&self, at: usize, field: &str, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {field} at byte {at}: {what}", self.file))
    }

    /// Reads the next `n` bytes. `field` names them in the error.
    pub fn take(&mut self, n: usize, field: &str) -> Result<&'a [u8]> {
        let left = self.remaining();
        if n > left {
            let what = format!("needs {n} bytes but the file has only {left} left; it is {CUT}");
            return Err(self.error_at(self.at, field, what));
        }
        let taken = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(taken)
    }

    /// Reads the next `N` bytes as an array, for `from_le_bytes`.
    pub fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, field)?);
        Ok(out)
    }

    /// Reads a little-endian u32. `field` names it in the error.
    pub fn u32(&mut self, field: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    /// Reads a little-endian u64. `field` names it in the error.
    pub fn u64(&mut self, field: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// Reads a u64 count of things that take at least `min_bytes` each, so a lying count is caught before anything is
    /// reserved.
    pub fn count(&mut self, min_bytes: usize, limit: u64, field: &str) -> Result<usize> {
        let at = self.at;
        let count = self.u64(field)?;
        if count > limit {
            return Err(self.error_at(at, field, format!("{count} is over the limit of {limit}")));
        }
        let left = self.remaining();
        let fits = (left / min_bytes.max(1)) as u64;
        if count > fits {
            let what = format!("says {count}, but the {left} bytes left hold at most {fits}; the file is {CUT}");
            return Err(self.error_at(at, field, what));
        }
        // Safe narrowing: count is at most a number of bytes in a slice.
        Ok(count as usize)
    }

    /// Reads a length-prefixed UTF-8 string of at most `limit` bytes, borrowed from the file. `name` is called only on
    /// failure: a vocabulary has hundreds of thousands of strings.
    pub fn string(&mut self, limit: u64, name: &dyn Fn() -> String) -> Result<&'a str> {
        let at = self.at;
        let long_enough = self.remaining() >= 8;
        let len = u64::from_le_bytes(if long_enough { self.array("")? } else { [0xff; 8] });
        if len > limit || len > self.remaining() as u64 {
            self.at = at;
            // Not both can pass, since one has just failed.
            self.count(1, limit, &format!("length of {}", name()))?;
        }
        let bytes = self.take(len as usize, "")?;
        std::str::from_utf8(bytes).map_err(|e| {
            let bad = at + 8 + e.valid_up_to();
            self.error_at(bad, &name(), "is not valid UTF-8; the file is corrupt or not a GGUF")
        })
    }
}
