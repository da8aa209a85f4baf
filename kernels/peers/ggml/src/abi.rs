//! `tritbench.h`, version 1, in Rust. No crate of tritbench's is used here: the header is all that a kernel needs.

use std::ffi::{c_char, c_void};

pub const ABI: u32 = 1;
pub const OK: i32 = 0;
pub const SHAPE: i32 = 2;
pub const CODE: i32 = 3;
pub const SCALES: i32 = 4;
pub const W2A8: u32 = 1;
pub const F32: u32 = 2;
pub const STRIDE_ANY: u32 = 0;
pub const THREAD_SAFE: u32 = 1;

#[repr(C)]
pub struct Shape {
    pub rows: u64,
    pub k: u64,
}

#[repr(C)]
pub struct Weights {
    pub codes: *const u8,
    pub scales: *const f32,
}

#[repr(C)]
pub struct Activations {
    pub i8: *const i8,
    pub scales: *const f32,
    pub f32: *const f32,
    pub sum: i32,
}

pub type Bytes = unsafe extern "C" fn(plan: *mut c_void, shape: *const Shape, bytes: *mut u64) -> i32;
pub type Pack = unsafe extern "C" fn(*mut c_void, *const Shape, *const Weights, packed: *mut c_void) -> i32;
pub type TokenBytes = unsafe extern "C" fn(plan: *mut c_void, k: u64, bytes: *mut u64) -> i32;
pub type Prepare = unsafe extern "C" fn(*mut c_void, k: u64, *const Activations, prepared: *mut c_void) -> i32;
pub type Gemv = unsafe extern "C" fn(
    plan: *mut c_void,
    shape: *const Shape,
    packed: *const c_void,
    prepared: *const c_void,
    row_begin: u64,
    row_end: u64,
    y: *mut c_void,
) -> i32;
pub type Gemm = unsafe extern "C" fn(
    plan: *mut c_void,
    shape: *const Shape,
    packed: *const c_void,
    prepared: *const c_void,
    prepared_stride: u64,
    tokens: u64,
    row_begin: u64,
    row_end: u64,
    y: *mut c_void,
    y_stride: u64,
) -> i32;

#[repr(C)]
pub struct Kernel {
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
    pub open: Option<unsafe extern "C" fn(shape: *const Shape, plan: *mut *mut c_void) -> i32>,
    pub close: Option<unsafe extern "C" fn(plan: *mut c_void)>,
    pub packed_bytes: Option<Bytes>,
    pub pack: Option<Pack>,
    pub prepared_bytes: Option<TokenBytes>,
    pub prepare: Option<Prepare>,
    pub gemv: Option<Gemv>,
    pub gemm: Option<Gemm>,
}

// As a C compiler lays them out where pointers have 64 bits.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Shape>() == 16 && size_of::<Weights>() == 16 && size_of::<Activations>() == 32);
    assert!(size_of::<Kernel>() == 192 && std::mem::offset_of!(Kernel, max_k) == 112);
};
