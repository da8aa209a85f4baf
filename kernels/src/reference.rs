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

/// One row's product with scales of groups, before the scale of the activations, as [`crate::GemvGroups`] lays it down:
/// the exact sum of a group as f32, times its scale, added with one rounding, group after group from +0.
pub fn row_groups(weights: &PackedWeights, row: usize, x: &[i8]) -> f32 {
    codes_groups(weights, row, &weights.row_codes(row), x)
}

/// As [`row_groups`], of a row whose codes are known: nothing is unpacked.
pub fn codes_groups(weights: &PackedWeights, row: usize, codes: &[u8], x: &[i8]) -> f32 {
    let group = weights.group().unwrap_or(weights.k().max(1));
    let groups = codes.chunks(group).zip(x.chunks(group)).enumerate();
    groups.fold(0.0, |acc, (g, (codes, x))| {
        // Below 2^24 in magnitude for groups of 256, so that f32 holds it: 2 * 128 * 256.
        (dot_i64(codes, weights.table(), x) as f32).mul_add(weights.scale_at(row, g * group), acc)
    })
}

/// What [`row_groups`] rounds, in f64, and how far from it that may be: (G + 1) u A + G 2^-150.
///
/// G is the number of groups, u = 2^-24, A = sum |d S|. Each group adds one rounding of a partial sum, which is at most
/// A and what was rounded before: |acc - exact| <= ((1 + u)^G - 1) A, at most (G + 1) u A for G up to 2^12, the most
/// that [`crate::MAX_K_I8`] leaves; a rounding to a subnormal is 2^-150 at most. Undoing the scale of the activations,
/// by a rounded reciprocal and a rounded product, makes that (G + 3) u A in all.
///
/// The f64 sum is itself exact where scales are those of f16 and below 8 in magnitude and k is at most 65536: each is a
/// multiple of 2^-24, and 53 bits hold the sum in any order.
pub fn row_groups_f64(weights: &PackedWeights, row: usize, x: &[i8]) -> (f64, f64) {
    let group = weights.group().unwrap_or(weights.k().max(1));
    let codes = weights.row_codes(row);
    let (mut sum, mut terms, mut groups) = (0.0, 0.0, 0);
    for (g, (codes, x)) in codes.chunks(group).zip(x.chunks(group)).enumerate() {
        let term = dot_i64(codes, weights.table(), x) as f64 * f64::from(weights.scale_at(row, g * group));
        (sum, terms, groups) = (sum + term, terms + term.abs(), g + 1);
    }
    let unit = f64::from(f32::EPSILON) / 2.0;
    (sum, (groups + 1) as f64 * unit * terms + groups as f64 * 2f64.powi(-150))
}
