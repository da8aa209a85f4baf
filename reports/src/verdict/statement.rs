//! One statement of the sentences at the top.

use serde::Serialize;

/// One statement of the verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Statement {
    /// What it is about.
    pub label: &'static str,
    /// Its figure, large.
    pub figure: String,
    /// The kernel or thing the figure belongs to.
    pub subject: String,
    /// The sentence, or one a line.
    pub text: String,
    /// Where the evidence is in the page.
    pub anchor: &'static str,
}
