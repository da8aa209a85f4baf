//! What gemv and gemm of `avx512-vnni-groups` read alike.

use crate::layouts::planes16::{LINE, SCALE_BYTES};
use std::arch::x86_64::*;

/// How far ahead of the loads codes are fetched into the cache: the best of 512 to 6144 B in the prototypes (Zen 4).
pub(super) const PREFETCH_BYTES: usize = 4096;

pub(super) type Line = [u8; LINE];
/// Scales of a group of the sixteen rows, f16.
pub(super) type Scales = [u8; SCALE_BYTES];

/// What sums of several planes, or of several tokens, begin with. No closure: those are compiled without the features
/// around them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn broadcast<const N: usize>(starts: &[i32; N]) -> [__m512i; N] {
    let mut all = [_mm512_setzero_si512(); N];
    for (all, &start) in all.iter_mut().zip(starts) {
        *all = _mm512_set1_epi32(start);
    }
    all
}

/// What the first product of a chain is added to: it stays what it is, rounded once, whichever sign a zero has.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn nothing() -> __m512 {
    _mm512_set1_ps(-0.0)
}

/// The scales of a group as f32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn scale(scales: &Scales) -> __m512 {
    // SAFETY: 16 f16 are 32 bytes; the load needs no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) })
}
