//! The lists, the widest sums, and refusals; [`crate::conformance::products`] compares every path with the oracle.

use super::*;
use crate::activation::QuantizedActivations;
use crate::layouts;
use crate::packed::{Codes, PackedWeights};
use crate::parallel::Team;
use crate::random::SplitMix64;
use crate::testing::feature_sets;

fn levels() -> impl Iterator<Item = SparseOps> {
    feature_sets().into_iter().map(SparseOps::select)
}

fn pack(rows: usize, k: usize, codes: &[u8]) -> PackedWeights {
    PackedWeights::pack(&layouts::I2S, Codes::ternary(rows, k, codes, 0.5)).expect("valid")
}

#[test]
fn lists_hold_what_is_live() {
    let mut random = SplitMix64::new(1);
    for n in (1..70).chain([130, 1000, 6912]) {
        for share in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let live: Vec<bool> = (0..n).map(|_| f64::from(random.below(1000)) < share * 1000.0).collect();
            let gate: Vec<f32> =
                live.iter().map(|&l| if l { 0.25 } else { [0.0, -1.0, -0.0, f32::NAN][n % 4] }).collect();
            let x: Vec<i8> = live.iter().zip(random.int8s(n)).map(|(&l, x)| if l { x | 1 } else { 0 }).collect();
            let x = QuantizedActivations::from_values(&x, 1.0);
            let wanted: Vec<u32> = (0..n as u32).filter(|&i| live[i as usize]).collect();
            for ops in levels() {
                // With exactly the room, and with more.
                for room in [n, n + 7] {
                    let (mut rows, mut columns) = (LiveRows::new(room, 1), LiveColumns::new(room));
                    rows.set_positive(ops, &gate).expect("room");
                    columns.set(ops, &x).expect("room");
                    assert_eq!((rows.rows(), columns.count()), (&wanted[..], wanted.len()), "{} {n} {share}", ops.id());
                    assert_eq!(rows.share(), wanted.len() as f64 / n as f64);
                }
            }
        }
    }
}

/// The most columns that the layout allows, all of the largest product: the bound of the sums is not passed.
#[test]
fn the_widest_sums_are_exact() {
    let (rows, k) = (3, 1 << 16);
    let packed = pack(rows, k, &vec![2; rows * k]);
    let weights = ColumnWeights::from_packed(&packed, &mut Team::single()).expect("just fits");
    assert_eq!((weights.rows(), weights.k(), weights.scale()), (rows, k, 0.5));
    for value in [127i8, -128] {
        let x = QuantizedActivations::from_values(&vec![value; k], 1.0);
        for ops in levels() {
            let mut list = LiveColumns::new(k);
            list.set(ops, &x).expect("room");
            let mut y = vec![0; weights.padded_rows()];
            ops.columns(&mut Team::single(), &weights, &list, &mut y).expect("fits");
            assert_eq!(y[..rows], [i32::from(value) * k as i32; 3], "{}", ops.id());
        }
    }
    assert!(ColumnWeights::from_packed(&pack(1, k + 1, &vec![1; k + 1]), &mut Team::single()).is_err());
}

#[test]
fn lists_of_other_matrices_are_refused() {
    let ops = SparseOps::select(CpuFeatures::detect());
    let mut team = Team::single();
    let weights = pack(8, 128, &[1; 1024]);
    let x = QuantizedActivations::from_values(&[1; 128], 1.0);
    let mut rows = LiveRows::new(9, 128);
    rows.set_positive(ops, &[1.0; 9]).expect("room");
    assert!(ops.rows(&mut team, &mut rows, RowsProduct { weights: &weights, x: &x, y: &mut [0; 9] }).is_err());
    assert!(rows.set_positive(ops, &[1.0; 10]).is_err());
    let columns = ColumnWeights::from_packed(&weights, &mut team).expect("valid");
    let mut list = LiveColumns::new(200);
    list.set(ops, &QuantizedActivations::from_values(&[1; 129], 1.0)).expect("room");
    assert!(ops.columns(&mut team, &columns, &list, &mut [0; 256]).is_err());
    list.set(ops, &x).expect("room");
    assert!(ops.columns(&mut team, &columns, &list, &mut [0; 8]).is_err());
}
