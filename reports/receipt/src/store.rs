//! Receipts as bytes: JSON of a layout that this build knows, else refused.

use crate::error::{Error, Result};
use crate::integrity::Integrity;
use crate::judge;
use crate::record::{Receipt, SCHEMA_VERSION};
use serde::Deserialize;
use serde_json::Value;

/// Name of the receipt's file inside a run folder.
pub const RECEIPT_FILE: &str = "receipt.json";

/// Read before the rest, so that a receipt of another major version is named as such and not as a missing field.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct Header {
    schema_version: Option<String>,
}

/// Reads a receipt from the bytes of its file; `file` is what errors call it.
///
/// # Errors
/// Bytes that are not JSON, not a receipt, or a receipt of another major version.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Receipt> {
    let header: Header = serde_json::from_slice(bytes).map_err(|e| bad_json(file, &e))?;
    let version = header
        .schema_version
        .ok_or_else(|| Error::input(format!("{file} is JSON but not a receipt: it has no \"schema_version\"")))?;
    if major(&version).is_none() || major(&version) != major(SCHEMA_VERSION) {
        return Err(Error::other_version(format!(
            "{file} has schema version {version:?}; this build reads {SCHEMA_VERSION} (same major version): \
             use the build that wrote it"
        )));
    }
    let mut receipt = serde_json::from_slice(bytes).map_err(|e| bad_json(file, &e))?;
    judge::complete(&mut receipt);
    Ok(receipt)
}

/// Reads a receipt as plain JSON, with fields that this build does not know; `file` is what errors call it.
pub fn value(file: &str, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| bad_json(file, &e))
}

/// The text of a receipt's file: compact JSON on one line. The digests are made anew, of the text read back, so that
/// they hold for what a reader finds.
pub fn sealed(receipt: &Receipt) -> serde_json::Result<Vec<u8>> {
    let value: Value = serde_json::from_slice(&serde_json::to_vec(receipt)?)?;
    let receipt = Receipt { integrity: Some(Integrity::of(&value)), ..receipt.clone() };
    let mut bytes = serde_json::to_vec(&receipt)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn bad_json(file: &str, error: &serde_json::Error) -> Error {
    let what = if error.is_data() { "is not a receipt" } else { "is not JSON" };
    // serde_json's message ends in "at line L column C".
    Error::input(format!("{file} {what}: {error}"))
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn reads_what_it_wrote() {
        let receipt = fixture::complete();
        let bytes = sealed(&receipt).unwrap();
        assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1), "one line");
        let back = parse("receipt.json", &bytes).unwrap();
        assert!(back.integrity.is_some());
        let back = Receipt { integrity: None, ..back };
        // Bit for bit: `receipt verify` recomputes figures, which needs serde_json's float_roundtrip.
        assert!(serde_json::to_string(&back).unwrap() == serde_json::to_string(&receipt).unwrap());
    }

    #[test]
    fn a_run_that_met_an_infinity_stays_readable() {
        let mut receipt = fixture::complete();
        receipt.verify[0].max_abs_error = f64::INFINITY;
        receipt.perplexity.as_mut().unwrap().kernels[0].perplexity = f64::NAN;
        let back = parse("receipt.json", &sealed(&receipt).unwrap()).unwrap();
        assert!(back.verify[0].max_abs_error.is_nan());
    }

    #[test]
    fn each_kind_of_bad_file_is_named() {
        let message = |text: &str| parse("a.json", text.as_bytes()).unwrap_err().to_string();
        assert!(message("{\n \"schema_version\": oops").contains("is not JSON: expected value at line 2"));
        assert!(message("{}").contains("no \"schema_version\""));
        assert!(message(r#"{"schema_version":"2.0.0"}"#).contains("this build reads 1."));
        assert!(message(r#"{"schema_version":"1.9.0"}"#).contains("missing field"));
    }
}
