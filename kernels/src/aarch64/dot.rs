//! Dot products of bytes, which stable Rust (1.95) has no intrinsics for: `sdot` and `smmla`, written as assembly that
//! LLVM schedules and allocates registers around.

use std::arch::aarch64::*;
use std::arch::asm;

/// Adds to each of four int32 the products of its four bytes of `a` with the four bytes `L` of `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn sdot<const L: u32>(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction is part of `dotprod`; it reads and writes registers alone.
    unsafe {
        asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{l}]",
            inout(vreg) sum,
            in(vreg) a,
            in(vreg) b,
            l = const L,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Adds the 2 x 2 products of two rows of eight bytes each with two rows of eight bytes: `sum[2i + j] += a[i] . b[j]`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) fn smmla(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction is part of `i8mm`; it reads and writes registers alone.
    unsafe {
        asm!(
            "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) sum,
            in(vreg) a,
            in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Sixteen bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: sixteen bytes; the load needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// The four codes of each byte, each at the bottom of a byte of its own: six operations.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn planes(codes: uint8x16_t) -> [int8x16_t; 4] {
    let three = vdupq_n_u8(3);
    [
        vreinterpretq_s8_u8(vandq_u8(codes, three)),
        vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8::<2>(codes), three)),
        vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8::<4>(codes), three)),
        vreinterpretq_s8_u8(vshrq_n_u8::<6>(codes)),
    ]
}

/// The codes of plane `P` of each byte, `4^P` times too large for planes 1 and 2, which stay in place: one operation.
/// In place plane 3 would be a negative byte: it is shifted down.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn plane_in_place<const P: u32>(codes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(match P {
        0 => vandq_u8(codes, vdupq_n_u8(0x03)),
        1 => vandq_u8(codes, vdupq_n_u8(0x0C)),
        2 => vandq_u8(codes, vdupq_n_u8(0x30)),
        _ => vshrq_n_u8::<6>(codes),
    })
}

/// Sums of products with [`plane_in_place`] as they should be: what is shifted out is zeros.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn undo_in_place<const P: u32>(sums: int32x4_t) -> int32x4_t {
    match P {
        1 => vshrq_n_s32::<2>(sums),
        2 => vshrq_n_s32::<4>(sums),
        _ => sums,
    }
}

/// Sixteen activations.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_x(x: &[i8; 16]) -> int8x16_t {
    // SAFETY: sixteen bytes; the load needs no alignment.
    unsafe { vld1q_s8(x.as_ptr()) }
}

/// Stores up to four sums.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_4(y: &mut [i32], sums: int32x4_t) {
    if let Some(y) = y.first_chunk_mut::<4>() {
        // SAFETY: four elements; the store needs no alignment.
        unsafe { vst1q_s32(y.as_mut_ptr(), sums) }
    } else {
        let mut all = [0; 4];
        // SAFETY: as above.
        unsafe { vst1q_s32(all.as_mut_ptr(), sums) }
        y.copy_from_slice(&all[..y.len()]);
    }
}

/// The first four of these f16, little-endian, as f32: exact.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn fcvtl(halves: &[u8]) -> float32x4_t {
    let mut eight = [0; 8];
    eight.copy_from_slice(&halves[..8]);
    // SAFETY: eight bytes; the load needs no alignment.
    let bits = unsafe { vld1_u8(eight.as_ptr()) };
    let floats: float32x4_t;
    // SAFETY: the instruction is part of every 64-bit Arm; it reads and writes registers alone.
    unsafe {
        asm!(
            "fcvtl {0:v}.4s, {1:v}.4h",
            out(vreg) floats,
            in(vreg) bits,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    floats
}

/// Stores up to four sums.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_4_f32(y: &mut [f32], sums: float32x4_t) {
    let mut all = [0.0; 4];
    // SAFETY: four elements; the store needs no alignment.
    unsafe { vst1q_f32(all.as_mut_ptr(), sums) }
    let len = y.len().min(4);
    y[..len].copy_from_slice(&all[..len]);
}

/// Calls `$tile` with all tokens of a batch, given the number of the first: four at a time, and those that are left.
macro_rules! by_fours {
    ($args:ident, $tile:ident) => {
        for first in (0..$args.x.len()).step_by(4) {
            match $args.x.len() - first {
                1 => $tile::<1>(&mut $args, first),
                2 => $tile::<2>(&mut $args, first),
                3 => $tile::<3>(&mut $args, first),
                _ => $tile::<4>(&mut $args, first),
            }
        }
    };
}
pub(crate) use by_fours;
