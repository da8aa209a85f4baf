//! TQ1_0, TQ2_0 and Q2_0 of ggml behind `tritbench.h`: its `vec_dot` of each, over weights packed here from codes.
//!
//! ggml has no product for batches of these formats. Its engine goes through a batch in tiles of 16 rows and 16 tokens,
//! one `vec_dot` an element, and so does [`gemm`].

mod abi;
mod formats;

use formats::{Activations, Weights};
use llama_cpp_sys_2 as ggml;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::OnceLock;
use std::{ptr, slice};

/// Rows, and tokens, of a tile: ggml_compute_forward_mul_mat_one_chunk has the same.
const TILE: u64 = 16;

fn packed_row<W: Weights>(k: u64) -> usize {
    k as usize / W::WEIGHTS * W::BYTES
}

unsafe extern "C" fn packed_bytes<W: Weights>(_: *mut c_void, shape: *const abi::Shape, bytes: *mut u64) -> i32 {
    // SAFETY: the caller's pointers are valid during the call; so it is everywhere below.
    unsafe { *bytes = (*shape).rows * packed_row::<W>((*shape).k) as u64 };
    abi::OK
}

unsafe extern "C" fn pack<W: Weights>(
    _: *mut c_void,
    shape: *const abi::Shape,
    weights: *const abi::Weights,
    packed: *mut c_void,
) -> i32 {
    // SAFETY: the lengths are those that the header states, and `packed_bytes` said.
    let (codes, scales, blocks) = unsafe {
        let (rows, k) = ((*shape).rows as usize, (*shape).k as usize);
        if !k.is_multiple_of(W::WEIGHTS) {
            return abi::SHAPE;
        }
        let count = rows * k / W::WEIGHTS;
        let codes = slice::from_raw_parts((*weights).codes, rows * k);
        let scales = slice::from_raw_parts((*weights).scales, count);
        (codes, scales, slice::from_raw_parts_mut(packed.cast::<u8>(), count * W::BYTES))
    };
    for ((block, codes), &scale) in blocks.chunks_exact_mut(W::BYTES).zip(codes.chunks_exact(W::WEIGHTS)).zip(scales) {
        if codes.iter().any(|&code| code > W::MAX_CODE) {
            return abi::CODE;
        }
        // Rounded, it would be another matrix.
        let Some(d) = formats::half(scale) else { return abi::SCALES };
        W::pack(codes, d, block);
    }
    abi::OK
}

unsafe extern "C" fn prepared_bytes<W: Weights>(_: *mut c_void, k: u64, bytes: *mut u64) -> i32 {
    // SAFETY: as above.
    unsafe { *bytes = (k as usize / W::Activations::VALUES * W::Activations::BYTES) as u64 };
    abi::OK
}

unsafe extern "C" fn prepare<W: Weights>(
    _: *mut c_void,
    k: u64,
    x: *const abi::Activations,
    prepared: *mut c_void,
) -> i32 {
    let (values, count) = (W::Activations::VALUES, k as usize / W::Activations::VALUES);
    // SAFETY: the lengths are those that the header states, and `prepared_bytes` said.
    let (i8, scales, blocks) = unsafe {
        let i8 = slice::from_raw_parts((*x).i8, k as usize);
        let scales = slice::from_raw_parts((*x).scales, count);
        (i8, scales, slice::from_raw_parts_mut(prepared.cast::<u8>(), count * W::Activations::BYTES))
    };
    for ((block, values), &scale) in
        blocks.chunks_exact_mut(W::Activations::BYTES).zip(i8.chunks_exact(values)).zip(scales)
    {
        if !W::Activations::write(values, scale, block) {
            return abi::SCALES;
        }
    }
    abi::OK
}

unsafe extern "C" fn gemv<W: Weights>(
    plan: *mut c_void,
    shape: *const abi::Shape,
    packed: *const c_void,
    prepared: *const c_void,
    row_begin: u64,
    row_end: u64,
    y: *mut c_void,
) -> i32 {
    // SAFETY: one token; no stride is used.
    unsafe { gemm::<W>(plan, shape, packed, prepared, 0, 1, row_begin, row_end, y, 0) }
}

