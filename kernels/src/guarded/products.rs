//! Every registered kernel, every operation, on guarded operands.

use super::state::{Left, left_by};
use super::{Side, guard, placed};
use crate::descriptor::{Dequantize, GemmI8, Gemv, GemvF32, GemvI8};
use crate::packed::scales_a_row;
use crate::parallel::{Columns, Team};
use crate::random::SplitMix64;
use crate::{
    CodeTable, Codes, CpuFeatures, FloatActivations, I2sTensor, Kernel, Layout, PackedWeights, QuantizedActivations,
    Scales, conformance, layouts, padded_k, registry,
};

/// Around every block length, and widths of real models.
const K: [usize; 18] = [1, 2, 19, 20, 21, 31, 33, 127, 128, 129, 255, 256, 257, 384, 511, 640, 1000, 2560];

fn kernels() -> Vec<Kernel> {
    registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok()).collect()
}

/// Row counts below, at and above a panel and a tile.
fn row_counts(layout: &'static Layout) -> Vec<usize> {
    let panel = layout.rows;
    let mut rows = vec![1, 2, 3, 7, 8, 9, 15, 16, 17, 33, panel.max(2) - 1, panel, panel + 1, 2 * panel + 3];
    rows.sort_unstable();
    rows.dedup();
    rows
}

fn random_codes(n: usize, random: &mut SplitMix64) -> Vec<u8> {
    (0..n).map(|_| random.below(3) as u8).collect()
}

/// The suite that decides whether a kernel may be timed, with codes and activations guarded; results are the oracle's.
#[test]
fn the_conformance_suite_passes_on_guarded_operands() {
    for side in Side::BOTH {
        for kernel in kernels() {
            println!("{} {side:?}", kernel.id());
            let outcome = placed(side, || conformance::verify(&kernel));
            assert_eq!(outcome.mismatches, 0, "{} {side:?}: {:?}", kernel.id(), outcome.first_mismatch);
            assert!(outcome.cases > 100);
        }
    }
}

/// The functions themselves, with outputs and scales guarded too: the same bits as on ordinary memory, and clean
/// registers.
#[test]
fn products_of_guarded_slices_are_the_same_and_leave_no_state() {
    for kernel in kernels() {
        println!("{}", kernel.id());
        let layout = kernel.descriptor().layout;
        let mut random = SplitMix64::new(1);
        for rows in row_counts(layout) {
            for k in K {
                let codes = random_codes(rows * k, &mut random);
                let scales = match layout.group.is_some() {
                    true => {
                        Scales::PerBlock((0..rows * scales_a_row(layout, k)).map(|_| random.signed_unit()).collect())
                    }
                    false => Scales::PerTensor(0.5),
                };
                let weights =
                    PackedWeights::pack(layout, Codes { rows, k, codes: &codes, table: CodeTable::TERNARY, scales })
                        .expect("valid");
                let x: Vec<i8> = (0..k).map(|_| (random.next_u64() >> 56) as i8).collect();
                for side in Side::BOTH {
                    match kernel.descriptor().gemv {
                        Gemv::F32(_) => float(&kernel, &weights, &x, side),
                        Gemv::I8(_) => integer(&kernel, &weights, &x, side),
                    }
                }
            }
        }
    }
}

