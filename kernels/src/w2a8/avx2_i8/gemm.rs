//! The batches of `avx2-i8`: rows of the published layout times up to four tokens, so that a mapped file is multiplied
//! with a prompt where it lies.
//!
//! A block of codes is brought down once (3 shifts, 4 masks) and each plane meets every token: 4 `maddubs`, whose
//! activations come from memory as they are, and 4 additions a token. Four tokens have four int16 and four int32 sums;
//! more would not fit the sixteen registers.
//!
//! Rows go through in chunks whose codes stay in the second-level cache while all tokens pass over them.
//!
//! Exact: as in `avx2-i8`, int16 sums are widened every [`BLOCKS_PER_FLUSH`] blocks.

use super::products::{BLOCKS_PER_FLUSH, products};
use crate::activation::QuantizedActivations;
use crate::descriptor::GemmI8;
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::x86_64::lanes::{prefetch, sum_i32};
use crate::x86_64::tiles::{CHUNK_BYTES, split};
use std::arch::x86_64::*;

/// How far ahead of the loads codes are asked for: that of the tiles of `avx2-i8-tile8`.
const PREFETCH_BYTES: usize = 8192;

/// A row of codes, the tokens of the tile, the first one's number in the batch, the row's in the output, output.
type TileFn = unsafe fn(&[u8], &[QuantizedActivations], (usize, usize), &mut Columns<'_, i32>);

const TILES: [(usize, TileFn); 4] = [(4, tile::<4>), (3, tile::<3>), (2, tile::<2>), (1, tile::<1>)];

/// Products of all rows with all tokens.
#[target_feature(enable = "avx2")]
pub(super) fn gemm(args: GemmI8<'_, '_>) {
    let rows_a_chunk = (CHUNK_BYTES / args.panel_bytes).max(1);
    for (c, chunk) in args.codes.chunks(rows_a_chunk * args.panel_bytes).enumerate() {
        for (first, count, tile) in split(args.x.len(), &TILES) {
            for (r, codes) in chunk.chunks_exact(args.panel_bytes).enumerate() {
                let x = &args.x[first..first + count];
                // SAFETY: this function enables the feature that tiles enable.
                unsafe { tile(codes, x, (first, c * rows_a_chunk + r), args.y) };
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn tile<const T: usize>(
    codes: &[u8],
    x: &[QuantizedActivations],
    (first, row): (usize, usize),
    y: &mut Columns<'_, i32>,
) {
    at_cache_line!();
    let Some(x) = x.as_array::<T>() else { unreachable!("`split` gives a tile as many tokens as it is for") };
    let blocks = codes.as_chunks::<32>().0;
    let mut blocks_x: [&[[i8; 128]]; T] = [&[]; T];
    for (blocks_x, x) in blocks_x.iter_mut().zip(x) {
        *blocks_x = &x.padded().as_chunks::<128>().0[..blocks.len()];
    }
    let (mask, ones) = (_mm256_set1_epi8(3), _mm256_set1_epi16(1));
    let mut sums = [_mm256_setzero_si256(); T];
    for (f, flush) in blocks.chunks(BLOCKS_PER_FLUSH).enumerate() {
        let mut lanes = [_mm256_setzero_si256(); T];
        for (b, block) in (f * BLOCKS_PER_FLUSH..).zip(flush) {
            prefetch(block.as_ptr(), PREFETCH_BYTES);
            // SAFETY: a block has 32 bytes; the load needs no alignment.
            let codes = unsafe { _mm256_loadu_si256(block.as_ptr().cast()) };
            let planes = [
                _mm256_and_si256(_mm256_srli_epi16(codes, 6), mask),
                _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask),
                _mm256_and_si256(_mm256_srli_epi16(codes, 2), mask),
                _mm256_and_si256(codes, mask),
            ];
            for (p, plane) in planes.into_iter().enumerate() {
                for (lanes, x) in lanes.iter_mut().zip(&blocks_x) {
                    *lanes = _mm256_add_epi16(*lanes, products(plane, &x[b], 32 * p));
                }
            }
        }
        for (sum, lanes) in sums.iter_mut().zip(lanes) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(lanes, ones));
        }
    }
    for (t, (sum, x)) in sums.into_iter().zip(x).enumerate() {
        y.token(first + t)[row] = sum_i32(sum) - x.sum();
    }
}
