//! Numbers that JSON cannot hold.

use serde::{Deserialize, Deserializer};

/// Reads a number, null as NaN: JSON has no infinities, and a receipt of a run that met one must stay readable.
pub fn finite_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
