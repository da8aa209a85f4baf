//! Files that are either whole or absent: a reader, or a crash, never meets half of one.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Name of a file that is being written.
const UNFINISHED: (&str, &str) = (".unfinished-", ".part");

/// Writes `bytes` to `path` through a temporary file in the same folder, so that the last step is a rename.
///
/// Missing parent folders are made. An existing file is replaced; on any error it is left as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = written(path, bytes)?;
    file.persist(path).map_err(|e| Error::io("write", path, &e.error))?;
    Ok(())
}

/// Checks a file that the user named for writing: an existing one is not replaced without `--force`, and a folder or
/// device never is. Also tries whether it could be written, without touching it.
pub fn check_named(path: &Path, force: bool) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() || path.is_dir() => {
            Err(Error::input(format!("{} is a folder; name a file", path.display())))
        }
        Ok(found) if !found.is_file() => {
            Err(Error::input(format!("{} is not a regular file, so it is not replaced; name another", path.display())))
        }
        Ok(_) if !force => Err(exists(path)),
        _ => {
            let folder = made_parent(path)?;
            let tried = tempfile::NamedTempFile::new_in(&folder);
            tried.map(|_| ()).map_err(|e| Error::io("create a file in", &folder, &e))
        }
    }
}

/// Writes a file that the user named, by the rule of [`check_named`], which also holds for a file made since the check.
pub fn write_named(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    check_named(path, force)?;
    let file = written(path, bytes)?;
    let kept = if force { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map(|_| ()).map_err(|e| match e.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::io("write", path, &e.error),
    })
}

fn exists(path: &Path) -> Error {
    Error::input(format!("{} exists; add --force to replace it", path.display()))
}

fn written(path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    let mut file = unfinished(&made_parent(path)?)?;
    file.write_all(bytes).map_err(|e| Error::io("write", path, &e))?;
    // Without this a power cut could leave the new name on an empty file.
    file.as_file().sync_all().map_err(|e| Error::io("write", path, &e))?;
    Ok(file)
}

/// As [`write_atomic`] for files too large for memory: `write` gets the temporary file. Checks first that `bytes` are
/// free. Not synced: half a minute of waiting for the disk buys little, as such files are checked when they are read.
pub fn stream_atomic(path: &Path, bytes: u64, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = parent(path);
    require_space(&folder, bytes)?;
    let mut file = unfinished(&folder)?;
    write(file.as_file_mut())?;
    file.persist(path).map_err(|e| Error::io("write", path, &e.error))?;
    Ok(())
}

/// A new file in `folder`, locked as long as it is open: a killed writer's is told from one in use by its free lock.
fn unfinished(folder: &Path) -> Result<tempfile::NamedTempFile> {
    remove_left(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED.0).suffix(UNFINISHED.1);
    #[cfg(unix)]
    {
        // Temporary files are private by default; others are to read what is written here, as far as the umask says so.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder).map_err(|e| Error::io("create a file in", folder, &e))?;
    // A file system without locks: nobody's file is ever taken for one that was left.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// Removes what killed writers have left in `folder`. A model can be gigabytes, and nobody looks for a hidden file.
fn remove_left(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let named = name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1);
        // The type of the entry itself: a link is not followed.
        let left = named
            && entry.file_type().is_ok_and(|t| t.is_file())
            && is_old(&entry)
            && File::options().write(true).open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if left && std::fs::remove_file(entry.path()).is_ok() {
            crate::output::note(format!("removed {}, which a killed run had left", entry.path().display()));
        }
    }
}

/// Whether the file is older than the moment between its making and its lock could be.
fn is_old(entry: &std::fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|found| found.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > std::time::Duration::from_secs(2)))
}

/// A clear line beforehand is worth more than a full disk after 1 GB.
fn require_space(folder: &Path, need: u64) -> Result<()> {
    #[cfg(unix)]
    if let Ok(stat) = nix::sys::statvfs::statvfs(folder) {
        #[allow(clippy::unnecessary_cast)] // these are 32-bit on some systems
        let free = (stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64);
        if free < need {
            let what = format!("{need} bytes are needed in {}, but only {free} are free", folder.display());
            return Err(Error::input(format!("{what}; choose another folder or write less")));
        }
    }
    Ok(())
}

