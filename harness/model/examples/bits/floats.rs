//! The operations on floats: ordinary numbers, ties, denormals, infinities and NaN, at every level of this CPU.

use crate::alike::{all_alike, bytes_of};
use kernels::random::SplitMix64;
use kernels::{ActivationRule, CachedHead, CpuFeatures, F32Ops, Norm, QuantizedActivations, Queries};

/// An operation's name, and what it gives of `a` and `b`.
type Operation = (&'static str, fn(F32Ops, &[f32], &[f32]) -> Vec<f32>);

const OPERATIONS: [Operation; 15] = [
    ("dot", |ops, a, b| vec![ops.dot(a, b)]),
    ("add_scaled", |ops, a, b| changed(a, |y| ops.add_scaled(y, 0.7, b))),
    ("rms_norm", |ops, a, b| made(a, |out| ops.rms_norm(a, norm(b), out))),
    ("gated_rms_norm", |ops, a, b| made(a, |out| ops.gated_rms_norm(a, b, norm(b), out))),
    ("gated", |ops, a, b| made(a, |out| ops.gated(a, b, out))),
    ("silu_gated_rms_norm", |ops, a, b| made(a, |out| ops.silu_gated_rms_norm(a, b, norm(b), out))),
    ("silu_gated", |ops, a, b| made(a, |out| ops.silu_gated(a, b, out))),
    ("head_norms", |ops, a, b| changed(a, |x| ops.head_norms(x, norm(&b[..16])))),
    ("multiply", |ops, a, _| changed(a, |y| ops.multiply(y, 0.3))),
    ("rotate", |ops, a, b| changed(a, |x| ops.rotate(x, &b[..8], &b[8..16]))),
    ("rotate_neighbours", |ops, a, b| changed(a, |x| ops.rotate_neighbours(x, &b[..8], &b[8..16]))),
    ("scale_integers", |ops, a, _| made(a, |y| ops.scale_integers(&integers(a), 0.1, y))),
    ("scale_rows", |ops, a, b| made(a, |y| ops.scale_rows(&integers(a), b, 3.3, y))),
    ("narrow_to_f16", narrowed),
    ("quantize", quantized),
];

fn norm(gain: &[f32]) -> Norm<'_> {
    Norm { gain, eps: 1e-5 }
}

fn changed(x: &[f32], f: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut x = x.to_vec();
    f(&mut x);
    x
}

fn made(like: &[f32], f: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut out = vec![9.0; like.len()];
    f(&mut out);
    out
}

fn integers(x: &[f32]) -> Vec<i32> {
    x.iter().map(|x| (x * 1e6) as i32).collect()
}

/// The bits of each as f16, one at a time: a value that f16 cannot hold is refused.
fn narrowed(ops: F32Ops, a: &[f32], _: &[f32]) -> Vec<f32> {
    let one = |x: &f32| {
        let mut half = [0u16];
        let refused = ops.narrow_to_f16(&[*x], &mut half).is_err();
        [f32::from(u8::from(refused)), if refused { 0.0 } else { f32::from(half[0]) }]
    };
    a.iter().flat_map(one).collect()
}

/// int8 and scales by every rule, or 9 where a value is refused.
fn quantized(ops: F32Ops, a: &[f32], _: &[f32]) -> Vec<f32> {
    let mut all = Vec::new();
    for rule in ActivationRule::ALL {
        let mut x = QuantizedActivations::by_rule(a.len(), rule);
        if x.quantize(ops, a).is_err() {
            all.push(9.0);
            continue;
        }
        all.extend(x.values().iter().map(|&x| f32::from(x)));
        all.extend_from_slice(x.block_scales());
        all.push(x.scale());
    }
    all
}

/// Vectors by name, pairs of one length.
fn vectors() -> Vec<(&'static str, Vec<f32>, Vec<f32>)> {
    let mut random = SplitMix64::new(11);
    let ordinary = |random: &mut SplitMix64| random.signed_units(208);
    let denormal = |random: &mut SplitMix64| -> Vec<f32> {
        (0..208).map(|_| f32::from_bits(random.below(1 << 24) | random.below(2) << 31)).collect()
    };
    // Halves of a step of 1/127, where rounding has a tie, and neighbours of them.
    let tie = |i: usize| f32::from_bits(((i as f32 - 104.0 + 0.5) / 127.0).to_bits() + (i % 3) as u32 - 1);
    let ties = |_: &mut SplitMix64| (0..208).map(tie).collect::<Vec<f32>>();
    let any_bits =
        |random: &mut SplitMix64| -> Vec<f32> { (0..208).map(|_| f32::from_bits(random.next_u64() as u32)).collect() };
    let mut all = vec![
        ("ordinary", ordinary(&mut random), ordinary(&mut random)),
        ("denormals", denormal(&mut random), ordinary(&mut random)),
        ("products that are denormal", denormal(&mut random), denormal(&mut random)),
        ("ties", ties(&mut random), ordinary(&mut random)),
        ("any bits", any_bits(&mut random), any_bits(&mut random)),
    ];
    for (name, special) in [
        ("NaN", f32::NAN),
        ("negative NaN", -f32::NAN),
        ("infinity", f32::INFINITY),
        ("negative infinity", f32::NEG_INFINITY),
        ("negative zero", -0.0),
        ("largest", f32::MAX),
    ] {
        let mut x = ordinary(&mut random);
        x[37] = special;
        all.push((name, x, ordinary(&mut random)));
    }
    all
}

pub fn print() {
    let levels = F32Ops::all(CpuFeatures::detect());
    for (name, a, b) in vectors() {
        for (operation, give) in OPERATIONS {
            let given = |&ops: &F32Ops| (ops.id(), bytes_of(&give(ops, &a, &b)));
            all_alike(&format!("{operation} of {name}"), &levels.iter().map(given).collect::<Vec<_>>());
        }
    }
    attention(&levels);
}

/// Two query heads over a cache of every finite f16 magnitude.
fn attention(levels: &[F32Ops]) {
    let (head_dim, positions) = (64, 37);
    let mut random = SplitMix64::new(12);
    let cached = |random: &mut SplitMix64| (0..head_dim * positions).map(|_| random.below(0x7C00) as u16).collect();
    let (keys, values): (Vec<u16>, Vec<u16>) = (cached(&mut random), cached(&mut random));
    let q = random.signed_units(2 * head_dim);
    let attended = |&ops: &F32Ops| {
        let (mut scores, mut out) = (vec![0.0; 2 * positions], vec![0.0; 2 * head_dim]);
        let cache = CachedHead { keys: &keys, values: &values, stride: head_dim };
        let queries = Queries { q: &q, head_dim, factor: 1e-6, scores: &mut scores, out: &mut out };
        ops.attend(&mut [queries], cache);
        (ops.id(), bytes_of(&out))
    };
    all_alike("attention", &levels.iter().map(attended).collect::<Vec<_>>());
}
