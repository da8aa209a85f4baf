//! The f32 operations between the products, at every length up to a few registers.

use super::state::{Left, left_by};
use super::{Side, guard, sides_and_features};
use crate::random::SplitMix64;
use crate::testing::{bits, f16};
use crate::{AlignedBuffer, CachedHead, F32Ops, Norm, Queries};

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
        for (side, features) in sides_and_features() {
            let (bits, left) = operation(F32Ops::select(features), side, &guard(side, &x));
            assert_eq!(left, Left::NOTHING, "{what}, {len} elements, {features}");
            assert_eq!(first.get_or_insert(bits.clone()), &bits, "{what}, {len} elements, {features} {side:?}");
        }
    }
}

/// Operands of one length, each against a protected page; those in f32 are copies of the input.
struct Operands {
    x: AlignedBuffer<f32>,
    y: AlignedBuffer<f32>,
    gain: AlignedBuffer<f32>,
    out: AlignedBuffer<f32>,
    integers: AlignedBuffer<i32>,
    bytes: AlignedBuffer<i8>,
    halves: AlignedBuffer<u16>,
}

/// Every remainder of every register, and a few whole ones; all that the operation may write is compared.
fn check_all(what: &str, operation: impl Fn(F32Ops, &mut Operands)) {
    check(what, (1..70).chain([127, 128, 129, 255, 257]), |ops, side, x| {
        let copy = || guard(side, x);
        let mut o = Operands {
            x: copy(),
            y: copy(),
            gain: copy(),
            out: copy(),
            integers: guard(side, &x.iter().map(|&v| v as i32).collect::<Vec<_>>()),
            bytes: guard(side, &vec![0; x.len()]),
            halves: guard(side, &vec![0; x.len()]),
        };
        let left = left_by(|| operation(ops, &mut o));
        let integers = o.integers.iter().map(|&v| v as u32).chain(o.bytes.iter().map(|&v| v as u32));
        (integers.chain(o.halves.iter().map(|&v| v.into())).chain(bits(&o.out)).collect(), left)
    });
}

#[test]
fn reductions_roundings_and_maps() {
    check_all("dot", |ops, o| o.out[0] = ops.dot(&o.x, &o.y));
    check_all("largest_magnitude", |ops, o| o.out[0] = ops.largest_magnitude(&o.x));
    check_all("extremes", |ops, o| {
        let [low, high] = ops.extremes(&o.x);
        (o.out[0], o.integers[0]) = (low, high.to_bits() as i32);
    });
    check_all("round_to_i8", |ops, o| o.integers[0] = ops.round_to_i8(&o.x, 1.0, &mut o.bytes));
    check_all("round_to_i4", |ops, o| ops.round_to_i4(&o.x, 0.07, &mut o.bytes));
    check_all("add_scaled", |ops, o| ops.add_scaled(&mut o.out, 0.3, &o.x));
    check_all("rms_norm", |ops, o| ops.rms_norm(&o.x, Norm { gain: &o.gain, eps: 1e-5 }, &mut o.out));
    check_all("gated_rms_norm", |ops, o| {
        ops.gated_rms_norm(&o.x, &o.y, Norm { gain: &o.gain, eps: 1e-5 }, &mut o.out);
    });
    check_all("scale_rows", |ops, o| ops.scale_rows(&o.integers, &o.y, 0.7, &mut o.out));
    check_all("multiply", |ops, o| ops.multiply(&mut o.out, 0.7));
    check_all("gated", |ops, o| ops.gated(&o.x, &o.y, &mut o.out));
    check_all("silu_gated_rms_norm", |ops, o| {
        ops.silu_gated_rms_norm(&o.x, &o.y, Norm { gain: &o.gain, eps: 1e-5 }, &mut o.out);
    });
    check_all("silu_gated", |ops, o| ops.silu_gated(&o.x, &o.y, &mut o.out));
    check_all("head_norms", |ops, o| {
        let width = o.gain.len() / 3 + 1;
        ops.head_norms(&mut o.out, Norm { gain: &o.gain[..width], eps: 1e-5 });
    });
    check_all("scale_integers", |ops, o| ops.scale_integers(&o.integers, 0.7, &mut o.out));
    check_all("narrow_to_f16", |ops, o| ops.narrow_to_f16(&o.x, &mut o.halves).expect("finite in f16"));
}

/// Heads of 2 to 128 elements, with neighbours in memory and without.
#[test]
fn attention() {
    let heads = [2, 4, 6, 16, 30, 32, 34, 64, 128];
    for neighbours in [false, true] {
        check("rotate", heads.into_iter().map(|d| 3 * d), |ops, side, x| {
            let half = x.len() / 6;
            let (cos, sin, mut x) = (guard(side, &x[..half]), guard(side, &x[half..2 * half]), guard(side, x));
            let left = left_by(|| match neighbours {
                true => ops.rotate_neighbours(&mut x, &cos, &sin),
                false => ops.rotate(&mut x, &cos, &sin),
            });
            (bits(&x), left)
        });
    }
    for positions in [1, 2, 3, 4, 5, 7, 8, 9, 17] {
        for (heads_in_row, queries) in [(1, 1), (3, 1), (3, 5)] {
            check("attend", heads.into_iter().map(|d| queries * d), |ops, side, q| {
                let (d, stride) = (q.len() / queries, q.len() / queries * heads_in_row);
                // The last head of each row: the cache ends with the last position's.
                let len = (positions - 1) * stride + d;
                let cached = |i: usize| f16(q[i % d] * (1.0 + (i % 7) as f32 / 50.0) / 100.0);
                let cache = guard(side, &(0..len).map(cached).collect::<Vec<u16>>());
                let (values, mut out) = (guard(side, &cache), guard(side, q));
                let mut scores = guard(side, &vec![0f32; queries * positions]);
                let head = CachedHead { keys: &cache, values: &values, stride };
                let left = left_by(|| {
                    ops.attend(
                        &mut [Queries { q, head_dim: d, factor: 0.1, scores: &mut scores, out: &mut out }],
                        head,
                    );
                });
                (bits(&out), left)
            });
        }
    }
}
