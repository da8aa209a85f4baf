//! Every registered kernel, head and sparse product on guarded operands.

use super::state::{Left, left_by};
use super::{Side, guard, placed, sides_and_features};
use crate::conformance::products::paths;
use crate::conformance::{Case, CaseScales, Pattern, products, run_case, verify};
use crate::parallel::{Columns, Team};
use crate::random::SplitMix64;
use crate::sparse::{ColumnWeights, LiveColumns, LiveRows, RowsProduct, SparseOps};
use crate::testing::{f16, feature_sets};
use crate::{
    AlignedBuffer, CodeTable, Codes, CpuFeatures, Family, FloatActivations, Gemm, HalfRows, HeadFormat, HeadInput,
    I2sTensor, Kernel, KernelError, OutputHead, PackedWeights, Prefetch, QuantizedActivations, layouts, registry,
    stream,
};
use std::sync::Arc;

/// Around every block length, and widths of real models.
const K: [usize; 21] = [1, 2, 3, 5, 8, 19, 20, 21, 31, 33, 64, 127, 128, 129, 255, 256, 257, 384, 511, 640, 2560];

fn kernels() -> impl Iterator<Item = (Side, Kernel)> {
    let kernels = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
    kernels.flat_map(|kernel| Side::BOTH.map(|side| (side, kernel)))
}

