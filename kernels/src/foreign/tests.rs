//! Foreign kernels written in Rust: right ones of every kind that the header allows, and wrong ones.
#![allow(clippy::undocumented_unsafe_blocks, reason = "functions of a library: the header is their callers' contract")]

use super::abi::*;
use super::{BadField, ForeignKernel, Prepared, Work};
use crate::activation::QuantizedActivations;
use crate::conformance::{self, Outcome};
use crate::cpu::CpuFeatures;
use crate::guarded::{Side, placed};
use crate::kernel::Kernel;
use crate::layouts;
use crate::packed::{Codes, PackedWeights};
use std::ffi::{CStr, c_char, c_void};
use std::slice;

/// A byte a weight behind the scales of the rows; a token as its scale and its values.
unsafe extern "C" fn packed_bytes(_: *mut c_void, shape: *const Shape, bytes: *mut u64) -> i32 {
    let shape = unsafe { &*shape };
    unsafe { *bytes = shape.rows * (4 + shape.k) };
    0
}

unsafe extern "C" fn pack(_: *mut c_void, shape: *const Shape, weights: *const Weights, packed: *mut c_void) -> i32 {
    let (shape, weights) = unsafe { (&*shape, &*weights) };
    let (rows, k) = (shape.rows as usize, shape.k as usize);
    let codes = unsafe { slice::from_raw_parts(weights.codes, rows * k) };
    let scales = unsafe { slice::from_raw_parts(weights.scales, rows) };
    for (row, codes) in codes.chunks_exact(k).enumerate() {
        let to = unsafe { slice::from_raw_parts_mut(packed.cast::<u8>().add(row * (4 + k)), 4 + k) };
        to[..4].copy_from_slice(&scales[row].to_ne_bytes());
        to[4..].copy_from_slice(codes);
    }
    0
}

unsafe extern "C" fn prepared_bytes(_: *mut c_void, k: u64, bytes: *mut u64) -> i32 {
    unsafe { *bytes = 4 + k };
    0
}

unsafe extern "C" fn prepare(_: *mut c_void, k: u64, x: *const Activations, prepared: *mut c_void) -> i32 {
    let (x, k) = (unsafe { &*x }, k as usize);
    let to = unsafe { slice::from_raw_parts_mut(prepared.cast::<u8>(), 4 + k) };
    to[..4].copy_from_slice(&unsafe { *x.scales }.to_ne_bytes());
    to[4..].copy_from_slice(unsafe { slice::from_raw_parts(x.i8.cast(), k) });
    0
}

/// Sum of a row, and its scale times the token's.
unsafe fn product(shape: &Shape, packed: *const c_void, token: *const u8, row: u64) -> (i32, f32) {
    let k = shape.k as usize;
    let row = unsafe { slice::from_raw_parts(packed.cast::<u8>().add(row as usize * (4 + k)), 4 + k) };
    let token = unsafe { slice::from_raw_parts(token, 4 + k) };
    let scale = |bytes: &[u8]| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let terms = row[4..].iter().zip(&token[4..]).map(|(&c, &x)| (i32::from(c) - 1) * i32::from(x as i8));
    (terms.sum(), scale(row) * scale(token))
}

unsafe extern "C" fn gemv<const FLOATS: bool>(
    plan: *mut c_void,
    shape: *const Shape,
    packed: *const c_void,
    prepared: *const c_void,
    begin: u64,
    end: u64,
    y: *mut c_void,
) -> i32 {
    unsafe { gemm::<FLOATS, false>(plan, shape, packed, prepared, 0, 1, begin, end, y, 0) }
}

#[allow(clippy::too_many_arguments, reason = "the header's")]
unsafe extern "C" fn gemm<const FLOATS: bool, const IGNORES_STRIDE: bool>(
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
    let shape = unsafe { &*shape };
    let y_stride = if IGNORES_STRIDE { end - begin } else { y_stride };
    for (t, row) in (0..tokens).flat_map(|t| (begin..end).map(move |row| (t, row))) {
        let (sum, scale) =
            unsafe { product(shape, packed, prepared.cast::<u8>().add((t * prepared_stride) as usize), row) };
        let word = if FLOATS { (sum as f32 * scale).to_bits().cast_signed() } else { sum };
        unsafe { *y.cast::<i32>().add((t * y_stride + row - begin) as usize) = word };
    }
    0
}

/// A token as the address of its values: they stay until the last product.
unsafe extern "C" fn keeps_address(_: *mut c_void, _: u64, x: *const Activations, prepared: *mut c_void) -> i32 {
    unsafe { prepared.cast::<*const i8>().write_unaligned((*x).i8) };
    0
}

