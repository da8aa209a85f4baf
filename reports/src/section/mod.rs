//! The sections of a run's page, one question a file. The order of a page is in `run.rs`.

pub mod about;
pub mod amdahl;
mod anchors;
pub mod beside;
pub mod cards;
pub mod checks;
pub mod claims;
pub mod counts;
pub mod engines;
pub mod explained;
pub mod field_claims;
pub mod findings;
pub mod gate;
pub mod generation;
pub mod kernels;
pub mod limits;
pub mod measurements;
pub mod method;
pub mod others;
pub mod perplexity;
pub mod products;
pub mod rounds;
pub mod rules;
pub mod stages;

use crate::document::{Column, Table, Value};
use crate::query;
use receipt::Family;

/// One table a family under the section's anchor; families never share one.
fn of_family(section: &str, family: Family, columns: Vec<Column>) -> Table {
    let id = format!("{section}-{}", anchors::slug(family.name()));
    Table::new(id, query::family_title(family), columns)
}

/// A share, or a word on why there is none.
fn percent(share: Option<f64>) -> Value {
    share.map_or(Value::Nothing, Value::Percent)
}
