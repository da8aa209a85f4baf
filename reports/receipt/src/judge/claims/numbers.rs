//! Numbers of a claims file that are only read within their bounds.

use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

/// Reads a number above 0, for serde's `deserialize_with`.
pub fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    let Positive(number) = Deserialize::deserialize(deserializer)?;
    Ok(number)
}

/// Reads a share from 0 up to 1, for serde's `deserialize_with`.
pub fn share<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..1.0).contains(&share) {
        Ok(share)
    } else {
        Err(D::Error::custom(format!("{share} is not a share between 0 and 1")))
    }
}

/// A number above 0, refused when it is read otherwise.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Deserialize, Serialize)]
#[serde(try_from = "f64")]
pub struct Positive(pub f64);

impl TryFrom<f64> for Positive {
    type Error = String;

    fn try_from(number: f64) -> std::result::Result<Self, String> {
        let positive = number.is_finite() && number > 0.0;
        if positive { Ok(Self(number)) } else { Err(format!("{number} is not a number above 0")) }
    }
}
