//! The prefill half of `avx2-i8-tile8`: the same packed weights times a batch of tokens.
//!
//! A tile is 8 rows (one a lane) by up to 8 tokens. A step of 16 k loads 32 bytes of codes, brings each of the four
//! planes to the bottom of its bytes (3 shifts, 4 masks) and multiplies it with every token's activations, broadcast
//! from a copy of the batch in the order that the loop reads. All planes have one scale there, so a token has one int16
//! sum, where decode, which leaves planes in place, needs one for each kind. Rows go through in chunks whose codes stay
//! in the second-level cache, see [`crate::x86_64::tiles`].
//!
//! Per 64 weights and token: 2 broadcast loads, 2 `maddubs`, 2 additions; beside them, shared by the 8 tokens, 1/2 load
//! of codes, 1.5 shifts, 2 `and`; a `madd` and an addition every 20. 4.5 vector operations in place of the 7 of decode.
//! 2.0 bits a weight. There is no cheaper sum of int8 products in AVX2: `maddubs` adds pairs only, and the addition to
//! the sum is an instruction of its own.
//!
//! The shape of the loop, an outer product of rows and tokens kept in registers, is that of every gemm since GotoBLAS.
//!
//! # Exact: no int16 can overflow
//! A byte of a plane is a code, at most 3 (2 where code 3 does not occur), so that a `maddubs` gives at most
//! 2 * 3 * 128 = 768 in magnitude. A token's sum takes four of them a step and is widened every [`STEPS_PER_FLUSH`] =
//! 10 steps: within 30,720, below 32,767, even for code 3.
//!
//! # What the compiler makes of it
//! Eight sums, two planes, the codes, the mask, the ones and two int32 totals fill the 16 registers; the loop of steps
//! has no spill and no move, the other totals live on the stack between widenings. Each product is `vpbroadcastd`,
//! `vpmaddubsw`, `vpaddw`, in this order. The barrier keeps LLVM from computing all planes first (3% slower for 8
//! tokens).
//!
//! On Zen 5, in L2, 8 tokens run at 44 to 47 products a cycle where decode, token by token, runs at 33. Independent
//! triples of those three instructions start every 0.567 cycles there, which bounds the loop at 56. Two panels by four
//! tokens, half the broadcasts, were slower (37), and so were four `maddubs` kept before four additions (41) and 10 or
//! 12 tokens (44, 40).

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

/// Steps of 16 k between two widenings, see the module's proof.
const STEPS_PER_FLUSH: usize = 10;
const LARGEST_CODE: usize = 3;
const _: () = assert!(STEPS_PER_FLUSH * 4 * 2 * LARGEST_CODE * 128 <= i16::MAX as usize);

const fn tiles<const TWO_LEVELS: bool>() -> [Tile; 8] {
    [
        (8, tile::<8, TWO_LEVELS>),
        (7, tile::<7, TWO_LEVELS>),
        (6, tile::<6, TWO_LEVELS>),
        (5, tile::<5, TWO_LEVELS>),
        (4, tile::<4, TWO_LEVELS>),
        (3, tile::<3, TWO_LEVELS>),
        (2, tile::<2, TWO_LEVELS>),
        (1, tile::<1, TWO_LEVELS>),
    ]
}

/// Products of all panels with all tokens.
#[target_feature(enable = "avx2")]
pub(super) fn gemm(args: GemmI8<'_, '_>) {
    with_prefetch!(args.prefetch, batch(args));
}

#[target_feature(enable = "avx2")]
fn batch<const TWO_LEVELS: bool>(args: GemmI8<'_, '_>) {
    at_cache_line!();
    // SAFETY: this function enables the features that the tiles enable.
    unsafe { tiles::gemm(args, Plan { panel_rows: 8, planes: 4, tiles: &const { tiles::<TWO_LEVELS>() }, pairs: &[] }) }
}

#[target_feature(enable = "avx2")]
fn tile<const T: usize, const TWO_LEVELS: bool>(panel: &[u8], x: &[i32], target: Target<'_>, y: &mut Columns<'_, i32>) {
    at_cache_line!();
    let (mask, ones) = (_mm256_set1_epi8(3), _mm256_set1_epi16(1));
    let mut totals = [_mm256_setzero_si256(); T];
    let (mut steps, mut steps_x) = (panel.as_chunks::<32>().0, x.as_chunks::<T>().0.as_chunks::<4>().0);
    while !steps.is_empty() {
        let count = steps.len().min(STEPS_PER_FLUSH);
        let (now, later) = steps.split_at(count);
        let (now_x, later_x) = steps_x.split_at(count);
        (steps, steps_x) = (later, later_x);
        let mut sums = [_mm256_setzero_si256(); T];
        for (step, x) in now.iter().zip(now_x) {
            // Half a line: each is asked for twice, which costs less here than telling the halves apart.
            ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
            // SAFETY: a step has 32 bytes; the load needs no alignment.
            let mut codes = unsafe { _mm256_loadu_si256(step.as_ptr().cast()) };
            for p in [0, 2] {
                let even = _mm256_and_si256(codes, mask);
                codes = _mm256_srli_epi16::<2>(codes);
                let odd = _mm256_and_si256(codes, mask);
                codes = _mm256_srli_epi16::<2>(codes);
                for t in 0..T {
                    for (plane, x) in [(even, &x[p]), (odd, &x[p + 1])] {
                        let products = _mm256_maddubs_epi16(plane, _mm256_set1_epi32(x[t]));
                        sums[t] = _mm256_add_epi16(sums[t], products);
                    }
                }
                together!(ymm_reg: codes);
            }
        }
        for t in 0..T {
            totals[t] = _mm256_add_epi32(totals[t], _mm256_madd_epi16(sums[t], ones));
        }
    }
    for (t, (sum, x)) in totals.into_iter().zip(target.x).enumerate() {
        let exact = _mm256_sub_epi32(sum, _mm256_set1_epi32(x.sum()));
        store(&mut y.token(target.first + t)[target.row..target.row + target.rows], exact);
    }
}

#[cfg(test)]
#[test]
fn the_largest_int16_sums_are_exact() {
    crate::testing::check_largest_sums(&super::DESCRIPTOR, 16 * (STEPS_PER_FLUSH * 3 + 5), &[[-128; 2], [127; 2]]);
}
