use super::*;
use crate::layouts;
use crate::random::SplitMix64;
use proptest::prelude::*;

mod from_rows;
mod scales;

const TERNARY: CodeTable = CodeTable::TERNARY;

fn pack(
    layout: &'static Layout,
    [rows, k]: [usize; 2],
    codes: &[u8],
    table: CodeTable,
    scales: Scales,
) -> Result<PackedWeights, KernelError> {
    PackedWeights::pack(layout, Codes { rows, k, codes, table, scales })
}

/// Some layout with this property.
fn layout_that(is: impl Fn(&Layout) -> bool) -> &'static Layout {
    layouts::ALL.iter().find(|layout| is(layout)).expect("there are some")
}

proptest! {
    #[test]
    fn packing_keeps_codes_and_scales(rows in 1usize..36, k in 1usize..700, seed in any::<u64>()) {
        let codes = SplitMix64::new(seed).ternary_codes(rows * k);
        for &layout in layouts::ALL {
            let packed = PackedWeights::pack(layout, Codes::ternary(rows, k, &codes, 0.25)).expect("valid");
            prop_assert_eq!((packed.layout(), packed.tensor_scale()), (layout, Some(0.25)));
            for row in 0..rows {
                prop_assert_eq!(&packed.row_codes(row), &codes[row * k..][..k]);
                prop_assert_eq!(packed.scale_at(row, k - 1), 0.25);
            }
        }
    }
}

#[test]
fn bad_input_is_refused() {
    // What the published file and the analysis say.
    assert_eq!((TERNARY.0, CodeTable::SEED.0, CodeTable::FOUR.0), ([-1, 0, 1, 0], [-2, -1, 1, 2], [-1, 0, 1, 2]));
    let (i2s, ternary_only) = (&layouts::I2S, layout_that(|layout| layout.ternary_only));
    let one = Scales::PerTensor(1.0);
    let mut codes = [1u8; 512];
    (codes[3], codes[256 + 100], codes[256 + 200]) = (2, 3, 3);
    let code_3 = KernelError::InvalidCode { code: 3, row: 1, column: 100 };
    let seed_table = KernelError::TernaryOnly { layout: ternary_only, table: CodeTable::SEED.0 };
    let four_codes = KernelError::TernaryOnly { layout: ternary_only, table: CodeTable::FOUR.0 };
    let groups = Scales::PerGroup { group: 128, values: vec![1.0, 2.0, 2.0, 2.0] };
    let huge = KernelError::TooLarge { rows: usize::MAX, k: 2 };
    for (layout, shape, codes, table, scales, refused) in [
        (i2s, [2, 256], &codes[1..], TERNARY, &one, KernelError::Shape { what: "codes", expected: 512, actual: 511 }),
        (i2s, [2, 256], &codes, TERNARY, &one, code_3.clone()),
        (ternary_only, [2, 256], &codes, TERNARY, &one, code_3.clone()),
        (ternary_only, [2, 256], &[1; 512], CodeTable::SEED, &one, seed_table),
        (i2s, [2, 256], &[1; 512], TERNARY, &groups, KernelError::GroupScales { layout: i2s, group: 128 }),
        (ternary_only, [2, 256], &[1; 512], CodeTable::FOUR, &one, four_codes),
        (i2s, [2, 256], &codes, CodeTable([-1, 0, 1, 0]), &one, code_3),
        (i2s, [usize::MAX, 2], &[], TERNARY, &one, huge),
    ] {
        assert_eq!(pack(layout, shape, codes, table, scales.clone()).expect_err("bad input"), refused);
    }
    let four = pack(i2s, [2, 256], &codes, CodeTable::FOUR, one.clone()).expect("code 3 has a value in this table");
    assert_eq!((four.table(), four.row_codes(1)), (CodeTable::FOUR, codes[256..].to_vec()));
    let seed = pack(i2s, [2, 256], &codes, CodeTable::SEED, one).expect("code 3 has a value in this table");
    assert_eq!((seed.table(), seed.row_codes(1)), (CodeTable::SEED, codes[256..].to_vec()));
    assert_eq!(seed.with_table(TERNARY).table(), TERNARY);
}

#[test]
fn sizes_of_no_model_are_refused() {
    let pack = |rows, k| PackedWeights::pack(&layouts::I2S, Codes::ternary(rows, k, &[], 1.0));
    for (rows, k) in [(1 << 32, 0), (0, 1 << 32)] {
        let most = pack(rows, k).expect("no weights at all");
        assert_eq!((most.rows(), most.k(), most.bytes()), (rows, k, 0));
    }
    for (rows, k) in [((1 << 32) + 1, 0), (0, (1 << 32) + 1)] {
        assert_eq!(pack(rows, k).expect_err("too large"), KernelError::TooLarge { rows, k });
    }
}

/// A range of rows that starts on a panel, and may end anywhere, gets exactly the panels that hold it.
#[test]
fn row_ranges_select_whole_panels() {
    for &layout in layouts::ALL {
        let (rows, k) = (35, 300);
        let codes: Vec<u8> = (0..rows * k).map(|i| (i / k % 3) as u8).collect();
        let packed = PackedWeights::pack(layout, Codes::ternary(rows, k, &codes, 1.0)).expect("valid");
        let (panel_rows, panel_bytes) = (layout.rows, layout.panel_bytes(k));
        for start in (0..rows).step_by(panel_rows) {
            for end in start..=rows {
                let panels = packed.panels(&(start..end));
                assert_eq!(panels.len(), (end - start).div_ceil(panel_rows) * panel_bytes, "{layout} {start}..{end}");
                if end > start {
                    let mut unpacked = vec![9; panel_rows * k.next_multiple_of(layout.block_k)];
                    (layout.unpack)(&panels[..panel_bytes], &mut unpacked);
                    assert_eq!(unpacked[..k], codes[start * k..][..k], "{layout} {start}..{end}");
                }
            }
        }
    }
}
