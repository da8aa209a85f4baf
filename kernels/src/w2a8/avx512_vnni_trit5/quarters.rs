//! What `avx512-vnni-trit5q` does in place of two averages, a GF(2) product, a subtraction and a lookup in 128 bytes.

use crate::layouts::trit5q::{FIFTH, LAST, PLANES};
use crate::x86_64::lanes::quad;
use std::arch::x86_64::*;

/// Bytes of [`crate::layouts::trit5q`] as four planes of 2-bit codes, and the fifth trit in the top two bits: `vpermb`
/// looks at the low six bits of an index alone.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn decoded(byte: __m512i) -> (__m512i, __m512i) {
    // SAFETY: tables have 64 bytes; the loads need no alignment.
    let table = |table: &'static [u8; 64]| unsafe { table.as_ptr().cast::<__m512i>().read_unaligned() };
    let (planes, last, fifth) = (table(&PLANES), table(&LAST), table(&FIFTH));
    let in_last = _mm512_cmpge_epu8_mask(byte, _mm512_set1_epi8(0xC0u8.cast_signed()));
    let codes = _mm512_mask_permutexvar_epi8(_mm512_permutexvar_epi8(byte, planes), in_last, byte, last);
    (codes, _mm512_mask_permutexvar_epi8(byte, in_last, byte, fifth))
}

/// Adds two steps of 16 rows x 20 k to sums of their own; plane p of a step meets four activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
pub(super) fn add_pair(even: &mut [__m512i; 5], odd: &mut [__m512i; 5], steps: &[[u8; 64]; 2], x: &[[i8; 4]]) {
    let (x_even, x_odd) = x.split_at(5);
    add(even, &steps[0], x_even);
    add(odd, &steps[1], x_odd);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn add(sums: &mut [__m512i; 5], step: &[u8; 64], x: &[[i8; 4]]) {
    // SAFETY: a step has 64 bytes; the load needs no alignment.
    let (codes, top) = decoded(unsafe { _mm512_loadu_si512(step.as_ptr().cast()) });
    let masks = [0x03, 0x0C, 0x30, 0xC0u8.cast_signed()];
    for p in 0..4 {
        let plane = _mm512_and_si512(codes, _mm512_set1_epi8(masks[p]));
        sums[p] = _mm512_dpbusd_epi32(sums[p], plane, _mm512_set1_epi32(quad(&x[p])));
    }
    let fifth = _mm512_and_si512(top, _mm512_set1_epi8(masks[3]));
    sums[4] = _mm512_dpbusd_epi32(sums[4], fifth, _mm512_set1_epi32(quad(&x[4])));
}
