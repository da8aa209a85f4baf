//! Products that skip rows or columns, on guarded operands: weights, lists of what is live, activations and sums.

use super::state::{Left, left_by};
use super::{Side, guard, placed, sides_and_features};
use crate::conformance::{Expected, compare};
use crate::parallel::Team;
use crate::random::SplitMix64;
use crate::sparse::{ColumnWeights, LiveColumns, LiveRows, RowsProduct, SparseOps};
use crate::{Codes, PackedWeights, QuantizedActivations, layouts, reference};

/// Runs `check` on random weights and activations of each shape, with lists of each share of `live`; the last row or
/// column is always live, because it ends where the codes do.
fn each(
    shapes: [[usize; 2]; 8],
    live_of: usize,
    mut check: impl FnMut(Side, SparseOps, &PackedWeights, Vec<i8>, Vec<bool>),
) {
    let mut random = SplitMix64::new(7);
    for [rows, k] in shapes {
        for (share, (side, features)) in
            [0.0, 0.1, 0.5, 1.0].into_iter().flat_map(|s| sides_and_features().map(move |f| (s, f)))
        {
            let codes = random.ternary_codes(rows * k);
            let weights = placed(side, || PackedWeights::pack(&layouts::I2S, Codes::ternary(rows, k, &codes, 0.5)));
            let n = [rows, k][live_of];
            let live = (1..=n).map(|i| i == n || f64::from(random.below(1000)) < share * 1000.0).collect();
            check(side, SparseOps::select(features), &weights.expect("valid"), random.int8s(k), live);
        }
    }
}

fn is_exact(weights: &PackedWeights, y: &[i32], x: &[i8], row: impl Fn(usize) -> usize, ops: SparseOps) {
    let found = compare(y, 0.0, |i| Expected::integer(reference::row_i64(weights, row(i), x)));
    assert!(found.is_ok(), "{}: {found:?}", ops.id());
}

#[test]
fn live_rows_are_all_that_is_read() {
    let shapes = [[1, 1], [2, 31], [5, 128], [7, 129], [33, 256], [37, 1000], [64, 384], [9, 2560]];
    each(shapes, 0, |side, ops, weights, values, live| {
        let x = placed(side, || QuantizedActivations::from_values(&values, 1.0));
        let gate: Vec<f32> = live.iter().map(|&live| if live { 1.0 } else { -1.0 }).collect();
        let mut list = placed(side, || LiveRows::new(live.len(), values.len()));
        list.set_positive(ops, &guard(side, &gate)).expect("room");
        let (mut team, mut y) = (Team::single(), guard(side, &vec![i32::MIN; list.rows().len()]));
        let left = left_by(|| ops.rows(&mut team, &mut list, RowsProduct { weights, x: &x, y: &mut y }).expect("fits"));
        assert_eq!(left, Left::NOTHING, "{} {weights:?} {side:?}", ops.id());
        is_exact(weights, &y, &values, |i| list.rows()[i] as usize, ops);
    });
}

#[test]
fn live_columns_are_all_that_is_read() {
    let shapes = [[1, 1], [63, 2], [64, 5], [65, 31], [256, 33], [300, 130], [513, 70], [257, 515]];
    each(shapes, 1, |side, ops, weights, values, live| {
        let values: Vec<i8> = values.iter().zip(&live).map(|(&x, &live)| if live { x | 1 } else { 0 }).collect();
        let x = placed(side, || QuantizedActivations::from_values(&values, 1.0));
        let columns = placed(side, || ColumnWeights::from_packed(weights)).expect("valid");
        let (mut team, mut y) = (Team::single(), guard(side, &vec![i32::MIN; columns.padded_rows()]));
        let mut list = LiveColumns::new(values.len());
        list.set(ops, &x).expect("room");
        let left = left_by(|| ops.columns(&mut team, &columns, &list, &mut y).expect("fits"));
        assert_eq!(left, Left::NOTHING, "{} {weights:?} {side:?}", ops.id());
        is_exact(weights, &y[..weights.rows()], &values, |row| row, ops);
    });
}
