//! Every path against the oracle.

use super::*;
use crate::activation::QuantizedActivations;
use crate::conformance::{Expected, compare};
use crate::packed::{Codes, PackedWeights};
use crate::parallel::Team;
use crate::random::SplitMix64;
use crate::{layouts, reference};

fn levels() -> Vec<SparseOps> {
    let mut levels = vec![
        SparseOps::select(CpuFeatures::NONE),
        SparseOps::select(CpuFeatures::X86_64_V3),
        SparseOps::select(CpuFeatures::detect()),
    ];
    levels.dedup();
    levels
}

/// Shares of live elements; 0 and one element are the edges.
const SHARES: [f64; 6] = [0.0, -1.0, 0.1, 0.5, 0.9, 1.0];

#[derive(Clone, Copy, Debug)]
enum Fill {
    Random,
    /// All codes 2, all activations of the live part this.
    Largest(i8),
}

fn case(rows: usize, k: usize, fill: Fill, random: &mut SplitMix64) -> (Vec<u8>, Vec<i8>) {
    let codes = (0..rows * k).map(|_| if let Fill::Random = fill { random.below(3) as u8 } else { 2 }).collect();
    let x = (0..k)
        .map(|_| match fill {
            Fill::Random => (random.next_u64() >> 56) as i8,
            Fill::Largest(value) => value,
        })
        .collect();
    (codes, x)
}

/// Which of `n` are live; a negative share is a single one.
fn live(n: usize, share: f64, random: &mut SplitMix64) -> Vec<bool> {
    let one = random.below(n as u32) as usize;
    (0..n).map(|i| if share < 0.0 { i == one } else { f64::from(random.below(1000)) < share * 1000.0 }).collect()
}

fn pack(rows: usize, k: usize, codes: &[u8]) -> PackedWeights {
    PackedWeights::pack(&layouts::I2S, Codes::ternary(rows, k, codes, 0.5)).expect("valid")
}

#[test]
fn live_rows_equal_the_oracle() {
    let mut random = SplitMix64::new(1);
    for (rows, k) in [(1, 1), (5, 3), (70, 128), (33, 129), (64, 256), (130, 384), (37, 1000), (19, 2560), (9, 6912)] {
        for fill in [Fill::Random, Fill::Largest(127), Fill::Largest(-128)] {
            let (codes, x) = case(rows, k, fill, &mut random);
            let weights = pack(rows, k, &codes);
            let x = QuantizedActivations::from_values(&x, 1.0);
            for share in SHARES {
                let live = live(rows, share, &mut random);
                let gate: Vec<f32> = live.iter().map(|&l| if l { 0.25 } else { [0.0, -1.0, -0.0][rows % 3] }).collect();
                let wanted: Vec<u32> = (0..rows as u32).filter(|&r| live[r as usize]).collect();
                let oracle = |r: &u32| Expected::integer(reference::row_i64(&weights, *r as usize, x.values()));
                let want: Vec<Expected> = wanted.iter().map(oracle).collect();
                for ops in levels() {
                    for threads in [1, 2, 3] {
                        let mut list = LiveRows::new(rows + 7, k + 300);
                        list.set_positive(ops, &gate).expect("room");
                        assert_eq!(list.rows(), wanted);
                        let mut y = vec![i32::MIN; wanted.len()];
                        let mut team = Team::new(threads, |_| {}).expect("threads start");
                        ops.rows(&mut team, &mut list, RowsProduct { weights: &weights, x: &x, y: &mut y })
                            .expect("fits");
                        let found = compare(&y, 0.0, |i| want[i]);
                        let what = format!("{} {rows}x{k} {fill:?} share {share}, {threads} threads", ops.id());
                        assert!(found.is_ok(), "{what}: {found:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn live_columns_equal_the_oracle() {
    let mut random = SplitMix64::new(2);
    for (rows, k) in [(1, 1), (63, 2), (64, 3), (65, 4), (200, 129), (256, 130), (300, 257), (513, 70), (640, 515)] {
        for fill in [Fill::Random, Fill::Largest(127), Fill::Largest(-128)] {
            let (codes, x) = case(rows, k, fill, &mut random);
            let packed = pack(rows, k, &codes);
            let weights = ColumnWeights::from_packed(&packed).expect("valid");
            assert_eq!((weights.rows(), weights.k(), weights.scale()), (rows, k, 0.5));
            for share in SHARES {
                let live = live(k, share, &mut random);
                let x: Vec<i8> = x.iter().zip(&live).map(|(&x, &l)| if l { x } else { 0 }).collect();
                let x = QuantizedActivations::from_values(&x, 1.0);
                let oracle = |r| Expected::integer(reference::row_i64(&packed, r, x.values()));
                let want: Vec<Expected> = (0..rows).map(oracle).collect();
                for ops in levels() {
                    for threads in [1, 2, 3] {
                        let mut list = LiveColumns::new(k + 9);
                        list.set(ops, &x).expect("room");
                        assert_eq!(list.count(), x.values().iter().filter(|&&v| v != 0).count());
                        let mut y = vec![i32::MIN; weights.padded_rows()];
                        let mut team = Team::new(threads, |_| {}).expect("threads start");
                        ops.columns(&mut team, &weights, &list, &mut y).expect("fits");
                        let found = compare(&y[..rows], 0.0, |i| want[i]);
                        let what = format!("{} {rows}x{k} {fill:?} share {share}, {threads} threads", ops.id());
                        assert!(found.is_ok(), "{what}: {found:?}");
                    }
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
    let weights = ColumnWeights::from_packed(&packed).expect("just fits");
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
    assert!(ColumnWeights::from_packed(&pack(1, k + 1, &vec![1; k + 1])).is_err());
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
    let columns = ColumnWeights::from_packed(&weights).expect("valid");
    let mut list = LiveColumns::new(200);
    list.set(ops, &QuantizedActivations::from_values(&[1; 129], 1.0)).expect("room");
    assert!(ops.columns(&mut team, &columns, &list, &mut [0; 256]).is_err());
    list.set(ops, &x).expect("room");
    assert!(ops.columns(&mut team, &columns, &list, &mut [0; 8]).is_err());
}
