//! W2A8 prefill by lookup on AVX-512 BW: tables of the 27 sums that three activations can make, read for 32 rows at
//! once by one `vpermw`. No multiplication in the inner loop, and no VNNI.
//!
//! A token's activations, three at a time, become a table of 27 int16 in one register: lane c holds the sum for the
//! c-th combination of three weights -1, 0, +1. Three such indices lie in a 16-bit lane of `lut16x128`, and `vpermw`
//! ignores the bits above its own five, so that a permute and an addition are 96 products. A tile is 128 rows by 4
//! tokens. Tables of 28 blocks (252 k) for 4 tokens take 21 KiB and stay in the first-level cache while all rows pass;
//! then come the next 28. Weights are never expanded.
//!
//! Per 64 weights and token: 2/3 `vpermw`, 2/3 `vpaddw`, 1/6 load of a table; beside them, shared by the 4 tokens, 2/9
//! load of indices and 4/9 shifts; widening adds 0.04 operations. 1.778 bits a weight. A table costs two broadcasts,
//! two `maddubs`, an addition and a store, once for all rows: measured, as much as its use for about 110 rows, so a few
//! rows are slow.
//!
//! `gemv` is the same code with a tile of one token, for which the tables are built all the same: slow for few rows.
//! For many rows from memory it is faster than `avx512-vnni` (98304 x 2560, one thread: 40 to 42 products a cycle
//! against 37 to 39), because 1.778 bits are fewer than 2; `avx512-vnni-trit5` has fewer bits still.
//!
//! From the prototypes of this project. That sums of activations can be looked up in place of products is T-MAC's idea,
//! and bitnet.cpp's TL1 and TL2 use it for groups of ternary weights.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 2.67 instructions, 2.17 of them vector, 0.39 memory reads.
//! That is `gemv`, one token: the list above with nothing shared, 4 prefetches a block, and the loop. The tables come
//! on top: at 128 rows they are about as many instructions again.
//!
//! # Exact
//! An entry is a sum of three activations with signs: at most 3 * 128 = 384 in magnitude (-128 is an int8, so 3 * 127
//! would not do). A block adds three entries to a lane, and lanes are widened every [`BLOCKS_PER_FLUSH`] = 28 blocks:
//! within 28 * 3 * 384 = 32,256, below 32,767. In int32, |sum| <= 128 * k. The tables themselves: `maddubs` takes
//! activations as unsigned, 128 too large (at most 255), and adds two of them with weights of magnitude 1: within 510;
//! the second adds one and 128 times a correction of magnitude 3: within 639. Their sum is the entry, without
//! saturation anywhere.
//!
//! # What the compiler makes of it
//! For 4 tokens: 16 sums, 4 registers of indices, 4 of looked up values and a table. No spill and no move in the loop
//! of blocks: 4 loads of indices, 12 of tables, 48 `vpermw`, 48 `vpaddw`, 8 shifts, 4 prefetches. `together!` keeps
//! four permutes before their four additions, which matters on Zen 4 (alternated 1.25 cycles a pair, grouped 1.00,
//! measured with the prototype) and makes no difference on Zen 5. Widening with a check for the last rows every 16
//! lanes cost 5 products a cycle, masked stores or not: so full panels have straight code, and rows that are fewer go
//! through a buffer.
//!
//! # Measured
//! On Zen 5, which starts two `vpermw` and four `vpaddw` a cycle, 192 products; a block's instructions alone, in a loop
//! without anything else, reach 152. Products a cycle of one thread, beside the gemm of `avx512-vnni`, whose ceiling is
//! 128, in the same process: 6912 x 2560: 118 to 132 against 103 to 118 for 4, 24 and 128 tokens, 1.05 to 1.2 times as
//! fast. 384 x 2560: 102 to 106 against 97 to 107, no difference. 128 x 2560: 72 against 77 to 80, slower. One token:
//! 95 for 6912 rows.
//!
//! On Zen 4, which starts one `vpermw` and one 512-bit dot product (64 products) a cycle, the prototype of this loop
//! reached 72 to 73. This code has not been run there.
//!
//! Each group of four tokens reads all codes again: they should fit the last-level cache, as matrices of models do.
//! Fetching the same block of the next panel is what makes memory bearable, because a sweep reads 7 KiB of a panel and
//! goes on to the next: from memory (98304 x 2560, 4 tokens) it is 113 products a cycle with it and 36 without.

use crate::K_SLACK;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemmI8, GemvI8, KernelDescriptor};
use crate::layouts::lut16;
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::x86_64::lanes::together;
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx512-lut16",
    isa: "avx512",
    requires: CpuFeatures::AVX512F.with(CpuFeatures::AVX512BW),
    multiply: Some("vpermw-zmm"),
    tile: (ROWS, TOKENS),
    gemm: Some(Gemm::I8(gemm)),
    tables_per_call: true,
    builds_on: Some("avx512-vnni"),
    summary: "for prefill: tables of the 27 sums of three activations, looked up for 32 rows by one vpermw; no \
              multiplication, no VNNI",
    ..KernelDescriptor::w2a8(&lut16::LAYOUT, gemv)
};