/// Reads a file that a user named and that must be `what` ("a receipt"): a regular file of at most `limit` bytes, so
/// that neither a named pipe that never ends nor a disk image is read into memory.
pub fn read_limited(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>> {
    let found = std::fs::metadata(path).map_err(|e| Error::io("read", path, &e))?;
    if !found.is_file() {
        return Err(Error::input(format!("{} is not a regular file, so it is not {what}", path.display())));
    }
    let too_large = |bytes: u64| {
        Error::input(format!("{} has {bytes} bytes: too large for {what} (limit {limit})", path.display()))
    };
    if found.len() > limit {
        return Err(too_large(found.len()));
    }
    let mut bytes = Vec::new();
    // The file may have grown since.
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|e| Error::io("read", path, &e))?;
    if bytes.len() as u64 > limit { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Marks the program at `path` as executable for everybody, where the system has such a mark.
pub fn make_executable(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let marked = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755));
        marked.map_err(|e| Error::io("write", path, &e))?;
    }
    Ok(())
}

/// The longest leading part of `path` that exists.
pub fn deepest_existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|p| !p.as_os_str().is_empty() && p.exists());
    there.unwrap_or(Path::new("."))
}

fn made_parent(path: &Path) -> Result<PathBuf> {
    let folder = parent(path);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, &e))?;
    Ok(folder)
}

/// The folder to put the temporary file in: a bare file name lives in the current one.
fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_else_behind_and_an_error_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["a.txt"]);
        let error = write_atomic(&path.join("below"), b"x").unwrap_err();
        assert!(error.to_string().contains("a.txt"), "{error}");
    }

    #[test]
    fn a_stream_that_fails_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"old").unwrap();
        let write = |file: &mut std::fs::File| file.write_all(b"half").map_err(|e| Error::io("write", &path, &e));
        stream_atomic(&path, 4, |file| write(file).and(Err(Error::failed("stopped")))).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        stream_atomic(&path, 4, write).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"half");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(require_space(Path::new("."), u64::MAX).unwrap_err().to_string().contains("are free"));
    }

    #[test]
    fn what_a_killed_writer_left_goes_and_what_is_being_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let make = |name: &str| {
            std::fs::write(at(name), b"x").unwrap();
            let file = File::options().write(true).open(at(name)).unwrap();
            file.set_modified(old).unwrap();
            file
        };
        for name in [".unfinished-a.part", ".unfinished-b.part", ".unfinished-other", "mine.part"] {
            make(name);
        }
        let in_use = make(".unfinished-used.part");
        in_use.try_lock().unwrap();
        std::fs::write(at(".unfinished-new.part"), b"x").unwrap();
        std::fs::create_dir(at(".unfinished-folder.part")).unwrap();
        stream_atomic(&at("model"), 1, |file| {
            assert_eq!(names(dir.path()).len(), 6, "its own, and five that are none of its business");
            file.write_all(b"m").map_err(|e| Error::io("write", dir.path(), &e))
        })
        .unwrap();
        let stay = [".unfinished-folder.part", ".unfinished-new.part", ".unfinished-other", ".unfinished-used.part"];
        assert_eq!(names(dir.path()), [&stay[..], &["mine.part", "model"]].concat());
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_regular_files_of_a_sane_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, "a receipt", 5).unwrap(), b"12345");
        let refused = |path: &Path| read_limited(path, "a receipt", 4).unwrap_err().to_string();
        assert!(refused(&path).contains("5 bytes: too large for a receipt"));
        assert!(refused(dir.path()).contains("not a regular file"));
    }

    #[test]
    fn what_a_user_names_is_not_replaced_without_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_named(&path, b"one", false).unwrap();
        for refused in [check_named(&path, false), write_named(&path, b"two", false)] {
            assert!(refused.unwrap_err().to_string().ends_with("a exists; add --force to replace it"));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write_named(&path, b"two", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert!(write_named(dir.path(), b"x", true).unwrap_err().to_string().contains("is a folder"));
        #[cfg(unix)]
        assert!(check_named(Path::new("/dev/null"), true).unwrap_err().to_string().contains("not a regular file"));
    }
}
