//! What gemv and gemm of `avx512-vnni-groups` read alike.

use crate::layouts::planes16::{LINE, SCALE_BYTES};
use std::arch::x86_64::*;

/// How far ahead of the loads codes are fetched into the cache: the best of 512 to 6144 B in the prototypes (Zen 4).
pub(super) const PREFETCH_BYTES: usize = 4096;

pub(super) type Line = [u8; LINE];
/// Scales of a group of the sixteen rows, f16.
pub(super) type Scales = [u8; SCALE_BYTES];

/// The scales of a group as f32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn scale(scales: &Scales) -> __m512 {
    // SAFETY: 16 f16 are 32 bytes; the load needs no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) })
}
