//! The f32 operations between the products, at every length up to a few registers.

use super::state::{Left, left_by};
use super::{Side, feature_sets, guard};
use crate::random::SplitMix64;
use crate::{CachedHead, F32Ops, Norm, Queries};

/// Runs `operation` at every level on copies of `x` against both kinds of page; the bits are the same everywhere.
fn check(
    what: &str,
    lengths: impl Iterator<Item = usize>,
    operation: impl Fn(F32Ops, Side, &[f32]) -> (Vec<u32>, Left),
) {
    let mut random = SplitMix64::new(9);
    for len in lengths {
        let x: Vec<f32> = (0..len).map(|_| random.signed_unit() * 100.0).collect();
        let mut first = None;
        for (side, features) in Side::BOTH.into_iter().flat_map(|s| feature_sets().into_iter().map(move |f| (s, f))) {
            let (bits, left) = operation(F32Ops::select(features), side, &guard(side, &x));
            assert_eq!(left, Left::NOTHING, "{what}, {len} elements, {features}");
            assert_eq!(first.get_or_insert(bits.clone()), &bits, "{what}, {len} elements, {features} {side:?}");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Every remainder of every register, and a few whole ones.
fn lengths() -> impl Iterator<Item = usize> {
    (1..70).chain([127, 128, 129, 255, 257])
}

#[test]
fn reductions_and_roundings() {
    check("dot", lengths(), |ops, side, x| {
        let (y, mut sum) = (guard(side, x), 0.0);
        let left = left_by(|| sum = ops.dot(x, &y));
        (bits(&[sum]), left)
    });
    check("largest_magnitude", lengths(), |ops, _, x| {
        let mut largest = 0.0;
        let left = left_by(|| largest = ops.largest_magnitude(x));
        (bits(&[largest]), left)
    });
    check("extremes", lengths(), |ops, _, x| {
        let mut found = [0.0; 2];
        let left = left_by(|| found = ops.extremes(x));
        (bits(&found), left)
    });
    check("round_to_i8", lengths(), |ops, side, x| {
        let (mut out, mut sum) = (guard(side, &vec![0i8; x.len()]), 0);
        let left = left_by(|| sum = ops.round_to_i8(x, 1.0, &mut out));
        (out.iter().map(|&q| q as u32).chain([sum as u32]).collect(), left)
    });
    check("round_to_i4", lengths(), |ops, side, x| {
        let mut out = guard(side, &vec![0i8; x.len()]);
        let left = left_by(|| ops.round_to_i4(x, 0.07, &mut out));
        (out.iter().map(|&q| q as u32).collect(), left)
    });
}

#[test]
fn maps() {
    check("add_scaled", lengths(), |ops, side, x| {
        let mut y = guard(side, x);
        let left = left_by(|| ops.add_scaled(&mut y, 0.3, x));
        (bits(&y), left)
    });
    check("rms_norm", lengths(), |ops, side, x| {
        let (gain, mut out) = (guard(side, x), guard(side, x));
        let left = left_by(|| ops.rms_norm(x, Norm { gain: &gain, eps: 1e-5 }, &mut out));
        (bits(&out), left)
    });
    check("gated_rms_norm", lengths(), |ops, side, x| {
        let (gate, up, gain) = (guard(side, x), guard(side, x), guard(side, x));
        let mut out = guard(side, x);
        let left = left_by(|| ops.gated_rms_norm(&gate, &up, Norm { gain: &gain, eps: 1e-5 }, &mut out));
        (bits(&out), left)
    });
    check("scale_integers", lengths(), |ops, side, x| {
        let sums = guard(side, &x.iter().map(|&v| v as i32).collect::<Vec<_>>());
        let mut y = guard(side, x);
        let left = left_by(|| ops.scale_integers(&sums, 0.7, &mut y));
        (bits(&y), left)
    });
    check("narrow_to_f16", lengths(), |ops, side, x| {
        let mut y = guard(side, &vec![0u16; x.len()]);
        let x = guard(side, x);
        let left = left_by(|| ops.narrow_to_f16(&x, &mut y).expect("finite in f16"));
        (y.iter().map(|&v| u32::from(v)).collect(), left)
    });
}

/// Heads of 2 to 128 elements, with neighbours in memory and without.
#[test]
fn attention() {
    let heads = [2, 4, 6, 16, 30, 32, 34, 64, 128];
    check("rotate", heads.into_iter().map(|d| 3 * d), |ops, side, x| {
        let half = x.len() / 6;
        let (cos, sin, mut x) = (guard(side, &x[..half]), guard(side, &x[half..2 * half]), guard(side, x));
        let left = left_by(|| ops.rotate(&mut x, &cos, &sin));
        (bits(&x), left)
    });
    for positions in [1, 2, 3, 4, 5, 7, 8, 9, 17] {
        for (heads_in_row, queries) in [(1, 1), (3, 1), (3, 5)] {
            check("attend", heads.into_iter().map(|d| queries * d), |ops, side, q| {
                let (d, stride) = (q.len() / queries, q.len() / queries * heads_in_row);
                // The last head of each row: the cache ends with the last position's.
                let len = (positions - 1) * stride + d;
                let cached = |i: usize| half::f16::from_f32(q[i % d] * (1.0 + (i % 7) as f32 / 50.0) / 100.0).to_bits();
                let cache: Vec<u16> = (0..len).map(cached).collect();
                let (keys, values) = (guard(side, &cache), guard(side, &cache));
                let (mut scores, mut out) =
                    (guard(side, &vec![0f32; queries * positions]), guard(side, &vec![0f32; q.len()]));
                let head = CachedHead { keys: &keys, values: &values, stride };
                let left = left_by(|| {
                    ops.attend(Queries { q, head_dim: d, factor: 0.1, scores: &mut scores, out: &mut out }, head);
                });
                (bits(&out), left)
            });
        }
    }
}
