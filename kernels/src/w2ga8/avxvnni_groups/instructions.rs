//! Lane operations of `avxvnni-groups` as instructions: 16 rows in two 256-bit registers.

use crate::layouts::planes16::{LINE, SCALE_BYTES};
use crate::prefetch::ahead;
use crate::x86_64::lanes::together;
use crate::x86_64::panel_rows::store_8_f32;
use std::arch::x86_64::*;

/// How far ahead of the loads codes are fetched into the cache: that of `avxvnni-tile8`, not swept apart.
const PREFETCH_BYTES: usize = 8192;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn zero() -> [__m256i; 2] {
    [_mm256_setzero_si256(); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat(value: f32) -> [__m256; 2] {
    [_mm256_set1_ps(value); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shift_right<const BITS: i32>(a: [__m256i; 2]) -> [__m256i; 2] {
    a.map(|a| _mm256_srai_epi32::<BITS>(a))
}

/// Which bits belong to which plane.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn masks() -> [__m256i; 4] {
    let (mut m0, mut m1) = (_mm256_set1_epi8(0x03), _mm256_set1_epi8(0x0C));
    let (mut m2, mut m3) = (_mm256_set1_epi8(0x30), _mm256_set1_epi8(0xC0u8.cast_signed()));
    together!(ymm_reg: m0, m1, m2, m3);
    [m0, m1, m2, m3]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(line: &[u8; LINE]) -> [__m256i; 2] {
    // SAFETY: a line has 64 bytes; the loads need no alignment.
    unsafe { [_mm256_loadu_si256(line.as_ptr().cast()), _mm256_loadu_si256(line.as_ptr().add(LINE / 2).cast())] }
}

/// A plane of a line, in its place.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn masked(codes: [__m256i; 2], mask: __m256i) -> [__m256i; 2] {
    [_mm256_and_si256(codes[0], mask), _mm256_and_si256(codes[1], mask)]
}

/// Adds to each lane the products of the four codes that it has in a plane with four activations.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn add_products(sums: [__m256i; 2], plane: [__m256i; 2], x: i32) -> [__m256i; 2] {
    let x = _mm256_set1_epi32(x);
    [_mm256_dpbusd_avx_epi32(sums[0], plane[0], x), _mm256_dpbusd_avx_epi32(sums[1], plane[1], x)]
}

/// Keeps lines that are taken one after the other in that order.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn in_order(
    [[mut a, mut b], [mut c, mut d], [mut e, mut f], [mut g, mut h]]: [[__m256i; 2]; 4],
) -> [[__m256i; 2]; 4] {
    together!(ymm_reg: a, b, c, d, e, f, g, h);
    [[a, b], [c, d], [e, f], [g, h]]
}

/// The sum of a unit, from those of its planes and that of its activations: codes are weights plus one.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn joined(parts: &[[__m256i; 2]], x_sum: i32) -> [__m256; 2] {
    let mut sum = parts[0].map(|part| _mm256_sub_epi32(part, _mm256_set1_epi32(x_sum)));
    for part in &parts[1..] {
        sum = [_mm256_add_epi32(sum[0], part[0]), _mm256_add_epi32(sum[1], part[1])];
    }
    sum.map(|sum| _mm256_cvtepi32_ps(sum))
}

/// What sums begin with.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn begun(start: i32) -> [__m256i; 2] {
    [_mm256_set1_epi32(start); 2]
}

/// The mask of plane `p`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn mask(p: usize) -> __m256i {
    _mm256_set1_epi8((3u8 << (2 * p)).cast_signed())
}

/// Sums as large as those of the next plane.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn times_4(sums: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_slli_epi32::<2>(sums[0]), _mm256_slli_epi32::<2>(sums[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn converted(sums: [__m256i; 2]) -> [__m256; 2] {
    [_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])]
}

/// The f16 scales of a group of 16 rows.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn halves(scales: &[u8; SCALE_BYTES]) -> [__m256; 2] {
    // SAFETY: there are 32 bytes; the loads need no alignment.
    let (low, high) = unsafe {
        (_mm_loadu_si128(scales.as_ptr().cast()), _mm_loadu_si128(scales.as_ptr().add(SCALE_BYTES / 2).cast()))
    };
    [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn mul(a: [__m256; 2], b: f32) -> [__m256; 2] {
    [_mm256_mul_ps(a[0], _mm256_set1_ps(b)), _mm256_mul_ps(a[1], _mm256_set1_ps(b))]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn fma(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
    [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])]
}

/// Asks for what comes after a line.
#[inline]
pub(super) fn prefetch<const TWO_LEVELS: bool>(line: &[u8; LINE]) {
    ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
}

/// Writes the rows of a panel that `y` has: all 16, or fewer at the end of a matrix.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(y: &mut [f32], rows: [__m256; 2]) {
    for (y, rows) in y.chunks_mut(8).zip(rows) {
        store_8_f32(y, rows);
    }
}
