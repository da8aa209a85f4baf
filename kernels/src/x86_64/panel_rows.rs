//! Writes a vector that has one row of a panel in each lane to the rows that the matrix has.

use std::arch::x86_64::*;

/// Writes the rows of a panel that `y` has: all 8, or fewer at the end of a matrix.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_8(y: &mut [i32], rows: __m256i) {
    let mut buffer = [0; 8];
    let full = <&mut [i32; 8]>::try_from(&mut *y);
    let partial = full.is_err();
    let target = full.unwrap_or(&mut buffer);
    // SAFETY: the target has room for 8 int32; the store needs no alignment.
    unsafe { _mm256_storeu_si256(target.as_mut_ptr().cast(), rows) };
    if partial {
        y.copy_from_slice(&buffer[..y.len()]);
    }
}

/// Writes the rows of a panel that `y` has: all 16, or fewer at the end of a matrix.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_16(y: &mut [i32], rows: __m512i) {
    let mut buffer = [0; 16];
    let full = <&mut [i32; 16]>::try_from(&mut *y);
    let partial = full.is_err();
    let target = full.unwrap_or(&mut buffer);
    // SAFETY: the target has room for 16 int32; the store needs no alignment.
    unsafe { _mm512_storeu_si512(target.as_mut_ptr().cast(), rows) };
    if partial {
        y.copy_from_slice(&buffer[..y.len()]);
    }
}

/// As [`store_8`], of f32.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_8_f32(y: &mut [f32], rows: __m256) {
    let mut buffer = [0f32; 8];
    let full = <&mut [f32; 8]>::try_from(&mut *y);
    let partial = full.is_err();
    let target = full.unwrap_or(&mut buffer);
    // SAFETY: the target has room for 8 f32; the store needs no alignment.
    unsafe { _mm256_storeu_ps(target.as_mut_ptr(), rows) };
    if partial {
        y.copy_from_slice(&buffer[..y.len()]);
    }
}

/// As [`store_16`], of f32.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_16_f32(y: &mut [f32], rows: __m512) {
    let mut buffer = [0f32; 16];
    let full = <&mut [f32; 16]>::try_from(&mut *y);
    let partial = full.is_err();
    let target = full.unwrap_or(&mut buffer);
    // SAFETY: the target has room for 16 f32; the store needs no alignment.
    unsafe { _mm512_storeu_ps(target.as_mut_ptr(), rows) };
    if partial {
        y.copy_from_slice(&buffer[..y.len()]);
    }
}
