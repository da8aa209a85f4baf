//! The prefill half of `avxvnni-tile8`: that of [`crate::w2a8::avx512_vnni`] at half the width, on `tile8x16`.
//!
//! A tile is 8 rows (one a lane) by up to 10 tokens. Per 64 weights and token: 2 broadcast loads, 2 `vpdpbusd`; beside
//! them, shared by the 10 tokens, 1/2 load of codes, 1.5 shifts, 2 `and`. 2.0 bits a weight. Bound by loads: two
//! broadcasts a cycle are 64 products.
//!
//! # Exact
//! Planes are brought to the bottom of their bytes, so that a lane adds products of a code (at most 3) and an int8,
//! without saturation: at most 3 * 128 * k in magnitude over all sums of a token, below 2^31 for any k that
//! [`crate::Kernel::gemm_i8`] lets through.
//!
//! # What the compiler makes of it
//! Ten sums, the codes, a plane, the mask and three broadcasts in flight fill the 16 registers; the loop has no spill
//! and no move: `vpbroadcastd`, `vpdpbusd`, ten times a plane. The barrier keeps LLVM from shifting all planes first,
//! which spills. Twelve sums spill: 52 to 55 products a cycle on Zen 5 where ten reach 53 to 57 (decode, token by
//! token: 48 to 50).
//!
//! Fewer tokens are fewer chains, and two `vpdpbusd` a cycle of latency 4 to 5 need about ten: below 8 tokens a token
//! has two to four sums, of different planes. Sizes whose code was slower than that of two smaller tiles (7, 6) are
//! left out.

use crate::MAX_K_I8;
use crate::descriptor::GemmI8;
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::x86_64::lanes::together;
use crate::x86_64::panel_rows::store_8 as store;
use crate::x86_64::tiles::{self, Plan, Target, Tile};
use std::arch::x86_64::*;

/// How far ahead of the loads codes are asked for with one level. Swept on an Intel Xeon (family 6 model 207) with
/// `avx512-vnni` from memory: against not asking at all, 1.46, 1.53, 1.71, 1.38, 1.02 and 1.09 times as fast for 1, 2,
/// 4, 8, 24 and 128 tokens.
const PREFETCH_BYTES: usize = 8192;

/// Sums of codes of all of k, before the sum of x is subtracted: codes up to 3, activations down to -128.
const _: () = assert!(3 * 128 * MAX_K_I8 <= i32::MAX as usize);

/// Tokens and, beside them, sums a token.
const fn tiles<const TWO_LEVELS: bool>() -> [Tile; 8] {
    [
        (10, tile::<10, 1, TWO_LEVELS>),
        (9, tile::<9, 1, TWO_LEVELS>),
        (8, tile::<8, 1, TWO_LEVELS>),
        (5, tile::<5, 2, TWO_LEVELS>),
        (4, tile::<4, 2, TWO_LEVELS>),
        (3, tile::<3, 3, TWO_LEVELS>),
        (2, tile::<2, 4, TWO_LEVELS>),
        (1, tile::<1, 4, TWO_LEVELS>),
    ]
}

/// Products of all panels with all tokens.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn gemm(args: GemmI8<'_, '_>) {
    with_prefetch!(args.prefetch, batch(args));
}

#[target_feature(enable = "avx2,avxvnni")]
fn batch<const TWO_LEVELS: bool>(args: GemmI8<'_, '_>) {
    at_cache_line!();
    // SAFETY: this function enables the features that the tiles enable.
    unsafe { tiles::gemm(args, Plan { panel_rows: 8, planes: 4, tiles: &const { tiles::<TWO_LEVELS>() }, pairs: &[] }) }
}

#[target_feature(enable = "avx2,avxvnni")]
fn tile<const T: usize, const SUMS: usize, const TWO_LEVELS: bool>(
    panel: &[u8],
    x: &[i32],
    target: Target<'_>,
    y: &mut Columns<'_, i32>,
) {
    at_cache_line!();
    let mask = _mm256_set1_epi8(3);
    let mut sums = [[_mm256_setzero_si256(); T]; SUMS];
    let (x, _) = x.as_chunks::<T>();
    for (step, x) in panel.as_chunks::<32>().0.iter().zip(x.as_chunks::<4>().0) {
        // Half a line: each is asked for twice, which costs less here than telling the halves apart.
        ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        // SAFETY: a step has 32 bytes; the load needs no alignment.
        let mut codes = unsafe { _mm256_loadu_si256(step.as_ptr().cast()) };
        for p in 0..4 {
            let plane = _mm256_and_si256(codes, mask);
            codes = _mm256_srli_epi16::<2>(codes);
            for t in 0..T {
                let sum = &mut sums[p % SUMS][t];
                *sum = _mm256_dpbusd_avx_epi32(*sum, plane, _mm256_set1_epi32(x[p][t]));
            }
            together!(ymm_reg: codes);
        }
    }
    for (t, x) in target.x.iter().enumerate() {
        let mut rows = _mm256_set1_epi32(-x.sum());
        for sums in &sums {
            rows = _mm256_add_epi32(rows, sums[t]);
        }
        store(&mut y.token(target.first + t)[target.row..target.row + target.rows], rows);
    }
}