/// Below, at and above a panel and a tile.
fn row_counts(panel: usize) -> Vec<usize> {
    let mut rows = vec![1, 2, 3, 7, 8, 9, 15, 16, 17, 33, panel.max(2) - 1, panel, panel + 1, 2 * panel + 3];
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// The suite that decides whether a kernel may be timed, and more shapes: results are the oracle's.
#[test]
fn the_conformance_suite_passes_on_guarded_operands() {
    for (side, kernel) in kernels() {
        println!("{} {side:?}", kernel.id());
        let outcome = placed(side, || verify(&kernel));
        assert_eq!(outcome.mismatches, 0, "{} {side:?}: {:?}", kernel.id(), outcome.first_mismatch);
        assert!(outcome.cases > 100);
        let layout = kernel.descriptor().layout;
        for (rows, k) in row_counts(layout.rows).into_iter().flat_map(|rows| K.map(|k| (rows, k))) {
            // Batch sizes take turns by the seed, the tails of every tile among them.
            let (seed, groups) = ((rows * 3 + k) as u64, layout.group_sizes().collect::<Vec<_>>());
            let group = groups.get((rows + k) % groups.len().max(1));
            let scales = group.map_or(CaseScales::Tensor, |&group| CaseScales::Groups(group));
            let rules = kernel.descriptor().rules;
            let rule = rules[(rows + 2 * k) % rules.len()];
            let case = Case { rows, k, pattern: Pattern::Random, table: CodeTable::TERNARY, scales, rule, seed };
            let result = placed(side, || run_case(&kernel, &case));
            assert!(result.is_ok(), "{} {side:?} {case:?}: {:?}", kernel.id(), result.err().map(|wrong| wrong.what));
        }
    }
}

/// Lists of every share, the last row and column among them: those end where the codes do.
#[test]
fn heads_and_sparse_products_are_exact_on_guarded_operands() {
    for path in paths().into_iter().filter(|path| path.check(CpuFeatures::detect()).is_ok()) {
        let shares = if path.id.starts_with("head") { &[1.0][..] } else { &[0.0, 0.1, 0.5, 1.0] };
        // Only columns have lines of 256 rows.
        let most = if path.id.ends_with("columns") { 513 } else { 50 };
        let rows = [1, 2, 3, 15, 16, 17, 33, 50, 63, 64, 65, 256, 300, 513].into_iter().filter(|&rows| rows <= most);
        let shapes = rows.flat_map(|rows| K.map(|k| (rows, k))).filter(|(rows, k)| rows * k <= 50_000);
        for ((rows, k), side) in shapes.flat_map(|shape| Side::BOTH.map(|side| (shape, side))) {
            for &share in shares {
                let case = products::Case { rows, k, pattern: Pattern::Random, share, seed: k as u64, threads: 1 };
                let result = placed(side, || path.run(&case));
                assert!(result.is_ok(), "{} {side:?} {case:?}: {:?}", path.id, result.err().map(|wrong| wrong.what));
            }
        }
    }
}

fn leaves_nothing(what: &str, call: impl FnOnce() -> Result<(), KernelError>) {
    let mut result = Ok(());
    assert_eq!(left_by(|| result = call()), Left::NOTHING, "{what}");
    assert_eq!(result, Ok(()), "{what}");
}

/// Clean registers after every operation.
#[test]
fn products_leave_no_state() {
    let mut random = SplitMix64::new(1);
    for (_, kernel) in kernels() {
        let (layout, rows_of) = (kernel.descriptor().layout, |rows| [1, 33, 129, 640].map(|k| (rows, k)));
        for (rows, k) in row_counts(layout.rows).into_iter().flat_map(rows_of) {
            let what = |operation| format!("{operation}, {} {rows}x{k}", kernel.id());
            let codes = random.ternary_codes(rows * k);
            let weights = PackedWeights::pack(layout, Codes::ternary(rows, k, &codes, 0.5)).expect("valid");
            let batch = vec![QuantizedActivations::from_values(&random.int8s(k), 1.0); 2 + (rows + k) % 23];
            let (mut floats, mut sums) = (vec![0.0; rows * k], vec![0; rows * batch.len()]);
            let (y, y_i32, x) = (&mut floats[..rows], &mut sums[..rows], FloatActivations::new(k));
            leaves_nothing(&what("gemv"), || match kernel.descriptor().family() {
                Family::W2A32 => kernel.gemv_f32(&weights, 0..rows, &x, y),
                Family::W2A8 => kernel.gemv_i8(&weights, 0..rows, &batch[0], y_i32),
                Family::W2gA8 => kernel.gemv_groups(&weights, 0..rows, &batch[0], y),
            });
            if kernel.descriptor().dequantize.is_some() {
                leaves_nothing(&what("dequantize"), || kernel.dequantize(&weights, 0..rows, &mut floats));
            }
            match kernel.descriptor().gemm {
                Some(Gemm::I8(_)) => {
                    let mut y = Columns::all(&mut sums, batch.len(), rows);
                    leaves_nothing(&what("gemm"), || kernel.gemm_i8(&weights, 0..rows, &batch, &mut y));
                }
                Some(Gemm::Groups(_)) => {
                    let mut floats = vec![0.0; rows * batch.len()];
                    let mut y = Columns::all(&mut floats, batch.len(), rows);
                    leaves_nothing(&what("gemm"), || kernel.gemm_groups(&weights, 0..rows, &batch, &mut y));
                }
                Some(Gemm::Device) | None => {}
            }
        }
    }
}

/// As [`products_leave_no_state`], of what is no kernel.
#[test]
fn heads_and_sparse_products_leave_no_state() {
    let (mut random, mut team) = (SplitMix64::new(5), Team::single());
    for (rows, k) in [1, 3, 16, 50, 300].into_iter().flat_map(|rows| [1, 7, 33, 129, 640].map(|k| (rows, k))) {
        let halves: Vec<u16> = random.signed_units(rows * k).into_iter().map(f16).collect();
        let (halves, floats): (HalfRows, _) = (Arc::new(AlignedBuffer::from(&halves[..])), random.signed_units(k));
        let codes = random.ternary_codes(rows * k);
        let weights = &PackedWeights::pack(&layouts::I2S, Codes::ternary(rows, k, &codes, 0.5)).expect("valid");
        let columns = ColumnWeights::from_packed(weights, &mut team).expect("valid");
        let x = &QuantizedActivations::from_values(&random.int8s(k), 1.0);
        for features in feature_sets() {
            for (format, prefetch) in HeadFormat::ALL.into_iter().flat_map(|f| Prefetch::ALL.map(|p| (f, p))) {
                let head = OutputHead::new(format, &halves, k, features, &mut team).expect("finite");
                let head = head.tuned(head.implementation(), prefetch).expect("runs here");
                let (mut input, mut y) = (HeadInput::new(k), vec![0.0; rows]);
                let what = format!("{} {rows}x{k}", head.id());
                leaves_nothing(&what, || head.gemv(&mut team, &floats, &mut input, &mut y));
            }
            let ops = SparseOps::select(features);
            let what = |operation| format!("{operation}, {} {rows}x{k}", ops.id());
            let (mut live_rows, mut live, gate) = (LiveRows::new(rows, k), LiveColumns::new(k), vec![1.0; rows]);
            let (y, mut sums) = (&mut vec![0; rows], vec![0; columns.padded_rows()]);
            leaves_nothing(&what("list of rows"), || live_rows.set_positive(ops, &gate));
            leaves_nothing(&what("rows"), || ops.rows(&mut team, &mut live_rows, RowsProduct { weights, x, y }));
            leaves_nothing(&what("list of columns"), || live.set(ops, x));
            leaves_nothing(&what("columns"), || ops.columns(&mut team, &columns, &live, &mut sums));
        }
    }
}

#[test]
fn the_streaming_read_ends_with_the_bytes() {
    for len in (0..20).chain([63, 64, 65, 255, 256, 257, 511, 512, 4095, 4096, 4097, 70_000]) {
        for (side, features) in sides_and_features() {
            let bytes = guard(side, &vec![1u8; len]);
            let mut sum = 0;
            let left = left_by(|| sum = stream::read(&mut Team::single(), features, Prefetch::TwoLevels, &bytes));
            assert_eq!(left, Left::NOTHING, "{len} {features}");
            assert_eq!(sum, ((len / 256 * 32) as u64).wrapping_mul(0x0101_0101_0101_0101));
        }
    }
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
                assert_eq!(want.row_codes(rows - 1), codes[(rows - 1) * k..]);
            }
        }
    }
}
