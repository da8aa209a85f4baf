//! The structures of `kernels/include/tritbench.h`, as they lie in memory. The header says what each field means; a
//! library in Rust fills them in as one in C does (`kernels/examples/seam`).
#![allow(missing_docs, reason = "the header says what each is")]

use std::ffi::{c_char, c_void};

/// Version of the interface that this host speaks.
pub const ABI: u32 = 1;
/// The one symbol of a library.
pub const SYMBOL: &str = "tb_kernels";

/// `tb_kernels`: an array of pointers to `*count` kernels.
pub type Entry = unsafe extern "C" fn(host_abi: u32, count: *mut u32) -> *const *const TbKernel;

pub const W2A8: u32 = 1;
pub const W2A32: u32 = 2;
pub const I32: u32 = 1;
pub const F32: u32 = 2;
pub const TENSOR: u32 = 0;
pub const ROW: u32 = u32::MAX;
pub const TIGHT: u32 = 1;
pub const THREAD_SAFE: u32 = 1;

/// `tb_shape`
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub rows: u64,
    pub k: u64,
}

/// `tb_weights`
#[repr(C)]
pub struct Weights {
    pub codes: *const u8,
    pub scales: *const f32,
}

/// `tb_activations`
#[repr(C)]
pub struct Activations {
    pub i8: *const i8,
    pub scales: *const f32,
    pub f32: *const f32,
    pub sum: i32,
}

type Open = unsafe extern "C" fn(*const Shape, *mut *mut c_void) -> i32;
type Close = unsafe extern "C" fn(*mut c_void);
type PackedBytes = unsafe extern "C" fn(*mut c_void, *const Shape, *mut u64) -> i32;
type Pack = unsafe extern "C" fn(*mut c_void, *const Shape, *const Weights, *mut c_void) -> i32;
type PreparedBytes = unsafe extern "C" fn(*mut c_void, u64, *mut u64) -> i32;
type Prepare = unsafe extern "C" fn(*mut c_void, u64, *const Activations, *mut c_void) -> i32;
type Gemv = unsafe extern "C" fn(*mut c_void, *const Shape, *const c_void, *const c_void, u64, u64, *mut c_void) -> i32;
type Gemm = unsafe extern "C" fn(
    *mut c_void,
    *const Shape,
    *const c_void,
    *const c_void,
    u64,
    u64,
    u64,
    u64,
    *mut c_void,
    u64,
) -> i32;

/// `tb_kernel`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TbKernel {
    pub struct_size: u32,
    pub flags: u32,
    pub id: *const c_char,
    pub isa: *const c_char,
    pub requires_cpu: *const c_char,
    pub builds_on: *const c_char,
    pub summary: *const c_char,
    pub origin: *const c_char,
    pub compiler: *const c_char,
    pub layout: *const c_char,
    pub family: u32,
    pub output: u32,
    pub weight_group: u32,
    pub act_group: u32,
    pub max_code: u32,
    pub rows_multiple: u32,
    pub k_multiple: u32,
    pub packed_align: u32,
    pub prepared_stride: u32,
    pub y_stride: u32,
    pub max_k: u64,
    pub max_tokens: u64,
    pub open: Option<Open>,
    pub close: Option<Close>,
    pub packed_bytes: Option<PackedBytes>,
    pub pack: Option<Pack>,
    pub prepared_bytes: Option<PreparedBytes>,
    pub prepare: Option<Prepare>,
    pub gemv: Option<Gemv>,
    pub gemm: Option<Gemm>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<TbKernel>() == 192 && std::mem::offset_of!(TbKernel, open) == 128);
