//! A matrix decoded row by row is what its single codes give.

use super::*;
use crate::reference;
use crate::testing::team;
use half::f16;

/// A matrix of four codes if the layout has a place for them.
struct Matrix {
    rows: usize,
    k: usize,
    group: usize,
    codes: Vec<u8>,
    scales: Vec<f32>,
}

impl Matrix {
    fn source<'a>(&self, table: CodeTable, decode: &'a DecodeRow<'a>) -> RowSource<'a> {
        RowSource { rows: self.rows, k: self.k, table, group: self.group, tensor_scale: 0.75, decode }
    }

    fn decode(&self, row: usize, codes: &mut [u8], scales: &mut [f32]) {
        codes.copy_from_slice(&self.codes[row * self.k..][..self.k]);
        let a_row = scales.len();
        scales.copy_from_slice(&self.scales[row * a_row..][..a_row]);
    }
}

fn same(got: &PackedWeights, want: &PackedWeights, what: &str) {
    assert_eq!(got.code_bytes(), want.code_bytes(), "{what}");
    assert_eq!((got.scale_unit(), got.group(), got.table()), (want.scale_unit(), want.group(), want.table()), "{what}");
    assert_eq!((got.row_scales(), got.tensor_scale()), (want.row_scales(), want.tensor_scale()), "{what}");
    let all = 0..want.rows();
    assert_eq!(got.scales(&all), want.scales(&all), "{what}");
}

/// Every row of a range as f32 is its codes by table and scale, wherever the range begins and ends.
fn floats(packed: &PackedWeights, codes: &[u8], what: &str) {
    let k = packed.k();
    for range in [0..packed.rows(), packed.rows() / 3..packed.rows() - packed.rows() / 4] {
        let mut next = range.start;
        packed.each_row(range.clone(), |row, weights| {
            let weight = |j: usize| reference::weight(codes[row * k + j], packed.table(), packed.scale_at(row, j));
            assert!((0..k).map(weight).eq(weights.iter().copied()) && row == next, "{what}, row {row}");
            next += 1;
        });
        assert_eq!(next, range.end, "{what}");
    }
}

#[test]
fn rows_are_packed_as_single_codes_are() {
    let mut random = SplitMix64::new(3);
    let shapes: [(usize, usize); 9] =
        [(1, 1), (3, 64), (7, 129), (8, 256), (17, 300), (35, 640), (129, 65), (0, 256), (3, 0)];
    for (rows, k) in shapes {
        for &layout in layouts::ALL {
            let (kinds, table) = if layout.ternary_only { (3, TERNARY) } else { (4, CodeTable::FOUR) };
            let codes: Vec<u8> = (0..rows * k).map(|_| random.below(kinds) as u8).collect();
            let half = layout.half_scale.is_some();
            let mut units = |count| -> Vec<f32> {
                let held = |scale: f32| if half { f16::from_f32(scale).to_f32() } else { scale };
                random.signed_units(count).into_iter().map(held).collect()
            };
            let groups: Vec<usize> = layout.group_sizes().collect();
            let groups = groups.into_iter().map(|group| (group, units(rows * k.div_ceil(group)))).collect::<Vec<_>>();
            let cases: Vec<(usize, Vec<f32>)> =
                groups.into_iter().chain([(0, vec![]), (k.max(1), vec![0.5; rows * k.min(1)])]).collect();
            let by_row = (k.max(1), units(rows * k.min(1)));
            for (group, scales) in cases.into_iter().chain([by_row]) {
                let given = match group {
                    0 => Scales::PerTensor(0.75),
                    group => Scales::PerGroup { group, values: scales.clone() },
                };
                let want = pack(layout, [rows, k], &codes, table, given).expect("valid");
                floats(&want, &codes, &format!("{layout} {rows}x{k}, groups of {group}"));
                let matrix = Matrix { rows, k, group, codes: codes.clone(), scales };
                for threads in [1, 2, 3, 5] {
                    let decode = |row: usize, codes: &mut [u8], scales: &mut [f32]| matrix.decode(row, codes, scales);
                    let source = matrix.source(table, &decode);
                    let got = PackedWeights::from_rows(layout, source, &mut team(threads)).expect("valid");
                    same(&got, &want, &format!("{layout} {rows}x{k}, groups of {group}, {threads} threads"));
                }
            }
        }
    }
}

#[test]
fn the_first_code_without_a_weight_is_named() {
    for threads in [1, 2, 3] {
        for &layout in layouts::ALL {
            let decode = |row: usize, codes: &mut [u8], _: &mut [f32]| {
                codes.fill(2);
                if row >= 40 {
                    (codes[50], codes[7 + row % 2]) = (9, 3);
                }
            };
            let source = RowSource { rows: 300, k: 70, table: TERNARY, group: 0, tensor_scale: 1.0, decode: &decode };
            let refused = PackedWeights::from_rows(layout, source, &mut team(threads)).expect_err("code 3");
            assert_eq!(
                refused,
                KernelError::InvalidCode { code: 3, row: 40, column: 7 },
                "{layout}, {threads} threads"
            );
            if !layout.ternary_only {
                let four = RowSource { table: CodeTable::FOUR, ..source };
                let refused = PackedWeights::from_rows(layout, four, &mut team(threads)).expect_err("code 9");
                assert_eq!(refused, KernelError::InvalidCode { code: 9, row: 40, column: 50 });
            }
        }
    }
}

#[test]
fn groups_that_a_layout_does_not_hold_are_refused_after_decoding() {
    let by_row = |row: usize, codes: &mut [u8], scales: &mut [f32]| {
        codes.fill(1);
        scales.fill(row as f32);
    };
    let by_group = |row: usize, codes: &mut [u8], scales: &mut [f32]| {
        by_row(row, codes, scales);
        scales[1] += 1.0;
    };
    let source = RowSource { rows: 9, k: 256, table: TERNARY, group: 128, tensor_scale: 1.0, decode: &by_row };
    let rows = PackedWeights::from_rows(&layouts::I2S, source, &mut team(2)).expect("a scale for each row");
    assert_eq!((rows.scale_unit(), rows.scale_at(8, 255)), (ScaleUnit::Row, 8.0));
    let refused = PackedWeights::from_rows(&layouts::I2S, RowSource { decode: &by_group, ..source }, &mut team(2));
    assert_eq!(refused.expect_err("not held"), KernelError::GroupScales { layout: &layouts::I2S, group: 128 });
    let huge = RowSource { rows: usize::MAX, ..source };
    let refused = PackedWeights::from_rows(&layouts::I2S, huge, &mut team(1)).expect_err("too large");
    assert_eq!(refused, KernelError::TooLarge { rows: usize::MAX, k: 256 });
}
