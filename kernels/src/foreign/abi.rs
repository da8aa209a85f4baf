//! The structures of `kernels/include/tritbench.h`, as they lie in memory. The header says what each field means.

use std::ffi::{c_char, c_void};

/// Version of the interface that this host speaks.
pub const ABI: u32 = 1;
/// The one symbol of a library.
pub const SYMBOL: &str = "tb_kernels";

/// `tb_kernels`: an array of pointers to `*count` kernels.
pub type Entry = unsafe extern "C" fn(host_abi: u32, count: *mut u32) -> *const *const TbKernel;

pub(super) const W2A8: u32 = 1;
pub(super) const W2A32: u32 = 2;
pub(super) const I32: u32 = 1;
pub(super) const F32: u32 = 2;
pub(super) const TENSOR: u32 = 0;
pub(super) const ROW: u32 = u32::MAX;
pub(super) const TIGHT: u32 = 1;
pub(super) const THREAD_SAFE: u32 = 1;

/// `tb_shape`
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub(super) rows: u64,
    pub(super) k: u64,
}

/// `tb_weights`
#[repr(C)]
pub struct Weights {
    pub(super) codes: *const u8,
    pub(super) scales: *const f32,
}

/// `tb_activations`
#[repr(C)]
pub struct Activations {
    pub(super) i8: *const i8,
    pub(super) scales: *const f32,
    pub(super) f32: *const f32,
    pub(super) sum: i32,
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
    pub(super) struct_size: u32,
    pub(super) flags: u32,
    pub(super) id: *const c_char,
    pub(super) isa: *const c_char,
    pub(super) requires_cpu: *const c_char,
    pub(super) builds_on: *const c_char,
    pub(super) summary: *const c_char,
    pub(super) origin: *const c_char,
    pub(super) compiler: *const c_char,
    pub(super) layout: *const c_char,
    pub(super) family: u32,
    pub(super) output: u32,
    pub(super) weight_group: u32,
    pub(super) act_group: u32,
    pub(super) max_code: u32,
    pub(super) rows_multiple: u32,
    pub(super) k_multiple: u32,
    pub(super) packed_align: u32,
    pub(super) prepared_stride: u32,
    pub(super) y_stride: u32,
    pub(super) max_k: u64,
    pub(super) max_tokens: u64,
    pub(super) open: Option<Open>,
    pub(super) close: Option<Close>,
    pub(super) packed_bytes: Option<PackedBytes>,
    pub(super) pack: Option<Pack>,
    pub(super) prepared_bytes: Option<PreparedBytes>,
    pub(super) prepare: Option<Prepare>,
    pub(super) gemv: Option<Gemv>,
    pub(super) gemm: Option<Gemm>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<TbKernel>() == 192 && std::mem::offset_of!(TbKernel, open) == 128);
