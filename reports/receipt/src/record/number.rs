//! Numbers that JSON cannot hold.

use serde::{Deserialize, Deserializer};

/// Reads a number, null as NaN: JSON has no infinities, and a receipt of a run that met one must stay readable.
pub fn finite_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// As [`finite_or_nan`] where the number may be absent, which null is not.
pub fn some_finite_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    finite_or_nan(deserializer).map(Some)
}