unsafe extern "C" fn address_bytes(_: *mut c_void, _: u64, bytes: *mut u64) -> i32 {
    unsafe { *bytes = size_of::<*const i8>() as u64 };
    0
}

unsafe extern "C" fn gemv_of_address(
    plan: *mut c_void,
    shape: *const Shape,
    packed: *const c_void,
    prepared: *const c_void,
    begin: u64,
    end: u64,
    y: *mut c_void,
) -> i32 {
    let k = unsafe { (*shape).k } as usize;
    let values = unsafe { slice::from_raw_parts(prepared.cast::<*const u8>().read_unaligned(), k) };
    let token: Vec<u8> = 1f32.to_ne_bytes().into_iter().chain(values.iter().copied()).collect();
    unsafe { gemv::<false>(plan, shape, packed, token.as_ptr().cast(), begin, end, y) }
}

/// One that copies no activations.
fn reads_in_place() -> TbKernel {
    TbKernel {
        prepared_bytes: Some(address_bytes),
        prepare: Some(keeps_address),
        gemv: Some(gemv_of_address),
        gemm: None,
        ..right()
    }
}

unsafe extern "C" fn open(_: *const Shape, plan: *mut *mut c_void) -> i32 {
    unsafe { *plan = Box::into_raw(Box::new(7u64)).cast() };
    0
}

unsafe extern "C" fn close(plan: *mut c_void) {
    drop(unsafe { Box::from_raw(plan.cast::<u64>()) });
}

fn text(text: &'static CStr) -> *const c_char {
    text.as_ptr()
}

/// A kernel that writes integers, and takes everything.
pub(super) fn right() -> TbKernel {
    TbKernel {
        struct_size: size_of::<TbKernel>() as u32,
        flags: THREAD_SAFE,
        id: text(c"guest"),
        isa: text(c"scalar"),
        requires_cpu: text(c"none"),
        builds_on: std::ptr::null(),
        summary: text(c"for tests"),
        origin: std::ptr::null(),
        compiler: std::ptr::null(),
        layout: std::ptr::null(),
        family: W2A8,
        output: I32,
        weight_group: ROW,
        act_group: TENSOR,
        max_code: 2,
        rows_multiple: 1,
        k_multiple: 1,
        packed_align: 1,
        prepared_stride: 0,
        y_stride: 0,
        max_k: 0,
        max_tokens: 0,
        open: None,
        close: None,
        packed_bytes: Some(packed_bytes),
        pack: Some(pack),
        prepared_bytes: Some(prepared_bytes),
        prepare: Some(prepare),
        gemv: Some(gemv::<false>),
        gemm: Some(gemm::<false, false>),
    }
}

fn read(raw: &TbKernel) -> Result<ForeignKernel, BadField> {
    // SAFETY: a whole structure whose texts are constants and whose functions keep to the header.
    unsafe { ForeignKernel::read(raw, 0) }
}

fn verified(raw: TbKernel) -> Outcome {
    let descriptor = read(&raw).expect("valid").describe();
    let kernel = Kernel::new(descriptor, CpuFeatures::NONE).expect("needs nothing");
    conformance::verify(&kernel)
}

#[test]
fn right_kernels_of_every_kind_pass_the_suite() {
    let floats = TbKernel { output: F32, gemv: Some(gemv::<true>), gemm: Some(gemm::<true, false>), ..right() };
    let strides = TbKernel { prepared_stride: TIGHT, y_stride: TIGHT, max_tokens: 3, ..right() };
    let kinds = [
        right(),
        TbKernel { flags: 0, open: Some(open), close: Some(close), ..right() },
        floats,
        TbKernel { gemm: Some(gemm::<false, true>), ..strides },
        TbKernel { rows_multiple: 4, k_multiple: 8, packed_align: 4096, gemm: None, ..right() },
        reads_in_place(),
    ];
    for (i, raw) in kinds.into_iter().enumerate() {
        // At its end a buffer shows more; one kind shows what lies before it.
        for side in Side::BOTH.into_iter().filter(|side| i == 0 || *side == Side::End) {
            let outcome = placed(side, || verified(raw));
            assert_eq!(outcome.first_mismatch, None, "kind {i} {side:?}");
            assert!(outcome.cases > 50, "kind {i}: {} cases", outcome.cases);
        }
    }
}

