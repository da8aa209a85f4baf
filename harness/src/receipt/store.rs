//! Receipts on disk: one JSON file a run, written whole, refused when its layout is not one this build knows.

use super::{BitnetRs, Integrity, Receipt, SCHEMA_VERSION, layout};
use crate::error::{Error, Result};
use crate::files::{read_limited, write_atomic};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Name of the receipt inside a run folder.
pub const RECEIPT_FILE: &str = "receipt.json";

/// Largest receipt that is read: a hundred times what a run with thousands of rounds writes.
const MAX_BYTES: u64 = 256 << 20;

/// Read before the rest, so that a receipt of another major version is named as such and not as a missing field.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct Header {
    schema_version: Option<String>,
}

/// Reads a receipt; `path` is the file or the run folder that holds it.
pub fn read_receipt(path: &Path) -> Result<Receipt> {
    let (file, bytes) = bytes(path)?;
    parse_receipt(&file, &bytes)
}

/// A receipt from its bytes; `file` is for errors.
pub fn parse_receipt(file: &Path, bytes: &[u8]) -> Result<Receipt> {
    let header: Header = serde_json::from_slice(bytes).map_err(|e| bad_json(file, &e))?;
    let version = header.schema_version.ok_or_else(|| {
        Error::input(format!("{} is JSON but not a receipt: it has no \"schema_version\"", file.display()))
    })?;
    if major(&version).is_none() || major(&version) != major(SCHEMA_VERSION) {
        return Err(Error::input(format!(
            "{} has schema version {version:?}; this build reads {SCHEMA_VERSION} (same major version): \
             use the build that wrote it",
            file.display()
        )));
    }
    let mut receipt = serde_json::from_slice(bytes).map_err(|e| bad_json(file, &e))?;
    crate::judge::complete(&mut receipt);
    Ok(receipt)
}

/// Reads a receipt as plain JSON, with fields that this build does not know, and its file's path and bytes.
pub fn read_value(path: &Path) -> Result<(PathBuf, Vec<u8>, Value)> {
    let (file, bytes) = bytes(path)?;
    let value = serde_json::from_slice(&bytes).map_err(|e| bad_json(&file, &e))?;
    Ok((file, bytes, value))
}

fn bytes(path: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let file = receipt_path(path)?;
    let bytes = read_limited(&file, "a receipt", MAX_BYTES)?;
    Ok((file, bytes))
}

/// Writes `receipt` as `receipt.json` in `folder` and returns the file's path. What is computed from the rest of it, the view for
/// BitNet.rs and the digests, is made anew.
pub fn write_receipt(receipt: &Receipt, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(RECEIPT_FILE);
    let json = sealed(receipt).map_err(|e| Error::input(format!("cannot write {} as JSON: {e}", path.display())))?;
    write_atomic(&path, &json)?;
    Ok(path)
}

/// The file's text. Digests are made of the text read back, so that they hold for what a reader finds.
fn sealed(receipt: &Receipt) -> serde_json::Result<Vec<u8>> {
    let mut receipt = Receipt { bitnet_rs: Some(BitnetRs::of(receipt)), ..receipt.clone() };
    let value: Value = serde_json::from_slice(&serde_json::to_vec(&receipt)?)?;
    receipt.integrity = Some(Integrity::of(&value));
    layout::to_vec(&receipt)
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

fn bad_json(file: &Path, error: &serde_json::Error) -> Error {
    let what = if error.is_data() { "is not a receipt" } else { "is not JSON" };
    // serde_json's message ends in "at line L column C".
    Error::input(format!("{} {what}: {error}", file.display()))
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn reads_what_it_wrote_by_folder_and_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let receipt = fixture::complete();
        let path = write_receipt(&receipt, dir.path()).unwrap();
        for p in [path.as_path(), dir.path()] {
            let back = read_receipt(p).unwrap();
            assert!(back.integrity.is_some() && back.bitnet_rs == Some(BitnetRs::of(&receipt)));
            let back = Receipt { bitnet_rs: None, integrity: None, ..back };
            // Bit for bit: `receipt verify` recomputes figures, which needs serde_json's float_roundtrip.
            assert!(serde_json::to_string(&back).unwrap() == serde_json::to_string(&receipt).unwrap());
        }
    }

    #[test]
    fn a_run_that_met_an_infinity_stays_readable() {
        let dir = tempfile::tempdir().unwrap();
        let mut receipt = fixture::complete();
        receipt.verify[0].max_abs_error = f64::INFINITY;
        receipt.perplexity.as_mut().unwrap().kernels[0].perplexity = f64::NAN;
        write_receipt(&receipt, dir.path()).unwrap();
        assert!(read_receipt(dir.path()).unwrap().verify[0].max_abs_error.is_nan());
    }

    #[test]
    fn each_kind_of_bad_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            read_receipt(&path).unwrap_err().to_string()
        };
        assert!(message("a.json", "{\n \"schema_version\": oops").contains("is not JSON: expected value at line 2"));
        assert!(message("b.json", "{}").contains("no \"schema_version\""));
        assert!(message("c.json", r#"{"schema_version":"2.0.0"}"#).contains("this build reads 1."));
        assert!(message("d.json", r#"{"schema_version":"1.9.0"}"#).contains("missing field"));
        let missing = read_receipt(&dir.path().join("none.json")).unwrap_err().to_string();
        assert!(missing.contains("no receipt at"), "{missing}");
        assert!(read_receipt(dir.path()).unwrap_err().to_string().contains("is it a run folder?"));
    }
}
