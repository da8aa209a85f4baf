//! Statements in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One statement in words, generated from this receipt's numbers.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Finding {
    /// Short and specific.
    pub title: String,
    /// One or two sentences with the figures.
    pub text: String,
    /// Where in the receipt the figures are (a JSON pointer).
    pub evidence: String,
}

impl Finding {
    /// The statement, with a JSON pointer to its figures.
    pub fn new(title: &str, text: String, evidence: impl Into<String>) -> Self {
        Self { title: title.into(), text, evidence: evidence.into() }
    }
}