#[test]
fn a_token_that_moved_is_prepared_again() {
    let foreign: &'static ForeignKernel = Box::leak(Box::new(read(&reads_in_place()).expect("valid")));
    let (shape, codes) = (Shape { rows: 2, k: 4 }, Codes::ternary(2, 4, &[2; 8], 1.0));
    let layout = read(&reads_in_place()).expect("valid").describe().layout;
    let weights = PackedWeights::pack(layout, codes).expect("packed");
    let mut prepared = Prepared::for_shape(foreign, shape, 1).expect("room");
    let mut product = |x: &QuantizedActivations| {
        let mut y = [0; 2];
        // SAFETY: the token stays until the product below.
        unsafe { prepared.set_unless_same(slice::from_ref(x)).expect("prepared") };
        foreign.gemv_words(&Work { weights: &weights, prepared: &prepared }, 0..2, &mut y).expect("multiplied");
        y
    };
    let x = QuantizedActivations::from_values(&[1, 2, 3, 4], 1.0);
    // The same version elsewhere, and nothing where it was.
    let (moved, before) = (x.clone(), product(&x));
    drop(x);
    assert_eq!((product(&moved), before), ([10; 2], [10; 2]));
}

#[test]
fn wrong_ones_are_named_with_the_call() {
    unsafe extern "C" fn says_no(_: *mut c_void, _: u64, _: *const Activations, _: *mut c_void) -> i32 {
        5
    }
    unsafe extern "C" fn packs_behind(
        plan: *mut c_void,
        shape: *const Shape,
        weights: *const Weights,
        packed: *mut c_void,
    ) -> i32 {
        let shape = unsafe { &*shape };
        unsafe { *packed.cast::<u8>().add((shape.rows * (4 + shape.k)) as usize) = 1 };
        unsafe { pack(plan, shape, weights, packed) }
    }
    let first = |raw| verified(raw).first_mismatch.expect("wrong");
    let refused = verified(TbKernel { prepare: Some(says_no), ..right() });
    let what = refused.first_mismatch.expect("refused");
    assert!(refused.refused && what.contains("prepare") && what.contains("TB_MEMORY"), "{what}");
    let what = first(TbKernel { gemm: Some(gemm::<false, true>), ..right() });
    assert!(what.contains("gemm"), "{what}");
    // Half of what it says is an integer.
    let what = first(TbKernel { output: F32, ..right() });
    assert!(what.contains("where every scale is 1") || what.contains("gemv"), "{what}");
    // With room for it, so that this process lives.
    let what = first(TbKernel { packed_align: 4096, pack: Some(packs_behind), ..right() });
    assert!(what.contains("pack") && what.contains("writes behind"), "{what}");
}

#[test]
fn every_field_is_checked_before_anything_is_called() {
    let named = |raw: TbKernel| read(&raw).expect_err("bad").to_string();
    let short = named(TbKernel { struct_size: 64, ..right() });
    assert!(short.starts_with("kernel number 0: struct_size is 64"), "{short}");
    let bad: [(TbKernel, &str); 16] = [
        (TbKernel { id: std::ptr::null(), ..right() }, "kernel number 0: id is NULL"),
        (TbKernel { id: text(c" "), ..right() }, "kernel number 0: id is empty"),
        (TbKernel { id: text(c"a\tb"), ..right() }, "kernel number 0: id has the control character '\\t'"),
        (TbKernel { requires_cpu: text(c"avx9"), ..right() }, "kernel guest: requires_cpu has an unknown CPU feature"),
        (TbKernel { family: 3, ..right() }, "kernel guest: family is 3; it must be one of 1, 2"),
        (TbKernel { family: W2A32, ..right() }, "kernel guest: output is TB_I32"),
        (TbKernel { weight_group: 7, ..right() }, "kernel guest: weight_group is 7; it must be one of 0, TB_ROW, 64"),
        (TbKernel { max_code: 1, ..right() }, "kernel guest: max_code is 1"),
        (TbKernel { rows_multiple: 0, ..right() }, "kernel guest: rows_multiple is 0"),
        (TbKernel { k_multiple: 1 << 17, ..right() }, "kernel guest: k_multiple is 131072"),
        (TbKernel { packed_align: 3, ..right() }, "kernel guest: packed_align is 3"),
        (TbKernel { y_stride: 2, ..right() }, "kernel guest: y_stride is 2"),
        (TbKernel { gemv: None, ..right() }, "kernel guest: gemv is NULL"),
        (TbKernel { open: Some(open), ..right() }, "kernel guest: close is NULL"),
        (TbKernel { pack: None, ..right() }, "kernel guest: pack is NULL"),
        (TbKernel { layout: text(c"tile9"), ..right() }, "kernel guest: layout is \"tile9\"; ours are"),
    ];
    for (raw, wanted) in bad {
        let message = named(raw);
        assert!(message.starts_with(wanted), "{message} for {wanted}");
    }
    let ours = TbKernel { layout: text(c"i2s-128x32"), pack: None, packed_bytes: None, ..right() };
    assert_eq!(read(&ours).expect("valid").ours, Some(layouts::I2S.name));
}