unsafe extern "C" fn gemm<W: Weights>(
    _: *mut c_void,
    shape: *const abi::Shape,
    packed: *const c_void,
    prepared: *const c_void,
    prepared_stride: u64,
    tokens: u64,
    row_begin: u64,
    row_end: u64,
    y: *mut c_void,
    y_stride: u64,
) -> i32 {
    // SAFETY: ggml's table of functions, which never changes.
    let Some(vec_dot) = (unsafe { (*ggml::ggml_get_type_traits_cpu(W::TYPE)).vec_dot }) else { return abi::SHAPE };
    // SAFETY: as above.
    let k = unsafe { (*shape).k };
    let Ok(n) = i32::try_from(k) else { return abi::SHAPE };
    let row_bytes = packed_row::<W>(k);
    for first_token in (0..tokens).step_by(TILE as usize) {
        for first_row in (row_begin..row_end).step_by(TILE as usize) {
            for token in first_token..tokens.min(first_token + TILE) {
                for row in first_row..row_end.min(first_row + TILE) {
                    // SAFETY: row, token and result lie within what the caller gave, by the header.
                    unsafe {
                        let weights = packed.byte_add(row as usize * row_bytes);
                        let x = prepared.byte_add((token * prepared_stride) as usize);
                        let y = y.cast::<f32>().add((token * y_stride + row - row_begin) as usize);
                        vec_dot(n, y, 0, weights, 0, x, 0, 1);
                    }
                }
            }
        }
    }
    abi::OK
}

/// What ggml was compiled for, by its own word: it reads what its compiler defined, not the CPU.
fn required_features() -> String {
    // SAFETY: functions without arguments that return a constant.
    let compiled = unsafe {
        [
            (ggml::ggml_cpu_has_avx2(), "avx2"),
            (ggml::ggml_cpu_has_avx_vnni(), "avxvnni"),
            (ggml::ggml_cpu_has_avx512(), "avx512f,avx512bw,avx512dq,avx512vl"),
            (ggml::ggml_cpu_has_avx512_vnni(), "avx512vnni"),
            (ggml::ggml_cpu_has_avx512_vbmi(), "avx512vbmi"),
        ]
    };
    let names: Vec<&str> = compiled.iter().filter(|(has, _)| *has != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}

/// A text that stays until the process ends.
fn text(text: impl Into<String>) -> *const c_char {
    // Nothing here has a zero byte in it; an empty text would be refused by name.
    CString::new(text.into()).unwrap_or_default().into_raw()
}

fn kernel<W: Weights>() -> &'static abi::Kernel {
    // SAFETY: returns a text that never changes.
    let version = unsafe { CStr::from_ptr(ggml::ggml_version()) }.to_string_lossy();
    let requires = required_features();
    let isa = if requires.contains("avx2") { "avx2" } else { "base" };
    Box::leak(Box::new(abi::Kernel {
        struct_size: size_of::<abi::Kernel>() as u32,
        flags: abi::THREAD_SAFE,
        id: text(W::ID),
        isa: text(isa),
        requires_cpu: text(requires),
        builds_on: ptr::null(),
        summary: text(W::SUMMARY),
        origin: text(format!("ggml {version} in llama-cpp-sys-2 {}, MIT", env!("LLAMA_CPP_SYS_VERSION"))),
        compiler: text(env!("GGML_COMPILER")),
        layout: ptr::null(),
        family: abi::W2A8,
        output: abi::F32,
        weight_group: W::WEIGHTS as u32,
        act_group: W::Activations::VALUES as u32,
        max_code: W::MAX_CODE.into(),
        rows_multiple: 1,
        k_multiple: W::WEIGHTS as u32,
        packed_align: 64,
        prepared_stride: abi::STRIDE_ANY,
        y_stride: abi::STRIDE_ANY,
        // Sums of codes up to 2, 2 * 128 * k at most, stay integers of f32.
        max_k: 65_536,
        max_tokens: 0,
        open: None,
        close: None,
        packed_bytes: Some(packed_bytes::<W>),
        pack: Some(pack::<W>),
        prepared_bytes: Some(prepared_bytes::<W>),
        prepare: Some(prepare::<W>),
        gemv: Some(gemv::<W>),
        gemm: Some(gemm::<W>),
    }))
}

struct List([&'static abi::Kernel; 3]);

// SAFETY: only read once made, and all that it points to stays.
unsafe impl Send for List {}
// SAFETY: likewise.
unsafe impl Sync for List {}

/// The one exported symbol.
///
/// # Safety
/// As `tritbench.h` says of it: `count` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_kernels(host_abi: u32, count: *mut u32) -> *const &'static abi::Kernel {
    static KERNELS: OnceLock<List> = OnceLock::new();
    if host_abi != abi::ABI {
        return ptr::null();
    }
    let kernels = KERNELS.get_or_init(|| {
        // SAFETY: makes ggml's tables of f16; no thread of ours runs yet.
        unsafe { ggml::ggml_cpu_init() };
        List([kernel::<formats::Tq2>(), kernel::<formats::Tq1>(), kernel::<formats::Q2>()])
    });
    // SAFETY: by the contract.
    unsafe { *count = kernels.0.len() as u32 };
    kernels.0.as_ptr()
}
