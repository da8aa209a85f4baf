//! Temporary folders of a gate: copies of programs, control blocks. A gate that is killed leaves its
//! folder behind, some hundred megabytes; the next gate removes it. Each folder in use is locked by its process, and
//! the lock ends with the process, also in another container.

use crate::error::{Error, Result};
use crate::output::note;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const PREFIX: &str = "tritbench-gate-";
/// A folder that is not locked yet: not looked at by others, and empty but for the lock.
const NEW: &str = ".tritbench-gate-";
const LOCK: &str = "lock";

/// A folder in the system's place for temporary files, removed when dropped.
pub struct Scratch {
    pub path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes a new folder; what killed gates of this user left is removed first.
    pub fn new() -> Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    fn within(place: &Path) -> Result<Self> {
        sweep(place);
        let made = tempfile::Builder::new().prefix(NEW).tempdir_in(place);
        let made = made.map_err(|e| Error::io("create a folder in", place, &e))?;
        let lock = made.path().join(LOCK);
        let file = File::create(&lock).map_err(|e| Error::io("create", &lock, &e))?;
        // Where the system has no locks, no other gate can lock this folder, so none removes it.
        let _ = file.try_lock();
        let name = made.path().file_name().unwrap_or_default().to_string_lossy().replace(NEW, PREFIX);
        let path = place.join(name);
        fs::rename(made.path(), &path).map_err(|e| Error::io("create", &path, &e))?;
        // The folder was renamed, so its first owner has nothing to remove.
        let _ = made.keep();
        Ok(Self { path, _lock: file })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // The type of the entry itself: a link is not followed.
        if named && entry.file_type().is_ok_and(|t| t.is_dir()) && remove_if_left(&entry.path()) {
            note(format!("removed {}, which a killed gate had left", entry.path().display()));
        }
    }
}

/// Removes the folder if nobody holds its lock. Another user's cannot be removed, which is no error.
fn remove_if_left(folder: &Path) -> bool {
    let Ok(lock) = File::options().write(true).open(folder.join(LOCK)) else { return false };
    // The lock goes last, so that another gate sees either a folder in use or no folder.
    lock.try_lock().is_ok() && fs::remove_dir_all(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_was_left_goes() {
        let place = tempfile::tempdir().expect("a folder");
        let first = Scratch::within(place.path()).expect("made");
        fs::write(first.path.join("program"), b"x").expect("written");
        let second = Scratch::within(place.path()).expect("made");
        assert!(first.path.join("program").is_file() && first.path != second.path);
        // As a killed process leaves it: the lock is free, the folder is there.
        let left = place.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).expect("made");
        fs::write(left.join(LOCK), b"").expect("written");
        fs::write(left.join("program"), b"x").expect("written");
        // Not ours: no lock, or no folder.
        let others = place.path().join(format!("{PREFIX}others"));
        fs::create_dir(&others).expect("made");
        fs::write(place.path().join(format!("{PREFIX}file")), b"").expect("written");
        let third = Scratch::within(place.path()).expect("made");
        assert!(!left.exists() && others.exists() && first.path.exists() && second.path.exists());
        let path = third.path.clone();
        drop((first, second, third));
        assert!(!path.exists());
        assert_eq!(fs::read_dir(place.path()).expect("there").count(), 2);
    }
}
