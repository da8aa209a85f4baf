//! Scales of tensors, rows and groups: which layout keeps what, and where.

use super::*;

fn with(layout: &'static Layout, [rows, k]: [usize; 2], scales: Scales) -> Result<PackedWeights, KernelError> {
    pack(layout, [rows, k], &vec![1; rows * k], TERNARY, scales)
}

fn groups(group: usize, values: &[f32]) -> Scales {
    Scales::PerGroup { group, values: values.to_vec() }
}

#[test]
fn scales_are_where_their_groups_are() {
    let in_groups = layout_that(|layout| layout.groups == [256]);
    let weights = with(in_groups, [3, 300], groups(256, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).expect("valid");
    let at = [(0, 0), (0, 255), (0, 256), (0, 299), (1, 0), (1, 255), (1, 256), (1, 299)];
    assert_eq!(at.map(|(row, column)| weights.scale_at(row, column)), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
    assert_eq!((weights.scales(&(0..1)), weights.scales(&(1..3))), (&[1.0, 2.0][..], &[3.0, 4.0, 5.0, 6.0][..]));
    assert_eq!((weights.tensor_scale(), weights.scale_unit()), (None, ScaleUnit::Group(256)));
    assert_eq!(weights.bytes(), weights.code_bytes().len() + 6 * 4);
    let wrong = with(in_groups, [3, 300], groups(128, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]));
    assert_eq!(wrong.expect_err("other groups"), KernelError::GroupScales { layout: in_groups, group: 128 });
    let wrong = with(in_groups, [3, 300], groups(256, &[5.0; 5])).expect_err("a scale is missing");
    assert_eq!(wrong, KernelError::Shape { what: "scales of groups", expected: 6, actual: 5 });
    let wrong = with(in_groups, [3, 300], Scales::PerRow(vec![5.0; 4])).expect_err("one too many");
    assert_eq!(wrong, KernelError::Shape { what: "scales of rows", expected: 3, actual: 4 });
    let none = with(&layouts::I2S, [0, 256], groups(256, &[])).expect("no groups, no scales");
    assert_eq!(none.tensor_scale(), Some(1.0));
}

/// Of a panel of several rows, a group's scales lie side by side, zeros where a row is missing.
#[test]
fn scales_of_a_panel_lie_as_kernels_load_them() {
    let layout = layout_that(|layout| layout.rows == 8 && layout.groups.contains(&64));
    let values: Vec<f32> = (1..=30).map(|v| v as f32).collect();
    let weights = with(layout, [10, 130], groups(64, &values)).expect("valid");
    assert_eq!((weights.group(), weights.scales(&(0..10)).len()), (Some(64), 2 * 3 * 8));
    assert_eq!(weights.scales(&(0..8))[8..16], [2.0, 5.0, 8.0, 11.0, 14.0, 17.0, 20.0, 23.0]);
    assert_eq!(weights.scales(&(8..10))[16..24], [27.0, 30.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    for (row, column) in (0..10).flat_map(|row| [0, 63, 64, 128, 129].map(|column| (row, column))) {
        assert_eq!(weights.scale_at(row, column), (row * 3 + column / 64 + 1) as f32);
    }
    assert_eq!(weights.bytes(), weights.code_bytes().len() + 48 * 4);
}

#[test]
fn equal_scales_are_those_of_the_row_or_the_tensor() {
    for &layout in layouts::ALL {
        for scales in [groups(64, &[5.0; 15]), Scales::PerRow(vec![5.0; 3]), Scales::PerTensor(5.0)] {
            let weights = with(layout, [3, 300], scales).expect("one scale");
            assert_eq!((weights.tensor_scale(), weights.row_scales()), (Some(5.0), None), "{layout}");
            assert_eq!((weights.scale_unit(), weights.scale_at(2, 299)), (ScaleUnit::Tensor, 5.0));
        }
        let by_row: Vec<f32> = [1.0f32, 2.0, 3.0].into_iter().flat_map(|scale| [scale; 5]).collect();
        for scales in [groups(64, &by_row), groups(300, &[1.0, 2.0, 3.0]), Scales::PerRow(vec![1.0, 2.0, 3.0])] {
            let weights = with(layout, [3, 300], scales).expect("a scale for each row");
            assert_eq!((weights.tensor_scale(), weights.row_scales()), (None, Some(&[1.0, 2.0, 3.0][..])), "{layout}");
            assert_eq!(
                (weights.scale_unit(), weights.scale_at(1, 0), weights.scale_at(2, 299)),
                (ScaleUnit::Row, 2.0, 3.0)
            );
        }
    }
    // By their bits.
    let zeros = with(layout_that(|layout| layout.groups.contains(&64)), [1, 128], groups(64, &[0.0, -0.0]));
    assert_eq!(zeros.expect("valid").scale_unit(), ScaleUnit::Group(64));
}

/// A matrix keeps the groups that it came with, also where all their scales are equal; one that has none gets 128.
#[test]
fn a_layout_that_holds_groups_has_a_scale_for_each() {
    for &layout in layouts::ALL.iter().filter(|layout| layout.group_sizes().any(|group| group == 64)) {
        for (scales, group) in
            [(groups(64, &[0.5; 15]), 64), (Scales::PerTensor(0.5), 128), (groups(300, &[0.5; 3]), 128)]
        {
            let weights = with(layout, [3, 300], scales).expect("valid");
            let usual = (layout.forms)().is_empty() || group == 64;
            assert_eq!(weights.group(), if usual { Some(group) } else { layout.usual_group() });
            assert!((0..3 * 300).all(|at| weights.scale_at(at / 300, at % 300) == 0.5), "{layout}");
        }
    }
    let none = with(&layouts::I2S, [3, 300], Scales::PerTensor(0.5)).expect("valid");
    assert_eq!((none.group(), none.scales(&(0..3)), none.bytes()), (None, &[][..], 3 * 3 * 32));
}

#[test]
fn what_a_layout_does_not_hold_is_named() {
    let error = |name: &str, group: usize| {
        let values: Vec<f32> = (0..1024 / group).map(|v| v as f32).collect();
        let layout = layouts::find(name).expect("known");
        with(layout, [1, 1024], groups(group, &values)).expect_err("not held").to_string()
    };
    let needs = "the weights have one for each";
    assert_eq!(
        error("tile8x16", 128),
        format!("packing tile8x16 holds one scale a tensor or a row, {needs} 128 of a row")
    );
    let held = "a scale for each 256 weights of a row";
    assert_eq!(error("qk256", 64), format!("packing qk256 holds {held}, {needs} 64 of a row"));
    let held = "a scale for each 64, 128 or 256 weights of a row";
    assert_eq!(error("groups8x128", 32), format!("packing groups8x128 holds {held}, {needs} 32 of a row"));
}
