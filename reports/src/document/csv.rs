//! A table as CSV: a row a line, numbers as they are.

use super::{Table, Value};
use receipt::{Error, Result};
use serde_json::Value as Json;

/// A table as CSV: its columns by title, and its rows.
///
/// # Errors
/// Only what the writer itself reports.
pub fn csv(table: &Table) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::failed(format!("cannot write {} as CSV: {e}", table.id));
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(table.columns.iter().map(|column| &column.title)).map_err(|e| failed(&e))?;
    for row in &table.rows {
        csv.write_record(row.cells.iter().map(|cell| plain(&cell.value))).map_err(|e| failed(&e))?;
    }
    csv.into_inner().map_err(|e| failed(&e))
}

fn plain(value: &Value) -> String {
    match value.json() {
        Json::Null => String::new(),
        Json::String(text) => text,
        Json::Object(parts) => parts.get("median").map_or_else(String::new, Json::to_string),
        number => number.to_string(),
    }
}
