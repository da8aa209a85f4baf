//! What all loops of `avx2-groups` are made of: the int16 sums of a block, their widening, and the walk over panels.

use crate::layouts::groups8::{BLOCK_BYTES, BLOCK_K, ROWS};
use crate::prefetch::ahead;
use crate::x86_64::lanes::{in_order, quad};
use std::arch::x86_64::*;

/// Registers of codes in a block, between two widenings, see the module's proof.
pub(super) const STEPS: usize = BLOCK_BYTES / 32;
const LARGEST_CODE: usize = 3;
const _: () = assert!(STEPS * 2 * (LARGEST_CODE << 2) * 128 <= i16::MAX as usize);
const _: () = assert!(2 * STEPS * 2 * LARGEST_CODE * 128 <= i16::MAX as usize);

/// How far ahead of the loads codes are fetched into the cache: the best of 512 to 6144 B in the prototypes (Zen 4).
pub(super) const PREFETCH_BYTES: usize = 4096;

pub(super) type Block = [u8; BLOCK_BYTES];
pub(super) type BlockX = [i8; BLOCK_K];
/// Scales of a group of the eight rows.
pub(super) type Scales = [f32; ROWS];

/// Runs `$row` for each panel of the operands, with `$blocks` of codes and of activations and `$scales` of the groups,
/// and stores the sums of the rows that it gives. A macro and not a function, so that the body is compiled with the
/// features of the function around it.
macro_rules! for_each_panel {
    ($args:ident, |$blocks:ident, $x:ident, $scales:ident| $row:block) => {{
        let $x = $args.x.as_chunks::<BLOCK_K>().0;
        let panels = $args.codes.chunks_exact($args.panel_bytes).zip($args.scales.chunks_exact($args.groups * ROWS));
        for (y, (codes, scales)) in $args.y.chunks_mut(ROWS).zip(panels) {
            let ($blocks, $scales) = (codes.as_chunks::<BLOCK_BYTES>().0, scales.as_chunks::<ROWS>().0);
            store(y, $row);
        }
    }};
}
pub(super) use for_each_panel;

/// int16 sums of the four planes of a block times its activations, those of planes 1 and 3 four times too large.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn planes<const TWO_LEVELS: bool>(block: &Block, x: &BlockX) -> [__m256i; 4] {
    let (mask3, mask12) = (_mm256_set1_epi8(3), _mm256_set1_epi8(12));
    let zero = _mm256_setzero_si256();
    let (mut p0, mut p1, mut p2, mut p3) = (zero, zero, zero, zero);
    let x = x.as_chunks::<4>().0;
    for (i, step) in block.as_chunks::<32>().0.iter().enumerate() {
        if i % 2 == 0 {
            // Two steps are a cache line.
            ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        }
        // SAFETY: a step has 32 bytes; the load needs no alignment.
        let low = unsafe { _mm256_loadu_si256(step.as_ptr().cast()) };
        let high = _mm256_srli_epi16(low, 4);
        p0 = add_products(p0, _mm256_and_si256(low, mask3), &x[i]);
        p1 = add_products(p1, _mm256_and_si256(low, mask12), &x[STEPS + i]);
        p2 = add_products(p2, _mm256_and_si256(high, mask3), &x[2 * STEPS + i]);
        p3 = add_products(p3, _mm256_and_si256(high, mask12), &x[3 * STEPS + i]);
        in_order!(ymm_reg: p0, p1, p2, p3);
    }
    [p0, p1, p2, p3]
}

/// `sums` plus the pairwise products of a plane and four activations, the same four for each row.
#[inline]
#[target_feature(enable = "avx2")]
fn add_products(sums: __m256i, plane: __m256i, x: &[i8; 4]) -> __m256i {
    _mm256_add_epi16(sums, _mm256_maddubs_epi16(plane, _mm256_set1_epi32(quad(x))))
}

/// Four times the sums of a block's rows.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn four_times([p0, p1, p2, p3]: [__m256i; 4]) -> __m256i {
    let (four, one) = (_mm256_set1_epi16(4), _mm256_set1_epi16(1));
    let units = _mm256_madd_epi16(_mm256_add_epi16(p0, p2), four);
    _mm256_add_epi32(units, _mm256_add_epi32(_mm256_madd_epi16(p1, one), _mm256_madd_epi16(p3, one)))
}

/// The sums of weight * x of the rows, exact as f32, from four times those of code * x.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sums(fours: __m256i, x_sum: i32) -> __m256 {
    // A multiple of four: the shift drops zeros. Codes are weights plus one.
    let sums = _mm256_sub_epi32(_mm256_srai_epi32(fours, 2), _mm256_set1_epi32(x_sum));
    _mm256_cvtepi32_ps(sums)
}

/// The scales of a group of the eight rows.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(scales: &Scales) -> __m256 {
    // SAFETY: there are 8 scales; the load needs no alignment.
    unsafe { _mm256_loadu_ps(scales.as_ptr()) }
}

/// What the first product of a group is added to: it stays what it is, whichever sign a zero has.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn nothing() -> __m256 {
    _mm256_set1_ps(-0.0)
}
