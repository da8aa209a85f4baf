//! Foreign kernels that apply scales of groups, by every size of groups and rule of activations; and wrong ones.
#![allow(clippy::undocumented_unsafe_blocks, reason = "functions of a library: the header is their callers' contract")]

use super::ForeignKernel;
use super::abi::*;
use super::tests::right;
use crate::activation::{ActivationRule, QuantizedActivations};
use crate::conformance::{self, F32_BOUND, Mismatch, compare};
use crate::cpu::CpuFeatures;
use crate::descriptor::KernelDescriptor;
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::operation::Family;
use crate::packed::{CodeTable, Codes, PackedWeights, Scales};
use crate::parallel::Columns;
use crate::random::SplitMix64;
use crate::reference;
use std::ffi::c_void;
use std::slice;

/// What a kernel does wrong.
const NOTHING: u8 = 0;
const SWAPS_GROUPS: u8 = 1;
const WRONG_SCALE: u8 = 2;
const FIRST_BLOCK_ALONE: u8 = 3;

/// Sizes that the functions are compiled for: W weights of a group; A activations of a block, 0 for a token.
struct Of<const W: usize, const A: usize, const FAULT: u8>;

impl<const W: usize, const A: usize, const FAULT: u8> Of<W, A, FAULT> {
    fn blocks(k: usize) -> usize {
        if A == 0 { 1 } else { k.div_ceil(A) }
    }

    /// Of a row: its scales, then a byte a weight.
    fn row_bytes(k: usize) -> usize {
        4 * k.div_ceil(W) + k
    }

    unsafe extern "C" fn packed_bytes(_: *mut c_void, shape: *const Shape, bytes: *mut u64) -> i32 {
        let shape = unsafe { &*shape };
        unsafe { *bytes = shape.rows * Self::row_bytes(shape.k as usize) as u64 };
        0
    }

    unsafe extern "C" fn pack(_: *mut c_void, shape: *const Shape, from: *const Weights, packed: *mut c_void) -> i32 {
        let (shape, from) = unsafe { (&*shape, &*from) };
        let (rows, k) = (shape.rows as usize, shape.k as usize);
        let groups = k.div_ceil(W);
        let packed = unsafe { slice::from_raw_parts_mut(packed.cast::<u8>(), rows * Self::row_bytes(k)) };
        let scales = unsafe { slice::from_raw_parts(from.scales, rows * groups) };
        let codes = unsafe { slice::from_raw_parts(from.codes, rows * k) };
        let rows = scales.chunks_exact(groups).zip(codes.chunks_exact(k));
        for (to, (scales, codes)) in packed.chunks_exact_mut(Self::row_bytes(k)).zip(rows) {
            for (to, scale) in to.chunks_exact_mut(4).zip(scales) {
                to.copy_from_slice(&scale.to_ne_bytes());
            }
            to[4 * groups..].copy_from_slice(codes);
        }
        0
    }

    unsafe extern "C" fn prepared_bytes(_: *mut c_void, k: u64, bytes: *mut u64) -> i32 {
        unsafe { *bytes = (4 * Self::blocks(k as usize)) as u64 + k };
        0
    }

    unsafe extern "C" fn prepare(_: *mut c_void, k: u64, x: *const Activations, prepared: *mut c_void) -> i32 {
        let (x, k) = (unsafe { &*x }, k as usize);
        let scales = 4 * Self::blocks(k);
        let to = unsafe { slice::from_raw_parts_mut(prepared.cast::<u8>(), scales + k) };
        to[..scales].copy_from_slice(unsafe { slice::from_raw_parts(x.scales.cast(), scales) });
        to[scales..].copy_from_slice(unsafe { slice::from_raw_parts(x.i8.cast(), k) });
        0
    }

    unsafe extern "C" fn gemv(
        plan: *mut c_void,
        shape: *const Shape,
        packed: *const c_void,
        prepared: *const c_void,
        begin: u64,
        end: u64,
        y: *mut c_void,
    ) -> i32 {
        unsafe { Self::gemm(plan, shape, packed, prepared, 0, 1, begin, end, y, 0) }
    }

