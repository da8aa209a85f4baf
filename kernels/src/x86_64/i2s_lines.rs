//! Lines of I2_S rows on AVX-512 VNNI, 64 bytes each: two blocks of 128 weights, four planes.

use crate::x86_64::lanes::together;
use std::arch::x86_64::*;

/// The four planes in place: plane p at bits 2p.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn planes(codes: __m512i) -> [__m512i; 4] {
    let mut p0 = _mm512_and_si512(codes, _mm512_set1_epi8(0x03));
    let mut p1 = _mm512_and_si512(codes, _mm512_set1_epi8(0x0C));
    let mut p2 = _mm512_and_si512(codes, _mm512_set1_epi8(0x30));
    let mut p3 = _mm512_and_si512(codes, _mm512_set1_epi8(0xC0u8.cast_signed()));
    // As in `avx512-vnni`: masks and dot products compete for ports where they alternate.
    together!(zmm_reg: p0, p1, p2, p3);
    [p0, p1, p2, p3]
}

/// Adds a line of a row: `sums[p]` takes the plane at bits 2p, `4^p` times too large. The first of `x`, what
/// [`runs`](crate::layouts::i2s_rows::runs) gives for each plane, meets the highest bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(crate) fn add_row_line(sums: &mut [__m512i; 4], codes: __m512i, x: [__m512i; 4]) {
    let [p0, p1, p2, p3] = planes(codes);
    sums[3] = _mm512_dpbusd_epi32(sums[3], p3, x[0]);
    sums[2] = _mm512_dpbusd_epi32(sums[2], p2, x[1]);
    sums[1] = _mm512_dpbusd_epi32(sums[1], p1, x[2]);
    sums[0] = _mm512_dpbusd_epi32(sums[0], p0, x[3]);
}

/// The sum of a row's planes, lane by lane: those of plane p are multiples of `4^p`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn joined(sums: [__m512i; 4]) -> __m512i {
    let low = _mm512_add_epi32(sums[0], _mm512_srai_epi32::<2>(sums[1]));
    _mm512_add_epi32(low, _mm512_add_epi32(_mm512_srai_epi32::<4>(sums[2]), _mm512_srai_epi32::<6>(sums[3])))
}

/// The sum over the lanes of each of four vectors.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn sums_of_4([a, b, c, d]: [__m512i; 4]) -> __m128i {
    // Lanes of 128 bits become [a, b, a, b] and [c, d, c, d], then [a, b, c, d]; then the four lanes are added.
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
    _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
}
