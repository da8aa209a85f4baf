//! Statements in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One statement in words, generated from this receipt's numbers.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Finding {
    /// Title of the finding, short and specific.
    pub title: String,
    /// The finding in one or two sentences with the figures.
    pub text: String,
    /// JSON pointer to the figures in the receipt.
    pub evidence: String,
}

impl Finding {
    /// A finding with a title, its text, and the JSON pointer to its figures.
    pub fn new(title: &str, text: String, evidence: impl Into<String>) -> Self {
        Self { title: title.into(), text, evidence: evidence.into() }
    }
}
