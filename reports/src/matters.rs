//! The table that matters, as data: one product where most is read, a part a family. Terminal and Markdown render it.
//! Tokens a second are not in it: they are a model's, not a kernel's.

use crate::query;
use receipt::{Family, Ratio, Receipt};

/// A kernel's row.
pub struct Row<'r> {
    /// Kernel id.
    pub kernel: &'r str,
    /// Over its family's first row; absent of that one.
    pub speed_up: Option<&'r Ratio>,
    /// Of the machine's limit.
    pub share: Option<f64>,
    /// Against the kernel that it builds on, else against the first row.
    pub against: Option<&'r Ratio>,
    /// Whether it is the fastest of its family.
    pub is_fastest: bool,
}

/// A family's kernels.
pub struct Part<'r> {
    /// Which.
    pub family: Family,
    /// What was multiplied, in words.
    pub product: String,
    /// In the order measured.
    pub rows: Vec<Row<'r>>,
}

/// Headings of a part's columns.
pub const HEAD: [&str; 4] = ["kernel", "over the first row", "of limit", "against the kernel it builds on"];

/// Every family of which a product was timed.
pub fn parts(receipt: &Receipt) -> Vec<Part<'_>> {
    let part = |(family, cell)| {
        let fastest = query::fastest(cell).map(|s| &s.kernel);
        let rows = query::kernels(cell).map(|(_, s)| Row {
            kernel: &s.kernel,
            speed_up: s.vs_baseline.as_ref(),
            share: s.bound.as_ref().map(|bound| bound.share),
            against: s.vs_previous.as_ref().or(s.vs_baseline.as_ref()),
            is_fastest: fastest == Some(&s.kernel),
        });
        Part { family, product: query::cell_title(cell), rows: rows.collect() }
    };
    query::products(receipt).into_iter().map(part).collect()
}