/// Rows of a panel: four registers of 16-bit lanes.
const ROWS: usize = 128;
/// Bytes of a block: nine k of a panel's rows.
const BLOCK_BYTES: usize = 2 * ROWS;
/// Tokens of a tile: 4 x 4 sums, 4 registers of indices, 4 of looked up values and a table fill 25 of the 32 registers.
/// By that count, not swept.
const TOKENS: usize = 4;
/// Blocks of nine k between two widenings, see the module's proof. Tables of so many, for four tokens, take 21 KiB:
/// they stay in the first-level cache while the rows pass.
const BLOCKS_PER_FLUSH: usize = 28;
const LARGEST_TABLE_ENTRY: usize = 3 * 128;
const _: () = assert!(BLOCKS_PER_FLUSH * 3 * LARGEST_TABLE_ENTRY <= i16::MAX as usize);

/// The last block may end 8 beyond k, the last twelve activations 9 beyond that, and they are loaded as sixteen.
const _: () = assert!(K_SLACK >= 8 + 9 + 4);

/// Tables of one block: for each of its three groups of three k, one a token.
type Tables<const T: usize> = [[__m512i; T]; 3];

#[target_feature(enable = "avx512f,avx512bw")]
fn gemv(args: GemvI8<'_>) {
    at_cache_line!();
    let rows = args.y.len();
    tile([args.x], args.codes, args.panel_bytes, 0, &mut Columns::all(args.y, 1, rows));
}

#[target_feature(enable = "avx512f,avx512bw")]
fn gemm(args: GemmI8<'_, '_>) {
    at_cache_line!();
    let mut first = 0;
    for x in args.x.chunks(TOKENS) {
        let (codes, bytes) = (args.codes, args.panel_bytes);
        match x {
            [a, b, c, d] => tile([a, b, c, d].map(|x| x.padded()), codes, bytes, first, args.y),
            [a, b, c] => tile([a, b, c].map(|x| x.padded()), codes, bytes, first, args.y),
            [a, b] => tile([a, b].map(|x| x.padded()), codes, bytes, first, args.y),
            [a] => tile([a.padded()], codes, bytes, first, args.y),
            _ => {}
        }
        first += TOKENS;
    }
}

/// All rows times `T` tokens, of which `first` is the number of the first.
#[target_feature(enable = "avx512f,avx512bw")]
fn tile<const T: usize>(x: [&[i8]; T], codes: &[u8], panel_bytes: usize, first: usize, y: &mut Columns<'_, i32>) {
    at_cache_line!();
    let blocks = panel_bytes / BLOCK_BYTES;
    let mut tables = [[[_mm512_setzero_si512(); T]; 3]; BLOCKS_PER_FLUSH];
    let mut groups = [[[[0; 2]; 4]; 3 * BLOCKS_PER_FLUSH / 4]; T];
    for start in (0..blocks).step_by(BLOCKS_PER_FLUSH) {
        let tables = &mut tables[..(blocks - start).min(BLOCKS_PER_FLUSH)];
        for (groups, x) in groups.iter_mut().zip(x) {
            let needed = (3 * tables.len()).div_ceil(4);
            let x = x[9 * start..].windows(16).step_by(12);
            groups.iter_mut().take(needed).zip(x).for_each(|(groups, x)| *groups = four_groups(x));
        }
        for (g, tables) in tables.as_flattened_mut().iter_mut().enumerate() {
            for (table, groups) in tables.iter_mut().zip(&groups) {
                *table = sums_of_three(groups.as_flattened()[g]);
            }
        }
        for (p, panel) in codes.chunks_exact(panel_bytes).enumerate() {
            let blocks = &panel.as_chunks::<BLOCK_BYTES>().0[start..start + tables.len()];
            let sums = look_up(blocks, tables, panel_bytes);
            for (t, sums) in sums.into_iter().enumerate() {
                let y = &mut y.token(first + t)[p * ROWS..];
                if let Some(y) = y.first_chunk_mut() {
                    add(y, sums, start == 0);
                } else {
                    let mut buffer = [0; ROWS];
                    buffer[..y.len()].copy_from_slice(y);
                    add(&mut buffer, sums, start == 0);
                    y.copy_from_slice(&buffer[..y.len()]);
                }
            }
        }
    }
}