fn integer(kernel: &Kernel, weights: &PackedWeights, x: &[i8], side: Side) {
    let (rows, k) = (weights.rows(), weights.k());
    let what = format!("{} {rows}x{k} {side:?}", kernel.id());
    let input = QuantizedActivations::from_values(x, 1.0);
    let mut want = vec![i32::MIN; rows];
    kernel.gemv_i8(weights, 0..rows, &input, &mut want).expect("fits");
    let (codes, padded) = (guard(side, weights.code_bytes()), guard(side, input.padded()));
    let mut y = guard(side, &vec![i32::MIN; rows]);
    let panel_bytes = weights.layout().panel_bytes(k);
    let Gemv::I8(gemv) = kernel.descriptor().gemv else { unreachable!("asked before") };
    let (codes_slice, x_slice, x_sum) = (&codes[..], &padded[..], input.sum());
    let args = GemvI8 { codes: codes_slice, panel_bytes, x: x_slice, x_sum, y: &mut y };
    // SAFETY: `Kernel::new` found the features; lengths are those of the packing.
    let left = left_by(|| unsafe { gemv(args) });
    assert_eq!(left, Left::NOTHING, "gemv {what}");
    assert_eq!(y[..], want[..], "gemv {what}");
    let Some(gemm) = kernel.descriptor().gemm else { return };
    // Batch sizes take turns, the tails of every tile among them.
    for tokens in [1, 2 + (rows + k) % 7, 8 + (rows * 3 + k) % 23] {
        let batch = placed(side, || {
            let rotated = |t: usize| [&x[t % k..], &x[..t % k]].concat();
            (0..tokens).map(|t| QuantizedActivations::from_values(&rotated(t), 1.0)).collect::<Vec<_>>()
        });
        let mut y = guard(side, &vec![i32::MIN; rows * tokens]);
        let mut columns = Columns::all(&mut y, tokens, rows);
        let args = GemmI8 { codes: &codes, panel_bytes, x: &batch, y: &mut columns };
        // SAFETY: as above.
        let left = left_by(|| unsafe { gemm(args) });
        assert_eq!(left, Left::NOTHING, "gemm {what} {tokens} tokens");
        for (t, input) in batch.iter().enumerate() {
            kernel.gemv_i8(weights, 0..rows, input, &mut want).expect("fits");
            assert_eq!(y[t * rows..][..rows], want[..], "gemm {what}, token {t} of {tokens}");
        }
    }
}

fn float(kernel: &Kernel, weights: &PackedWeights, x: &[i8], side: Side) {
    let (rows, k) = (weights.rows(), weights.k());
    let what = format!("{} {rows}x{k} {side:?}", kernel.id());
    let mut input = FloatActivations::new(k);
    input.set(&x.iter().map(|&x| f32::from(x) / 3.0).collect::<Vec<_>>()).expect("fits");
    let mut want = vec![f32::NAN; rows];
    kernel.gemv_f32(weights, 0..rows, &input, &mut want).expect("fits");
    assert_eq!(input.padded().len(), padded_k(k));
    let (codes, scales) = (guard(side, weights.code_bytes()), guard(side, weights.scales(&(0..rows))));
    let padded = guard(side, input.padded());
    let mut y = guard(side, &vec![f32::NAN; rows]);
    let (row_bytes, table) = (weights.layout().panel_bytes(k), weights.table().0);
    let Gemv::F32(gemv) = kernel.descriptor().gemv else { unreachable!("asked before") };
    let args = GemvF32 { codes: &codes, row_bytes, scales: &scales, table, x: &padded, y: &mut y };
    // SAFETY: `Kernel::new` found the features; lengths are those of the packing.
    let left = left_by(|| unsafe { gemv(args) });
    assert_eq!(left, Left::NOTHING, "gemv {what}");
    let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&y), bits(&want), "gemv {what}");
    let Some(dequantize) = kernel.descriptor().dequantize else { return };
    let mut want = vec![f32::NAN; rows * k];
    kernel.dequantize(weights, 0..rows, &mut want).expect("fits");
    let mut out = guard(side, &vec![f32::NAN; rows * k]);
    let args = Dequantize { codes: &codes, row_bytes, scales: &scales, table, k, weights: &mut out };
    // SAFETY: as above.
    let left = left_by(|| unsafe { dequantize(args) });
    assert_eq!(left, Left::NOTHING, "dequantize {what}");
    assert_eq!(bits(&out), bits(&want), "dequantize {what}");
}

/// Packing and unpacking stay within the bytes that the layout says.
#[test]
fn packing_stays_within_its_bytes() {
    let mut random = SplitMix64::new(3);
    for side in Side::BOTH {
        for (rows, k) in [(1, 128), (2, 256), (15, 384), (17, 640), (33, 1280), (129, 128)] {
            let codes = guard(side, &random_codes(rows * k, &mut random));
            let pack = |layout| {
                placed(side, || PackedWeights::pack(layout, Codes::ternary(rows, k, &codes, 1.0))).expect("valid")
            };
            let file = pack(&layouts::I2S);
            for &layout in layouts::ALL {
                let want = pack(layout);
                let source = I2sTensor::new(rows, k, file.code_bytes()).expect("an I2_S tensor");
                let got = placed(side, || PackedWeights::from_i2s(layout, source, 1.0, &mut Team::single()));
                assert_eq!(got.expect("fits").code_bytes(), want.code_bytes(), "{layout} {rows}x{k} {side:?}");
                let last = rows - 1;
                assert_eq!(want.row_codes(last), codes[last * k..]);
            }
        }
    }
}
