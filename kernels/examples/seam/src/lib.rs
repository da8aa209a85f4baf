//! tritbench's own int8 kernels as a library: each by the name `KERNEL-abi`, through `tritbench.h` and back. Beside
//! itself called directly it shows what the interface costs (`benches/seam.rs`), and how a library looks in Rust.
//!
//! Weights are in the layouts that tritbench packs, and the activations are read as they lie: a prepared token is their
//! address and their sum.

use kernels::foreign::abi::{ABI, Activations, I32, Shape, TENSOR, THREAD_SAFE, TbKernel, W2A8};
use kernels::{Family, Gemv, GemvI8, K_SLACK, KernelDescriptor, Prefetch, padded_k, registry};
use std::ffi::{CString, c_char, c_void};
use std::slice;
use std::sync::OnceLock;

/// Values that the kernels read of a token, padding included.
fn values(k: u64) -> usize {
    padded_k(k as usize) + K_SLACK
}

/// A prepared token: where the host's values lie, and their sum.
#[repr(C)]
struct Token {
    x: *const i8,
    sum: i32,
}

unsafe extern "C" fn prepared_bytes(_: *mut c_void, _: u64, bytes: *mut u64) -> i32 {
    // SAFETY: the host's place for a number.
    unsafe { *bytes = size_of::<Token>() as u64 };
    0
}

unsafe extern "C" fn prepare(_: *mut c_void, _: u64, x: *const Activations, prepared: *mut c_void) -> i32 {
    // SAFETY: the host's activations, and `prepared` has the bytes that `prepared_bytes` said; where it lies in a tight
    // batch it may not be aligned.
    unsafe {
        let x = &*x;
        prepared.cast::<Token>().write_unaligned(Token { x: x.i8, sum: x.sum });
    }
    0
}

/// The product of the kernel with this number among those exported.
unsafe extern "C" fn gemv<const NUMBER: usize>(
    _: *mut c_void,
    shape: *const Shape,
    packed: *const c_void,
    prepared: *const c_void,
    begin: u64,
    end: u64,
    y: *mut c_void,
) -> i32 {
    // SAFETY: the host's shape, which lives as long as the call.
    let (kernel, shape) = (exported()[NUMBER], unsafe { &*shape });
    let Gemv::I8(gemv) = kernel.gemv else { return 6 };
    let (panel_rows, panel_bytes) = (kernel.layout.rows, kernel.layout.panel_bytes(shape.k as usize));
    let panels = begin as usize / panel_rows..(end as usize).div_ceil(panel_rows);
    // SAFETY: the host packed all panels in this kernel's layout, prepared the token as above, whose values stay and
    // are padded so far, and `y` has an element a row; it has looked that this CPU has what the kernel requires.
    unsafe {
        let start = packed.cast::<u8>().add(panels.start * panel_bytes);
        let codes = slice::from_raw_parts(start, panels.len() * panel_bytes);
        let Token { x, sum: x_sum } = prepared.cast::<Token>().read_unaligned();
        let x = slice::from_raw_parts(x, values(shape.k));
        let y = slice::from_raw_parts_mut(y.cast::<i32>(), (end - begin) as usize);
        gemv(GemvI8 { codes, panel_bytes, x, x_sum, prefetch: Prefetch::OneLevel, y });
    }
    0
}

/// Functions for as many kernels as there may be: one function cannot know which of them it is.
const GEMV: [unsafe extern "C" fn(
    *mut c_void,
    *const Shape,
    *const c_void,
    *const c_void,
    u64,
    u64,
    *mut c_void,
) -> i32; 8] = [gemv::<0>, gemv::<1>, gemv::<2>, gemv::<3>, gemv::<4>, gemv::<5>, gemv::<6>, gemv::<7>];

/// The exact kernels whose layout has panels that the host can split anywhere.
fn exported() -> &'static [&'static KernelDescriptor] {
    static ALL: OnceLock<Vec<&'static KernelDescriptor>> = OnceLock::new();
    ALL.get_or_init(|| {
        let int8 = registry::KERNELS.iter().copied().filter(|d| d.family() == Family::W2A8 && d.exact());
        int8.filter(|d| !d.tables_per_call).take(GEMV.len()).collect()
    })
}

/// A text that stays.
fn text(text: &str) -> *const c_char {
    CString::new(text).unwrap_or_default().into_raw()
}

fn described((number, kernel): (usize, &&'static KernelDescriptor)) -> *const TbKernel {
    let none = std::ptr::null();
    Box::leak(Box::new(TbKernel {
        struct_size: size_of::<TbKernel>() as u32,
        flags: THREAD_SAFE,
        id: text(&format!("{}-abi", kernel.id)),
        isa: text(kernel.isa),
        requires_cpu: text(&kernel.requires.to_string()),
        builds_on: text(kernel.id),
        summary: text("the same code, called through tritbench.h"),
        origin: text("tritbench itself"),
        compiler: none,
        layout: text(kernel.layout.name),
        family: W2A8,
        output: I32,
        weight_group: TENSOR,
        act_group: TENSOR,
        max_code: 2,
        rows_multiple: 1,
        k_multiple: 1,
        packed_align: 1,
        prepared_stride: 0,
        y_stride: 0,
        max_k: kernels::MAX_K_I8 as u64,
        max_tokens: 0,
        open: None,
        close: None,
        packed_bytes: None,
        pack: None,
        prepared_bytes: Some(prepared_bytes),
        prepare: Some(prepare),
        gemv: Some(GEMV[number]),
        gemm: None,
    }))
}

/// The library's kernels.
///
/// # Safety
/// `count` is null or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_kernels(host_abi: u32, count: *mut u32) -> *const *const TbKernel {
    if host_abi != ABI || count.is_null() {
        return std::ptr::null();
    }
    let all: &'static [*const TbKernel] = exported().iter().enumerate().map(described).collect::<Vec<_>>().leak();
    // SAFETY: by the contract above.
    unsafe { *count = all.len() as u32 };
    all.as_ptr()
}
