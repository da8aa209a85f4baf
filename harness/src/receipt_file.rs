//! Receipts on disk: one JSON file a run, written whole.

use crate::build_info;
use crate::error::{Error, Result};
use crate::files::{read_limited, write_atomic};
use receipt::recheck::{Read, Recheck};
use receipt::{RECEIPT_FILE, Receipt};
use std::path::{Path, PathBuf};

/// Largest receipt that is read: a hundred times what a run with thousands of rounds writes.
const MAX_BYTES: u64 = 256 << 20;

/// Reads a receipt; `path` is the file or the run folder that holds it.
pub fn read_receipt(path: &Path) -> Result<Receipt> {
    let (file, bytes) = bytes(path)?;
    Ok(receipt::parse(&file.display().to_string(), &bytes)?)
}

/// Reads a receipt's bytes without parsing them; returns them after the path of the file.
pub fn bytes(path: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let file = receipt_path(path)?;
    let bytes = bytes_of_file(&file)?;
    Ok((file, bytes))
}

/// Reads a receipt's bytes from its `file`.
pub fn bytes_of_file(file: &Path) -> Result<Vec<u8>> {
    read_limited(file, "a receipt", MAX_BYTES)
}

/// Rechecks a receipt whose `bytes` were read from `file`. What does not hold is listed and is no error here.
pub fn check(file: PathBuf, bytes: &[u8]) -> Result<Recheck> {
    Ok(receipt::recheck::recheck(file, bytes, Some(&build_info::build()))?)
}

/// As [`check`], for callers that go on with the receipt.
pub fn check_and_read(file: PathBuf, bytes: &[u8]) -> receipt::Result<(Recheck, Option<Read>)> {
    receipt::recheck::recheck_and_read(file, bytes, Some(&build_info::build()))
}

/// Writes `receipt` as `receipt.json` in `folder` and returns the file's path.
pub fn write_receipt(receipt: &Receipt, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(RECEIPT_FILE);
    let json = receipt::sealed(receipt);
    let json = json.map_err(|e| Error::input(format!("cannot write {} as JSON: {e}", path.display())))?;
    write_atomic(&path, &json)?;
    Ok(path)
}

/// Whether a folder holds runs, and is none itself: a folder with a receipt is a run.
pub fn holds_runs(path: &Path) -> bool {
    path.is_dir() && !path.join(RECEIPT_FILE).is_file()
}

fn receipt_path(path: &Path) -> Result<PathBuf> {
    let file = if path.is_dir() { path.join(RECEIPT_FILE) } else { path.to_path_buf() };
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::input(if path.is_dir() {
        format!("no {RECEIPT_FILE} in {}: is it a run folder?", path.display())
    } else {
        format!("no receipt at {}: give a run folder or a {RECEIPT_FILE}", path.display())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn reads_what_it_wrote_by_folder_and_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let receipt = fixture::complete();
        let path = write_receipt(&receipt, dir.path()).unwrap();
        for p in [path.as_path(), dir.path()] {
            assert_eq!(read_receipt(p).unwrap().timestamp, receipt.timestamp);
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = read_receipt(&dir.path().join("none.json")).unwrap_err().to_string();
        assert!(missing.contains("no receipt at"), "{missing}");
        assert!(read_receipt(dir.path()).unwrap_err().to_string().contains("is it a run folder?"));
    }
}
