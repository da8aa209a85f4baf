//! Every registered kernel, every operation, on guarded operands.

use super::state::{Left, left_by};
use super::{Side, guard, placed};
use crate::buffer::Plain;
use crate::descriptor::{Dequantize, GemmI8, Gemv, GemvF32, GemvI8};
use crate::packed::scales_a_row;
use crate::parallel::{Columns, Team};
use crate::random::SplitMix64;
use crate::{
    CodeTable, Codes, CpuFeatures, FloatActivations, I2sTensor, Kernel, PackedWeights, QuantizedActivations, Scales,
    conformance, layouts, padded_k, registry,
};
use std::fmt::Debug;

/// Around every block length, and widths of real models.
const K: [usize; 18] = [1, 2, 19, 20, 21, 31, 33, 127, 128, 129, 255, 256, 257, 384, 511, 640, 1000, 2560];

fn kernels() -> impl Iterator<Item = Kernel> {
    registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok())
}

/// The suite that decides whether a kernel may be timed, with codes and activations guarded; results are the oracle's.
#[test]
fn the_conformance_suite_passes_on_guarded_operands() {
    for (side, kernel) in Side::BOTH.into_iter().flat_map(|side| kernels().map(move |kernel| (side, kernel))) {
        println!("{} {side:?}", kernel.id());
        let outcome = placed(side, || conformance::verify(&kernel));
        assert_eq!(outcome.mismatches, 0, "{} {side:?}: {:?}", kernel.id(), outcome.first_mismatch);
        assert!(outcome.cases > 100);
    }
}

/// The functions themselves, with outputs and scales guarded too: the same bits as on ordinary memory, and clean
/// registers. Row counts are below, at and above a panel and a tile.
#[test]
fn products_of_guarded_slices_are_the_same_and_leave_no_state() {
    for kernel in kernels() {
        println!("{}", kernel.id());
        let layout = kernel.descriptor().layout;
        let panel = layout.rows;
        let mut random = SplitMix64::new(1);
        let mut row_counts = vec![1, 2, 3, 7, 8, 9, 15, 16, 17, 33, panel.max(2) - 1, panel, panel + 1, 2 * panel + 3];
        row_counts.sort_unstable();
        row_counts.dedup();
        for (rows, k) in row_counts.into_iter().flat_map(|rows| K.map(|k| (rows, k))) {
            let codes = random.ternary_codes(rows * k);
            let scales = match layout.group.is_some() {
                true => Scales::PerBlock(random.signed_units(rows * scales_a_row(layout, k))),
                false => Scales::PerTensor(0.5),
            };
            let codes = Codes { rows, k, codes: &codes, table: CodeTable::TERNARY, scales };
            let weights = PackedWeights::pack(layout, codes).expect("valid");
            let x = random.int8s(k);
            for side in Side::BOTH {
                let what = format!("{} {rows}x{k} {side:?}", kernel.id());
                match kernel.descriptor().gemv {
                    Gemv::F32(gemv) => float(&what, &kernel, gemv, (&weights, &x, side)),
                    Gemv::I8(gemv) => integer(&what, &kernel, gemv, (&weights, &x, side)),
                }
            }
        }
    }
}

/// That `call` fills a guarded output with `want` and leaves nothing behind.
fn check<T: Plain + Into<f64> + Debug>(what: &str, side: Side, want: &[T], poison: T, call: impl FnOnce(&mut [T])) {
    let mut y = guard(side, &vec![poison; want.len()]);
    let left = left_by(|| call(&mut y));
    assert_eq!(left, Left::NOTHING, "{what}");
    let bits = |y: &[T]| y.iter().map(|&y| y.into().to_bits()).collect::<Vec<u64>>();
    assert_eq!(bits(&y), bits(want), "{what}");
}

type Case<'a> = (&'a PackedWeights, &'a [i8], Side);

