//! The oracle: every result is computed element by element from the codes. It is never tuned, because all results are
//! compared with it.

use crate::packed::{CodeTable, PackedWeights};

/// Exact integer product of one row: `sum over j of table[codes[j]] * x[j]`.
pub fn dot_i64(codes: &[u8], table: CodeTable, x: &[i8]) -> i64 {
    codes.iter().zip(x).map(|(&code, &x)| i64::from(table.0[usize::from(code)]) * i64::from(x)).sum()
}

/// One row's product in f64, and the sum of the terms' absolute values (what rounding errors are measured against).
pub fn dot_f64(codes: &[u8], table: CodeTable, scale: impl Fn(usize) -> f32, x: &[f32]) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for (j, (&code, &x)) in codes.iter().zip(x).enumerate() {
        let term = f64::from(table.0[usize::from(code)]) * f64::from(scale(j)) * f64::from(x);
        total = (total.0 + term, total.1 + term.abs());
    }
    total
}

/// One weight as f32: the table's value times the scale, rounded once.
pub fn weight(code: u8, table: CodeTable, scale: f32) -> f32 {
    f32::from(table.0[usize::from(code)]) * scale
}

/// Exact integer product of one packed row, which the layout's own code unpacks for [`dot_i64`].
pub fn row_i64(weights: &PackedWeights, row: usize, x: &[i8]) -> i64 {
    dot_i64(&weights.row_codes(row), weights.table(), x)
}
