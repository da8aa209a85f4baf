//! The second tile of [`super::gemm`], for units of 32, which end every eight lines: two units of a plane side by side.
//!
//! What a unit ends with, a conversion and a fused multiply-add a token, is a quarter of its products, so the sums of
//! f32 that it goes to must be in registers; in memory they cost as much again. One panel and [`TOKENS`] tokens have a
//! chain each and two sums of integers, of two units whose products do not wait for each other.
//!
//! Beside 256 products of 8 tokens with a group of 128 that is 32 `and`, 64 conversions and fused multiply-adds of
//! units, and 8 of the group; `avx512-vnni` has 19 `and` and shifts beside as many. On an Intel Xeon (family 6 model
//! 207) all of these take the same two ports, so 0.76 of its speed is all that a loop of them can reach. There,
//! 2026-12-01, 6912 x 2560 times 128 tokens, one thread, groups of 128: 0.764 [0.747, 0.768] of it in the same rounds
//! (`group_ratios`, 21, 95% interval), where the tile of 12 tokens is at 0.71 to 0.74; of 256 0.752, of 64 0.698, which
//! end twice as often. Not timed on another CPU.

use super::lines::{Line, PREFETCH_BYTES, broadcast, nothing, scale};
use crate::layouts::planes16::{LINE, SCALE_BYTES, super_bytes, super_k};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::ahead;
use crate::w2ga8::group_starts::FLUSH;
use crate::w2ga8::group_tiles::{Batch, Panel, Shape};
use crate::x86_64::lanes::based;
use crate::x86_64::panel_rows::store_16_f32 as store;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Tokens of the widest tile.
pub(super) const TOKENS: usize = 8;

/// Weights of a row in two units, and their lines.
const PAIR: usize = 64;
const LINES: usize = 2 * FLUSH;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn tile<const T: usize, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    at_cache_line!();
    let Shape { k, group, .. } = panel.shape;
    let (whole, each) = (super_k(group), group / PAIR);
    // Not known to the compiler: it would unroll the loop over the lines of a unit, and registers would not suffice.
    let flush = black_box(FLUSH);
    let x = batch.x.as_chunks::<T>().0.as_chunks::<LINES>().0;
    let starts = batch.starts.as_chunks::<T>().0.as_chunks::<2>().0;
    let factors = batch.factors.as_chunks::<T>().0.as_chunks::<2>().0;
    let mut units = x.iter().zip(starts).zip(factors);
    let mut rows = [_mm512_setzero_ps(); T];
    for (bytes, from) in panel.bytes.chunks(super_bytes(whole, group)).zip((0..k).step_by(whole)) {
        let (lines, scales) = bytes.split_at(whole.min(k - from) / 16 * LINE);
        let lines = lines.as_chunks::<LINE>().0.as_chunks::<LINES>().0;
        let mut scales = scales.as_chunks::<SCALE_BYTES>().0.iter();
        let (mut chains, mut left) = ([nothing(); T], each);
        for mask in MASKS {
            let mask = _mm512_set1_epi8(mask.cast_signed());
            for lines in lines {
                let Some(((x, starts), factors)) = units.next() else { return };
                let mut sums = [broadcast(&starts[0]), broadcast(&starts[1])];
                add_pair::<T, TWO_LEVELS>(&mut sums, lines, x, mask, flush);
                for (sums, factors) in sums.iter().zip(factors) {
                    for t in 0..T {
                        chains[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), _mm512_set1_ps(factors[t]), chains[t]);
                    }
                }
                left -= 1;
                if left == 0 {
                    let Some(scales) = scales.next() else { return };
                    let weights = scale(scales);
                    for t in 0..T {
                        rows[t] = _mm512_fmadd_ps(chains[t], weights, rows[t]);
                    }
                    (chains, left) = ([nothing(); T], each);
                }
            }
        }
    }
    for (t, rows) in rows.into_iter().enumerate() {
        store(&mut y.token(batch.first + t)[panel.row..panel.row + panel.rows], rows);
    }
}

/// Where each plane lies in a byte.
const MASKS: [u8; 4] = [0x03, 0x0C, 0x30, 0xC0];

/// Adds a plane of two units, 4^p times too large, times their activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_pair<const T: usize, const TWO_LEVELS: bool>(
    sums: &mut [[__m512i; T]; 2],
    lines: &[Line; LINES],
    x: &[[i32; T]; LINES],
    mask: __m512i,
    flush: usize,
) {
    let ((first, second), (x0, x1)) = (lines.split_at(flush), x.split_at(flush));
    for (((a, b), x0), x1) in first.iter().zip(second).zip(x0).zip(x1) {
        ahead::<TWO_LEVELS>(a.as_ptr(), PREFETCH_BYTES);
        ahead::<TWO_LEVELS>(b.as_ptr(), PREFETCH_BYTES);
        // SAFETY: lines have 64 bytes; the loads need no alignment.
        let (a, b) = unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
        let (a, b) = (_mm512_and_si512(a, mask), _mm512_and_si512(b, mask));
        let (x0, x1) = (based(x0), based(x1));
        for t in 0..T {
            sums[0][t] = _mm512_dpbusd_epi32(sums[0][t], a, _mm512_set1_epi32(x0[t]));
        }
        for t in 0..T {
            sums[1][t] = _mm512_dpbusd_epi32(sums[1][t], b, _mm512_set1_epi32(x1[t]));
        }
    }
}