    #[allow(clippy::too_many_arguments, reason = "the header's")]
    unsafe extern "C" fn gemm(
        _: *mut c_void,
        shape: *const Shape,
        packed: *const c_void,
        prepared: *const c_void,
        prepared_stride: u64,
        tokens: u64,
        begin: u64,
        end: u64,
        y: *mut c_void,
        y_stride: u64,
    ) -> i32 {
        let k = unsafe { (*shape).k } as usize;
        let float = |bytes: &[u8], at: usize| bytes.as_chunks().0.get(at).map_or(f32::NAN, |f| f32::from_ne_bytes(*f));
        for (t, row) in (0..tokens).flat_map(|t| (begin..end).map(move |row| (t, row))) {
            let weights = packed.cast::<u8>().wrapping_add(row as usize * Self::row_bytes(k));
            let weights = unsafe { slice::from_raw_parts(weights, Self::row_bytes(k)) };
            let token = prepared.cast::<u8>().wrapping_add((t * prepared_stride) as usize);
            let token = unsafe { slice::from_raw_parts(token, 4 * Self::blocks(k) + k) };
            let (codes, values) = (&weights[4 * k.div_ceil(W)..], &token[4 * Self::blocks(k)..]);
            // From the last to the first, term by term: an order of roundings of its own.
            let term = |j: usize| {
                let group = if FAULT == SWAPS_GROUPS { ((j / W) ^ 1).min((k - 1) / W) } else { j / W };
                let block = if A == 0 || FAULT == FIRST_BLOCK_ALONE { 0 } else { j / A };
                let wrong = if FAULT == WRONG_SCALE && j / W == 1 { 1.01 } else { 1.0 };
                let product = (i32::from(codes[j]) - 1) * i32::from(values[j].cast_signed());
                product as f32 * float(weights, group) * float(token, block) * wrong
            };
            let sum: f32 = (0..k).rev().map(term).sum();
            unsafe { *y.cast::<f32>().add((t * y_stride + row - begin) as usize) = sum };
        }
        0
    }

    fn raw() -> TbKernel {
        TbKernel {
            output: F32,
            weight_group: W as u32,
            act_group: A as u32,
            packed_bytes: Some(Self::packed_bytes),
            pack: Some(Self::pack),
            prepared_bytes: Some(Self::prepared_bytes),
            prepare: Some(Self::prepare),
            gemv: Some(Self::gemv),
            gemm: Some(Self::gemm),
            ..right()
        }
    }
}

/// The kernel with scales of groups, on a matrix with three groups of each size, the last of which is short.
fn products(raw: &TbKernel, group: usize, rule: ActivationRule) -> Result<(), Mismatch> {
    let descriptor = described(raw).with_groups.expect("it applies scales of groups");
    assert_eq!((descriptor.family(), descriptor.exact(), descriptor.rules), (Family::W2gA8, false, &[rule][..]));
    let kernel = Kernel::new(descriptor, CpuFeatures::NONE).expect("needs nothing");
    let ([rows, k], table, mut random) = ([5, 2 * group + 40], CodeTable::TERNARY, SplitMix64::new(group as u64));
    let codes = random.ternary_codes(rows * k);
    let mut scale = || 0.5 + random.signed_unit() / 4.0;
    let values = (0..rows * k.div_ceil(group)).map(|_| scale()).collect();
    let scales = Scales::PerGroup { group, values };
    let weights = PackedWeights::pack(descriptor.layout, Codes { rows, k, codes: &codes, table, scales });
    let weights = weights.expect("packed");
    let scales: Vec<f32> = (0..k).map(|_| scale()).collect();
    let token = |t: usize| {
        let values = SplitMix64::new(t as u64).int8s(k);
        match rule.block() {
            None => QuantizedActivations::from_values(&values, 1.0 / scales[t]),
            Some(block) => QuantizedActivations::from_blocks(&values, rule, &scales[t..][..k.div_ceil(block)]),
        }
    };
    let x: Vec<QuantizedActivations> = (0..3).map(token).collect();
    let want = |t: usize, row: usize| reference::codes_scaled_f64(&weights, row, &codes[row * k..][..k], &x[t]).into();
    let mut batch = vec![f32::NAN; 3 * rows];
    kernel.gemm_groups(&weights, 0..rows, &x, &mut Columns::all(&mut batch, 3, rows)).expect("multiplied");
    compare(&batch, F32_BOUND, |i| want(i / rows, i % rows))?;
    for (t, x) in x.iter().enumerate() {
        let mut y = vec![f32::NAN; rows - 1];
        kernel.gemv_groups(&weights, 1..rows, x, &mut y).expect("multiplied");
        compare(&y, F32_BOUND, |row| want(t, row + 1))?;
    }
    Ok(())
}

