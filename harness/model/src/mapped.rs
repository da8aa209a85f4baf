//! Files that are mapped, not read.

use crate::error::{Error, Result};
use std::path::Path;
use std::time::SystemTime;

/// A mapped file that knows whether it is still the one that was mapped.
///
/// A file that another process cuts short ends this one with an error line and exit code 2 ([`crate::mapped_faults`]),
/// and one that is rewritten in place is found by [`Self::check_unchanged`], which whoever reads weights calls when it
/// has read them. Replacing a file by renaming another over it changes nothing here: the old one stays mapped.
pub struct Mapped {
    // Before `map`: forgotten while the range is still this file's.
    _watch: crate::mapped_faults::Watch,
    map: memmap2::Mmap,
    file: std::fs::File,
    name: String,
    mapped: (u64, Option<SystemTime>),
}

/// Length, and time of the last change to contents, as far as the system has it.
fn identity(file: &std::fs::File) -> std::io::Result<(u64, Option<SystemTime>)> {
    let found = file.metadata()?;
    Ok((found.len(), found.modified().ok()))
}

impl Mapped {
    /// Fails with an input error if the file was written to or cut since it was mapped.
    pub fn check_unchanged(&self) -> Result<()> {
        if identity(&self.file).is_ok_and(|now| now == self.mapped) {
            return Ok(());
        }
        let what = "was changed while it was in use; let whatever writes it finish, then run again";
        Err(Error::input(format!("{} {what}", self.name)))
    }
}

impl std::ops::Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// Maps a file that a user named; `what` says for errors what the file should be.
pub fn map(path: &Path, what: &str) -> Result<Mapped> {
    let name = path.display().to_string();
    let fail = |action: &str, e: &std::io::Error| Error::input(format!("cannot {action} {what} {name}: {e}"));
    // Looked at before opening, because opening a named pipe would wait for a writer.
    let found = std::fs::metadata(path).map_err(|e| fail("open", &e))?;
    if found.is_dir() {
        return Err(Error::input(format!("{name} is a folder; name the {what} file inside it")));
    }
    if !found.is_file() {
        return Err(Error::input(format!("{name} is not a regular file; copy the {what} to one")));
    }
    let file = std::fs::File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Error::input(format!("{}; let this user read it (chmod u+r)", fail("open", &e)))
        }
        _ => fail("open", &e),
    })?;
    let mapped = identity(&file).map_err(|e| fail("open", &e))?;
    // SAFETY: the map is read-only and private. Rust asks that nobody changes the bytes while slices of them live; no
    // file system promises that. What a change can do is bounded: numbers differ (found by `check_unchanged`), a cut
    // raises SIGBUS (handled), and strings are validated again each time they are read from the map.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| fail("map", &e))?;
    let watch = crate::mapped_faults::Watch::new(&map, &name);
    Ok(Mapped { _watch: watch, map, file, name, mapped })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_change_to_a_mapped_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        std::fs::write(&path, b"0123456789").unwrap();
        let mapped = map(&path, "model").unwrap();
        mapped.check_unchanged().unwrap();
        // Replaced by a rename, as every careful program does: still the old file.
        std::fs::write(dir.path().join("new"), b"other").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        mapped.check_unchanged().unwrap();
        assert_eq!(&mapped[..], b"0123456789");
        let mapped = map(&path, "model").unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
        let error = mapped.check_unchanged().unwrap_err().to_string();
        assert!(error.contains("m was changed while it was in use"), "{error}");
    }
}
