//! Files that are either whole or absent: a reader, or a crash, never meets half of one.

use crate::error::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` through a temporary file in the same folder, so that the last step is a rename.
///
/// Missing parent folders are made. An existing file is replaced; on any error it is left as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = parent(path);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, &e))?;
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(|e| Error::io("create a file in", &folder, &e))?;
    file.write_all(bytes).map_err(|e| Error::io("write", path, &e))?;
    // Without this a power cut could leave the new name on an empty file.
    file.as_file().sync_all().map_err(|e| Error::io("write", path, &e))?;
    make_readable(file.as_file()).map_err(|e| Error::io("set the permissions of", path, &e))?;
    file.persist(path).map_err(|e| Error::io("write", path, &e.error))?;
    Ok(())
}

/// Tries whether `path` could be written, without touching it: its folder can be made and takes a file, and it is not a folder itself.
pub fn check_writable(path: &Path) -> Result<()> {
    let folder = parent(path);
    if path.is_dir() {
        return Err(Error::input(format!("{} is a folder; name a file", path.display())));
    }
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, &e))?;
    tempfile::NamedTempFile::new_in(&folder).map_err(|e| Error::io("create a file in", &folder, &e))?;
    Ok(())
}

/// The folder to put the temporary file in: a bare file name lives in the current one.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Temporary files are private (0600); a report is meant to be read by others, as an ordinary new file would be.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_else_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let error = write_atomic(&dir.path().join("file/below"), b"x").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