#[test]
fn scales_of_groups_and_of_activations_reach_the_library() {
    use ActivationRule::{Per32, Per128, Per256, Token};
    let right = [
        (Of::<64, 32, NOTHING>::raw(), 64, Per32),
        (Of::<64, 0, NOTHING>::raw(), 64, Token),
        (Of::<64, 256, NOTHING>::raw(), 64, Per256),
        (Of::<128, 0, NOTHING>::raw(), 128, Token),
        (Of::<128, 128, NOTHING>::raw(), 128, Per128),
        (Of::<256, 256, NOTHING>::raw(), 256, Per256),
    ];
    for (raw, group, rule) in right {
        let found = products(&raw, group, rule);
        assert!(found.is_ok(), "{group} {rule}: {found:?}");
    }
}

#[test]
fn wrong_scales_are_caught_by_the_suite_and_in_cells_of_groups() {
    let wrong = [
        (Of::<64, 32, SWAPS_GROUPS>::raw(), "with random scales"),
        (Of::<64, 32, WRONG_SCALE>::raw(), "where every scale is 1"),
        (Of::<64, 32, FIRST_BLOCK_ALONE>::raw(), "with random scales"),
    ];
    for (i, (raw, in_suite)) in wrong.into_iter().enumerate() {
        assert!(products(&raw, 64, ActivationRule::Per32).is_err(), "fault {i}");
        let kernel = Kernel::new(described(&raw), CpuFeatures::NONE).expect("needs nothing");
        let what = conformance::verify(&kernel).first_mismatch.expect("wrong");
        assert!(what.contains(in_suite), "fault {i}: {what}");
    }
}

fn described(raw: &TbKernel) -> &'static KernelDescriptor {
    // SAFETY: a whole structure whose texts are constants and whose functions keep to the header.
    unsafe { ForeignKernel::read(raw, 0) }.expect("valid").describe()
}

/// Integers have no scales, blocks of 64 are no rule of ours, and whole rows no groups.
#[test]
fn others_have_no_form_with_groups() {
    let grouped = Of::<64, 32, NOTHING>::raw();
    for raw in [
        right(),
        TbKernel { output: I32, ..grouped },
        TbKernel { act_group: 64, ..grouped },
        TbKernel { weight_group: TENSOR, ..grouped },
        TbKernel { weight_group: ROW, ..grouped },
        TbKernel { family: W2A32, gemm: None, ..grouped },
    ] {
        assert!(described(&raw).with_groups.is_none());
    }
}

#[test]
fn activations_by_another_rule_are_refused() {
    let descriptor = described(&Of::<64, 32, NOTHING>::raw()).with_groups.expect("groups");
    let kernel = Kernel::new(descriptor, CpuFeatures::NONE).expect("needs nothing");
    let scales = Scales::PerGroup { group: 64, values: vec![0.5, 0.25] };
    let codes = Codes { rows: 1, k: 128, codes: &[2; 128], table: CodeTable::TERNARY, scales };
    let weights = PackedWeights::pack(descriptor.layout, codes).expect("packed");
    let x = QuantizedActivations::from_values(&[1; 128], 1.0);
    let refused = kernel.gemv_groups(&weights, 0..1, &x, &mut [0.0]).expect_err("one scale a token");
    assert_eq!(refused, KernelError::Activations { kernel: "guest", rule: ActivationRule::Token });
}
