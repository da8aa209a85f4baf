//! What one token and several are multiplied with alike.

use std::arch::x86_64::*;

/// Blocks of 128 weights between two widenings, see the proof of `avx2-i8`.
pub(super) const BLOCKS_PER_FLUSH: usize = 8;
const _: () = assert!(BLOCKS_PER_FLUSH * 4 * (2 * 3 * 128) <= i16::MAX as usize);

/// Pairwise sums of 32 codes times 32 activations, as 16 int16.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn products(codes: __m256i, x: &[i8; 128], at: usize) -> __m256i {
    let x: &[i8] = &x[at..at + 32];
    // SAFETY: the slice has 32 bytes; the load needs no alignment.
    let x = unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
    _mm256_maddubs_epi16(codes, x)
}
