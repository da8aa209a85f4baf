//! Products that skip rows or columns, on guarded operands: weights, lists of what is live, activations and sums.

use super::state::{Left, left_by};
use super::{Side, feature_sets, guard, placed};
use crate::conformance::{Expected, compare};
use crate::parallel::Team;
use crate::random::SplitMix64;
use crate::sparse::{ColumnWeights, LiveColumns, LiveRows, RowsProduct, SparseOps};
use crate::{Codes, PackedWeights, QuantizedActivations, layouts, reference};

const SHARES: [f64; 4] = [0.0, 0.1, 0.5, 1.0];

fn pack(side: Side, rows: usize, k: usize, random: &mut SplitMix64) -> PackedWeights {
    let codes: Vec<u8> = (0..rows * k).map(|_| random.below(3) as u8).collect();
    placed(side, || PackedWeights::pack(&layouts::I2S, Codes::ternary(rows, k, &codes, 0.5))).expect("valid")
}

fn live(random: &mut SplitMix64, share: f64) -> bool {
    f64::from(random.below(1000)) < share * 1000.0
}

#[test]
fn live_rows_are_all_that_is_read() {
    let mut random = SplitMix64::new(7);
    for (rows, k) in [(1, 1), (2, 31), (5, 128), (7, 129), (33, 256), (37, 1000), (64, 384), (9, 2560)] {
        for (side, share) in Side::BOTH.into_iter().flat_map(|side| SHARES.map(|share| (side, share))) {
            let weights = pack(side, rows, k, &mut random);
            let values: Vec<i8> = (0..k).map(|_| (random.next_u64() >> 56) as i8).collect();
            let x = placed(side, || QuantizedActivations::from_values(&values, 1.0));
            // The last row is always live: it ends where the codes do.
            let gate: Vec<f32> =
                (0..rows).map(|r| if r + 1 == rows || live(&mut random, share) { 1.0 } else { -1.0 }).collect();
            let gate = guard(side, &gate);
            for features in feature_sets() {
                let mut list = placed(side, || LiveRows::new(rows, k));
                let (ops, mut team) = (SparseOps::select(features), Team::single());
                list.set_positive(ops, &gate).expect("room");
                let mut y = guard(side, &vec![i32::MIN; list.rows().len()]);
                let left = left_by(|| {
                    ops.rows(&mut team, &mut list, RowsProduct { weights: &weights, x: &x, y: &mut y }).expect("fits")
                });
                assert_eq!(left, Left::NOTHING, "{} {rows}x{k} {side:?}", ops.id());
                let oracle = |i: usize| reference::row_i64(&weights, list.rows()[i] as usize, &values);
                let found = compare(&y, 0.0, |i| Expected::integer(oracle(i)));
                assert!(found.is_ok(), "{}: {found:?}", ops.id());
            }
        }
    }
}

#[test]
fn live_columns_are_all_that_is_read() {
    let mut random = SplitMix64::new(8);
    for (rows, k) in [(1, 1), (63, 2), (64, 5), (65, 31), (256, 33), (300, 130), (513, 70), (257, 515)] {
        for (side, share) in Side::BOTH.into_iter().flat_map(|side| SHARES.map(|share| (side, share))) {
            let packed = pack(side, rows, k, &mut random);
            let weights = placed(side, || ColumnWeights::from_packed(&packed)).expect("valid");
            let values: Vec<i8> = (0..k)
                .map(|j| if j + 1 == k || live(&mut random, share) { (random.next_u64() >> 56) as i8 | 1 } else { 0 })
                .collect();
            let x = placed(side, || QuantizedActivations::from_values(&values, 1.0));
            for features in feature_sets() {
                let mut y = guard(side, &vec![i32::MIN; weights.padded_rows()]);
                let (ops, mut team) = (SparseOps::select(features), Team::single());
                let mut list = LiveColumns::new(k);
                list.set(ops, &x).expect("room");
                let left = left_by(|| ops.columns(&mut team, &weights, &list, &mut y).expect("fits"));
                assert_eq!(left, Left::NOTHING, "{} {rows}x{k} {side:?}", ops.id());
                let oracle = |row| Expected::integer(reference::row_i64(&packed, row, &values));
                let found = compare(&y[..rows], 0.0, oracle);
                assert!(found.is_ok(), "{}: {found:?}", ops.id());
            }
        }
    }
}