/// int16 sums of 128 rows and `T` tokens over at most [`BLOCKS_PER_FLUSH`] blocks, while those of the next panel are
/// fetched.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn look_up<const T: usize>(
    blocks: &[[u8; BLOCK_BYTES]],
    tables: &[Tables<T>],
    panel_bytes: usize,
) -> [[__m512i; 4]; T] {
    let mut sums = [[_mm512_setzero_si512(); 4]; T];
    for (block, tables) in blocks.iter().zip(tables) {
        let mut indices = [_mm512_setzero_si512(); 4];
        for (r, indices) in indices.iter_mut().enumerate() {
            let line: &[u8] = &block[64 * r..64 * r + 64];
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(panel_bytes).cast());
            // SAFETY: the line has 64 bytes; the load needs no alignment.
            *indices = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
        }
        for (g, tables) in tables.iter().enumerate() {
            for t in 0..T {
                let mut v0 = _mm512_permutexvar_epi16(indices[0], tables[t]);
                let mut v1 = _mm512_permutexvar_epi16(indices[1], tables[t]);
                let mut v2 = _mm512_permutexvar_epi16(indices[2], tables[t]);
                let mut v3 = _mm512_permutexvar_epi16(indices[3], tables[t]);
                together!(zmm_reg: v0, v1, v2, v3);
                sums[t][0] = _mm512_add_epi16(sums[t][0], v0);
                sums[t][1] = _mm512_add_epi16(sums[t][1], v1);
                sums[t][2] = _mm512_add_epi16(sums[t][2], v2);
                sums[t][3] = _mm512_add_epi16(sums[t][3], v3);
            }
            if g < 2 {
                indices = indices.map(|i| _mm512_srli_epi16::<5>(i));
            }
        }
    }
    sums
}

/// Twelve of sixteen activations, by threes: two 16-bit words of two bytes, the activations 128 too large and 128.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn four_groups(x: &[i8]) -> [[i16; 2]; 4] {
    let mut groups = [[0; 2]; 4];
    let x: &[i8] = &x[..16];
    let by_threes = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    // SAFETY: 16 bytes are read and 16 written, without alignment.
    unsafe {
        let x = _mm_shuffle_epi8(_mm_loadu_si128(x.as_ptr().cast()), by_threes);
        _mm_storeu_si128(groups.as_mut_ptr().cast(), _mm_xor_si128(x, _mm_set1_epi8(-128)));
    }
    groups
}

/// The table of a group: lane c0 + 3 c1 + 9 c2 holds (c0 - 1) x0 + (c1 - 1) x1 + (c2 - 1) x2.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn sums_of_three([first_two, third_and_bias]: [i16; 2]) -> __m512i {
    // SAFETY: 64 bytes each, loaded without alignment.
    let (w01, w2) =
        unsafe { (_mm512_loadu_si512(WEIGHTS[0].as_ptr().cast()), _mm512_loadu_si512(WEIGHTS[1].as_ptr().cast())) };
    let sum = _mm512_maddubs_epi16(_mm512_set1_epi16(first_two), w01);
    _mm512_add_epi16(sum, _mm512_maddubs_epi16(_mm512_set1_epi16(third_and_bias), w2))
}

/// For each lane, the weights of the first two activations, and of the third one and of the bias: `maddubs` takes
/// activations as unsigned, 128 too large, and 128 times minus the sum of the weights makes up for that.
static WEIGHTS: [[i8; 64]; 2] = {
    let mut weights = [[0; 64]; 2];
    let mut c = 0;
    while c < 27 {
        let w = [c % 3 - 1, c / 3 % 3 - 1, c / 9 - 1];
        weights[0][2 * c as usize] = w[0];
        weights[0][2 * c as usize + 1] = w[1];
        weights[1][2 * c as usize] = w[2];
        weights[1][2 * c as usize + 1] = -(w[0] + w[1] + w[2]);
        c += 1;
    }
    weights
};

/// Adds the sums of 128 rows to those of the blocks before, if there were any.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(y: &mut [i32; ROWS], sums: [__m512i; 4], first: bool) {
    for (sum, y) in sums.into_iter().zip(y.as_chunks_mut::<32>().0) {
        let low = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(sum));
        let high = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64::<1>(sum));
        for (sum, y) in [low, high].into_iter().zip(y.as_chunks_mut::<16>().0) {
            // SAFETY: a chunk has 16 int32; neither the load nor the store needs alignment.
            unsafe {
                let before = if first { _mm512_setzero_si512() } else { _mm512_loadu_si512(y.as_ptr().cast()) };
                _mm512_storeu_si512(y.as_mut_ptr().cast(), _mm512_add_epi32(before, sum));
            }
        }
    }
}

#[cfg(test)]
#[test]
fn the_largest_int16_sums_are_exact() {
    crate::testing::check_largest_sums(&DESCRIPTOR, 9 * BLOCKS_PER_FLUSH * 2 + 5, &[[-128; 2], [127; 2]]);
}
