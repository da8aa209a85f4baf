//! One row of each head format, by its definition and never tuned. Every implementation is compared with it.

use super::q4;
use super::{GROUP, HeadFormat};
use crate::cpu::CpuFeatures;
use crate::f32_ops::F32Ops;

/// The product of one row. Quantised forms take `x` as int8 with scale `s` and give these very bits; f16 is in f64 and
/// takes `x / s` too. With it, the sum of the terms' absolute values.
pub(crate) fn product(format: HeadFormat, weights: &[f32], x: &[i8], s: f32) -> (f64, f64) {
    let integers = |w: &[i32], x: &[i8]| w.iter().zip(x).map(|(w, x)| i64::from(*w) * i64::from(*x)).sum::<i64>();
    let terms = weights.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x) / f64::from(s));
    let (sum, absolute) = terms.fold((0.0, 0.0), |(sum, absolute), term| (sum + term, absolute + term.abs()));
    let product = match format {
        HeadFormat::F16 => return (sum, absolute),
        HeadFormat::Q8 => {
            let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let q: Vec<i32> = weights.iter().map(|w| (w * inverse).round_ties_even() as i32).collect();
            integers(&q, x) as f32 * (largest / 127.0) * (1.0 / s)
        }
        HeadFormat::Q4 => {
            let ops = F32Ops::select(CpuFeatures::NONE);
            let groups = weights.chunks(GROUP).zip(x.chunks(GROUP)).map(|(weights, x)| {
                let mut group = [0f32; GROUP];
                group[..weights.len()].copy_from_slice(weights);
                let mut codes = [0i8; GROUP];
                let scale = q4::quantize(ops, &group, &mut codes).to_f32();
                integers(&codes.map(i32::from), x) as f32 * scale
            });
            groups.fold(0f32, |sum, group| sum + group) * (1.0 / s)
        }
    };
    (f64::from(product), absolute)
}