fn integer(what: &str, kernel: &Kernel, gemv: unsafe fn(GemvI8<'_>), (weights, x, side): Case<'_>) {
    let (rows, panel_bytes) = (weights.rows(), weights.panel_bytes());
    let input = QuantizedActivations::from_values(x, 1.0);
    let mut want = vec![i32::MIN; rows];
    kernel.gemv_i8(weights, 0..rows, &input, &mut want).expect("fits");
    let (codes, padded) = (guard(side, weights.code_bytes()), guard(side, input.padded()));
    let (codes, x_padded, x_sum) = (&codes[..], &padded[..], input.sum());
    check(&format!("gemv {what}"), side, &want, i32::MIN, |y| {
        // SAFETY: `Kernel::new` found the features; lengths are those of the packing.
        unsafe { gemv(GemvI8 { codes, panel_bytes, x: x_padded, x_sum, y }) }
    });
    let Some(gemm) = kernel.descriptor().gemm else { return };
    // Batch sizes take turns, the tails of every tile among them.
    for tokens in [1, 2 + (rows + x.len()) % 7, 8 + (rows * 3 + x.len()) % 23] {
        let rotated = |t: usize| [&x[t % x.len()..], &x[..t % x.len()]].concat();
        let token = |t| QuantizedActivations::from_values(&rotated(t), 1.0);
        let batch: Vec<QuantizedActivations> = placed(side, || (0..tokens).map(token).collect());
        let mut want = vec![i32::MIN; rows * tokens];
        for (input, want) in batch.iter().zip(want.chunks_mut(rows)) {
            kernel.gemv_i8(weights, 0..rows, input, want).expect("fits");
        }
        check(&format!("gemm {what} {tokens} tokens"), side, &want, i32::MIN, |y| {
            let y = &mut Columns::all(y, tokens, rows);
            // SAFETY: as above.
            unsafe { gemm(GemmI8 { codes, panel_bytes, x: &batch, y }) }
        });
    }
}

fn float(what: &str, kernel: &Kernel, gemv: unsafe fn(GemvF32<'_>), (weights, x, side): Case<'_>) {
    let (rows, k, row_bytes) = (weights.rows(), weights.k(), weights.panel_bytes());
    let mut input = FloatActivations::new(k);
    input.set(&x.iter().map(|&x| f32::from(x) / 3.0).collect::<Vec<_>>()).expect("fits");
    assert_eq!(input.padded().len(), padded_k(k));
    let mut want = vec![f32::NAN; rows];
    kernel.gemv_f32(weights, 0..rows, &input, &mut want).expect("fits");
    let (codes, scales) = (guard(side, weights.code_bytes()), guard(side, weights.scales(&(0..rows))));
    let (padded, table) = (guard(side, input.padded()), weights.table().0);
    let (codes, scales, x) = (&codes[..], &scales[..], &padded[..]);
    check(&format!("gemv {what}"), side, &want, f32::NAN, |y| {
        // SAFETY: `Kernel::new` found the features; lengths are those of the packing.
        unsafe { gemv(GemvF32 { codes, row_bytes, scales, table, x, y }) }
    });
    let Some(dequantize) = kernel.descriptor().dequantize else { return };
    let mut want = vec![f32::NAN; rows * k];
    kernel.dequantize(weights, 0..rows, &mut want).expect("fits");
    check(&format!("dequantize {what}"), side, &want, f32::NAN, |weights| {
        // SAFETY: as above.
        unsafe { dequantize(Dequantize { codes, row_bytes, scales, table, k, weights }) }
    });
}

/// Packing and unpacking stay within the bytes that the layout says.
#[test]
fn packing_stays_within_its_bytes() {
    let mut random = SplitMix64::new(3);
    for side in Side::BOTH {
        for (rows, k) in [(1, 128), (2, 256), (15, 384), (17, 640), (33, 1280), (129, 128)] {
            let codes = guard(side, &random.ternary_codes(rows * k));
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
