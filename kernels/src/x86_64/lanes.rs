//! Loads, stores and sums of 256-bit lanes on bounds-checked arrays. Indices are constants after unrolling, so the
//! checks vanish.

use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_f32(x: &[f32; 256], at: usize) -> __m256 {
    let lane: &[f32] = &x[at..at + 8];
    // SAFETY: the slice has 8 elements; the load needs no alignment.
    unsafe { _mm256_loadu_ps(lane.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_f32(out: &mut [f32; 256], at: usize, value: __m256) {
    let lane: &mut [f32] = &mut out[at..at + 8];
    // SAFETY: the slice has 8 elements; the store needs no alignment.
    unsafe { _mm256_storeu_ps(lane.as_mut_ptr(), value) }
}

/// 8 packed bytes (32 codes) in the low half.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_8(codes: &[u8; 64], at: usize) -> __m128i {
    let bytes: &[u8] = &codes[at..at + 8];
    // SAFETY: the slice has 8 bytes; the load needs no alignment.
    unsafe { _mm_loadl_epi64(bytes.as_ptr().cast()) }
}

/// 16 packed bytes (64 codes).
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_16(codes: &[u8; 64], at: usize) -> __m128i {
    let bytes: &[u8] = &codes[at..at + 16];
    // SAFETY: the slice has 16 bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// 32 packed bytes (128 codes).
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_32(codes: &[u8; 64], at: usize) -> __m256i {
    let bytes: &[u8] = &codes[at..at + 32];
    // SAFETY: the slice has 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Sum of 8 f32 lanes, pairwise.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn sum_f32(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)))
}

/// Sum of 8 i32 lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn sum_i32(v: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0b01_00_11_10));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)))
}

/// 16 int8 weights as two lanes of f32.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn i8_to_f32(weights: __m128i) -> [__m256; 2] {
    let low = _mm256_cvtepi8_epi32(weights);
    let high = _mm256_cvtepi8_epi32(_mm_srli_si128(weights, 8));
    [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)]
}

/// Asks for a cache line that will be read soon. Any address may be asked for: a prefetch never faults.
///
/// Kernels that refer to this for their distance swept it on Zen 5 with `ci/sweep-constants.py w2a8` (40 copies of 6912
/// x 2560, 177 MB at 2 bits): share of a plain read of the same bytes in the same rounds; medians of three runs up to
/// 4096 B, one run beyond.
#[inline]
pub(crate) fn prefetch(line: *const u8, ahead_bytes: usize) {
    // SAFETY: SSE is part of x86-64, and prefetching does not access memory in the sense of the abstract machine;
    // `wrapping_add` makes no claim that the address is inside the allocation.
    unsafe { _mm_prefetch(line.wrapping_add(ahead_bytes).cast(), _MM_HINT_T0) }
}

/// Four consecutive int8 activations as the dword that is broadcast to every row of an interleaved layout.
#[inline(always)]
pub(crate) fn quad(x: &[i8; 4]) -> i32 {
    i32::from_le_bytes(x.map(i8::cast_unsigned))
}

/// Makes the compiler have all of these vectors in registers at this point, at the cost of no instruction: what
/// computes them is issued before it, what uses them after. Compilers otherwise put each mask next to the dot product
/// that needs it, and both compete for the same ports at the wrong time. `$class` is `ymm_reg` or `zmm_reg`; the
/// function around it must enable its feature.
macro_rules! together {
    ($class:ident: $($vector:ident),+) => {
        // SAFETY: no instruction; each register is given back as it was taken.
        unsafe {
            std::arch::asm!(
                $(concat!("/* {", stringify!($vector), "} */")),+, // only a comment: unused operands are refused
                $($vector = inout($class) $vector),+,
                options(pure, nomem, nostack, preserves_flags)
            )
        }
    };
}
pub(crate) use together;

/// As [`together`], and nothing that reads or writes memory moves past it either: loads of a step stay in their step.
/// With `together` alone LLVM may load a whole block first, and then keeps masks and half-done sums in memory.
macro_rules! in_order {
    ($class:ident: $($vector:ident),+) => {
        // SAFETY: no instruction; each register is given back as it was taken.
        unsafe {
            std::arch::asm!(
                $(concat!("/* {", stringify!($vector), "} */")),+, // only a comment: unused operands are refused
                $($vector = inout($class) $vector),+,
                options(preserves_flags, nostack)
            )
        }
    };
}
pub(crate) use in_order;

/// The same reference, of which the compiler no longer knows how it was made: what is read through it is addressed by
/// one register, without an index. Intel's cores split an instruction of three operands whose address has an index into
/// its load and its arithmetic before they issue it, which loops of products with activations from memory have no room
/// for: on an Intel Xeon (family 6 model 207) the gemm of `avx512-vnni` is 1.05 times as fast without.
#[inline(always)]
pub(crate) fn based<T>(value: &T) -> &T {
    let mut address: *const T = value;
    #[expect(clippy::pointers_in_nomem_asm_block, reason = "it is not followed there")]
    // SAFETY: no instruction; the register is given back as it was taken.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) address, options(pure, nomem, nostack, preserves_flags))
    };
    // SAFETY: it is the address that came in.
    unsafe { &*address }
}
