//! One thing that is wrong with a receipt.

use crate::figures::plain;
use serde::Serialize;

/// One thing that is wrong with a receipt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// JSON pointer of the field, or of the part of the receipt that holds it.
    pub field: String,
    /// The value in the receipt, as JSON; absent for a whole part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The value recomputed from the raw rounds, as JSON, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<String>,
    /// What is wrong with the value, in words.
    pub what: String,
}

impl Problem {
    /// A problem without values: the JSON pointer of its field, and what is wrong in words.
    pub(super) fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), found: None, recomputed: None, what: what.into() }
    }

    /// The problem as one line of text, whatever the receipt holds.
    pub fn line(&self) -> String {
        plain(&self.words())
    }

    fn words(&self) -> String {
        match (&self.found, &self.recomputed) {
            (Some(found), Some(recomputed)) => format!("{} is {found}, recomputed {recomputed}", self.field),
            (Some(found), None) => format!("{} is {found}: {}", self.field, self.what),
            _ => format!("{}: {}", self.field, self.what),
        }
    }
}
