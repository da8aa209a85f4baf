//! The oracle: every result is computed element by element from the codes. It is never tuned, because all results are
//! compared with it.

use crate::activation::QuantizedActivations;
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

/// One row's product with scales of groups, before the scale of a token, as [`crate::GemvGroups`] lays it down: the
/// exact sum of a unit as f32, scaled and added in the order of the groups from +0, by as many roundings as it says.
pub fn row_groups(weights: &PackedWeights, row: usize, x: &QuantizedActivations) -> f32 {
    codes_groups(weights, row, &weights.row_codes(row), x)
}

/// As [`row_groups`], of a row whose codes are known: nothing is unpacked.
pub fn codes_groups(weights: &PackedWeights, row: usize, codes: &[u8], x: &QuantizedActivations) -> f32 {
    let (group, table) = (weights.group().unwrap_or(weights.k().max(1)), weights.table());
    let groups = codes.chunks(group).zip(x.values().chunks(group)).enumerate();
    groups.fold(0.0, |acc, (g, (codes, values))| {
        // Below 2^24 in magnitude for groups of 256, so that f32 holds it: 2 * 128 * 256.
        let (sum, scale) = (|codes: &[u8], x: &[i8]| dot_i64(codes, table, x) as f32, weights.scale_at(row, g * group));
        let Some(block) = x.rule().block() else { return sum(codes, values).mul_add(scale, acc) };
        let of_block = |at: usize| x.block_scales()[at / block];
        if block >= group {
            return sum(codes, values).mul_add(scale * of_block(g * group), acc);
        }
        let blocks = codes.chunks(block).zip(values.chunks(block)).enumerate();
        let whole = blocks.fold(None, |whole: Option<f32>, (b, (codes, values))| {
            let (sum, scale) = (sum(codes, values), of_block(g * group + b * block));
            Some(whole.map_or(sum * scale, |whole| sum.mul_add(scale, whole)))
        });
        whole.unwrap_or(0.0).mul_add(scale, acc)
    })
}

/// One row's product with all scales, that of a token too, in f64, and the sum over all j of `|d s x[j]|`, whatever the
/// weight: a kernel with an order of roundings of its own may sum codes and take the activations off at the end.
pub fn codes_scaled_f64(weights: &PackedWeights, row: usize, codes: &[u8], x: &QuantizedActivations) -> (f64, f64) {
    let unit = x.rule().unit(weights.group().unwrap_or(weights.k().max(1)));
    let units = codes.chunks(unit).zip(x.values().chunks(unit)).enumerate();
    units.fold((0.0, 0.0), |(total, terms), (i, (codes, values))| {
        let scale = f64::from(weights.scale_at(row, i * unit)) * f64::from(x.factor(i * unit));
        let magnitudes: i64 = values.iter().map(|&x| i64::from(x).abs()).sum();
        let sum = dot_i64(codes, weights.table(), values) as f64;
        (total + sum * scale, terms + magnitudes as f64 * scale.abs())
    })
}

/// What [`codes_groups`] rounds, in f64, and how far from it that may be: (G + 1 + e) u A + (G + r) 2^-150.
///
/// G is the number of groups, u = 2^-24, A = sum |d s S| over all units, s = 1 where a token has one scale. Each group
/// adds one rounding of a partial sum, which is at most A and what was rounded before: |acc - exact| <= ((1 + u)^G - 1)
/// A, at most (G + 1) u A for G up to 2^12, the most that [`crate::MAX_K_I8`] leaves. Before that, e roundings of each
/// term: none for a token, the product d s where a block has whole groups, as many as a group has blocks otherwise. A
/// rounding to a subnormal is 2^-150 at most, G of them of the sum, and r of terms that are multiplied after it: by |S|
/// or by |d|. Undoing the scale of a token, by a rounded reciprocal and a rounded product, makes that (G + 3) u A in
/// all.
///
/// The f64 sum is itself exact where scales are those of f16 and below 8 in magnitude, activations have one scale and k
/// is at most 65536: each is a multiple of 2^-24, and 53 bits hold the sum in any order.
pub fn codes_groups_f64(weights: &PackedWeights, row: usize, codes: &[u8], x: &QuantizedActivations) -> (f64, f64) {
    let group = weights.group().unwrap_or(weights.k().max(1));
    let unit = x.rule().unit(group);
    let (mut total, mut terms, mut subnormal) = (0.0, 0.0, 0.0);
    for (i, (codes, values)) in codes.chunks(unit).zip(x.values().chunks(unit)).enumerate() {
        let (sum, scale) = (dot_i64(codes, weights.table(), values) as f64, f64::from(weights.scale_at(row, i * unit)));
        let of_block = x.rule().block().map_or(1.0, |block| f64::from(x.block_scales()[i * unit / block]));
        let term = sum * (scale * of_block);
        (total, terms) = (total + term, terms + term.abs());
        subnormal += match x.rule().block() {
            None => 0.0,
            Some(block) if block >= group => sum.abs(),
            Some(_) => scale.abs(),
        };
    }
    let groups = weights.k().div_ceil(group) as f64;
    let before = match x.rule().block() {
        None => 0,
        Some(block) if block >= group => 1,
        Some(_) => group / unit,
    };
    let unit = f64::from(f32::EPSILON) / 2.0;
    (total, (groups + 1.0 + before as f64) * unit * terms + (groups + subnormal) * 2f64.powi(-150))
}
