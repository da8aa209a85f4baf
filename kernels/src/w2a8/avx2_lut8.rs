//! W2A8 by lookup on AVX2: tables of the nine sums that a pair of activations can make, split into two bytes so that
//! `pshufb` reads them for 32 rows at once and bytes are added, not 16-bit words. No multiplication in the loop.
//!
//! A sum of two activations with signs needs nine bits. It is written 24 h + r with the nearest h: |h| <= 11 and |r| <=
//! 12, two tables of bytes. Ten of each can be added in a byte; then `unpack` puts r and h of a row side by side and
//! one `maddubs` with (1, 24) makes the sums of int16 again. So an addition serves 32 rows where after `maddubs` it
//! serves 16.
//!
//! Per 64 weights: 1/2 load of indices, 1/2 shift, 1/2 `and` (see [`crate::layouts::lut8`]: the first pair of a
//! byte needs neither), 2 `pshufb`, 2 additions of bytes, 1 load of tables (2, shared by two registers of rows), and
//! every ten lookups of 32 rows 2 `unpack`, 2 `maddubs` and 2 additions of int16: 5.6 operations where
//! [`super::avx2_i8_tile8`] has 6.9 and [`super::avx2_i8`] 7.6. 2.0 bits a weight. Tables of four activations take 64
//! bytes and about as long as 230 weights, once a call and token: few rows are slow.
//!
//! From the idea of T-MAC and of bitnet.cpp's TL1 and TL2, to look sums up in place of products. Those make int16 of
//! every lookup (two more `unpack` and 16-bit additions) or round tables to int8; the split into a quotient and a
//! remainder with sums of ten in bytes, and the index without a mask by the zeroing bit, are this project's.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 7.70 instructions, 7.10 of them vector, 1.65 memory reads.
//! 1.0 of the reads are of tables by `vbroadcasti128`, which needs no arithmetic port.
//!
//! # Exact
//! |sum of a pair| <= 2 * 128. h is `mulhrs` by 1365 / 32768, which is 1 / 24 rounded to nearest for all of these (a
//! test tries each).
//! Ten lookups: |r| within 120 and |h| within 110, both int8. 24 h + r: within 2,760, no saturation. In int16, a step
//! of four k adds at most 512 and lanes are widened after [`STEPS_PER_WIDENING`] = 60 steps: 30,720, below 32,767.
//!
//! # What the compiler makes of it
//! Left alone, LLVM adds the lookups of five steps in pairs first, keeps all of their indices and tables alive for
//! that, and spills: 117 Gw/s where 155 were to be had. `together!` after each step leaves one spilled register in a
//! group of steps. Closures over vectors are not inlined into a function with a target feature when an array method
//! calls them: there are none here.
//!
//! # Measured
//! On Zen 5, one thread, in one process: 1.23 to 1.26 times [`super::avx2_i8`] and 1.13 to 1.17 times
//! [`super::avx2_i8_tile8`] for 6912 x 2560 in the last-level cache (155 Gw/s); 256 rows: as fast as `avx2-i8`, for the
//! tables. From memory 1.27 times `avx2-i8`. It is bound by its operations, of which about 3.6 start a cycle; replacing
//! the shift by a multiplication, to spare the shuffle ports, or loading tables twice as wide changed nothing. Two
//! tokens share the indices in `gemm`, which is 0.87 times that of `avx2-i8-tile8`: there indices and masks are shared
//! by eight.

use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemmI8, GemvI8, KernelDescriptor};
use crate::layouts::lut8;
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::x86_64::lanes::together;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::ops::Range;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-lut8",
    isa: "avx2",
    requires: CpuFeatures::AVX2,
    multiply: Some("pshufb-ymm"),
    tile: (ROWS, TOKENS),
    gemm: Some(Gemm::I8(gemm)),
    tables_per_call: true,
    builds_on: Some("avx2-i8-tile8"),
    summary: "tables of the nine sums of two activations, each in two bytes, looked up for 32 rows by pshufb and \
              added as bytes",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2a8(&lut8::LAYOUT, gemv)
};

/// Rows of a panel: two registers of bytes.
const ROWS: usize = 64;
/// Tokens of a tile: 2 x 4 sums of bytes, 4 registers of indices, a mask, a table and what was looked up are 16
/// registers. By that count, not swept.
const TOKENS: usize = 2;
/// Steps of four k, two lookups each, between two widenings to int16.
const STEPS_PER_FLUSH: usize = 5;
/// Steps between two widenings to int32.
const STEPS_PER_WIDENING: usize = 12 * STEPS_PER_FLUSH;
/// What h counts.
const UNIT: i16 = 24;
const LARGEST_PAIR: usize = 2 * 128;
const _: () = assert!(2 * STEPS_PER_FLUSH * (UNIT as usize / 2) <= i8::MAX as usize);
const _: () = assert!(2 * STEPS_PER_FLUSH * (LARGEST_PAIR / UNIT as usize + 1) <= i8::MAX as usize);
const _: () = assert!(STEPS_PER_WIDENING * 2 * LARGEST_PAIR <= i16::MAX as usize);

/// How far ahead of the loads codes are fetched into the cache.
///
/// Swept on Zen 5 with `ci/sweep-constants.py w2a8` (40 copies of 6912 x 2560, 177 MB at 2 bits), share of a plain read
/// of the same bytes in the same rounds at one thread and at two: 256 B 0.37 and 0.60, 1024 B 0.40 and 0.66, 2048 B
/// 0.50 and 0.78, 4096 B 0.66 and 0.90, 8192 B 0.81 and 0.94, 12288 B 0.87 and 0.93, 16384 B 0.87 and 0.94, 24576 B
/// 0.87 and 0.95, 32768 B 0.92 and 0.91. Far, because the tables (40 KiB at k = 2560) take the first-level cache, and
/// what is fetched waits in the second.
const PREFETCH_BYTES: usize = 16384;

/// Tables of four activations: r of the first pair, r of the second, h of the first, h of the second.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Tables([[i8; 16]; 4]);

thread_local! {
    /// Tables of a call, kept so that a thread asks for memory once.
    static TABLES: Cell<Vec<Tables>> = const { Cell::new(Vec::new()) };
}

#[target_feature(enable = "avx2")]
fn gemv(args: GemvI8<'_>) {
    with_prefetch!(args.prefetch, rows(args));
}

#[target_feature(enable = "avx2")]
fn rows<const TWO_LEVELS: bool>(args: GemvI8<'_>) {
    at_cache_line!();
    let steps = args.panel_bytes / ROWS;
    let mut tables = TABLES.take();
    make_tables(&mut tables, [args.x], steps);
    for (y, panel) in args.y.chunks_mut(ROWS).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let [sums] = look_up::<TWO_LEVELS, _>(panel.as_chunks().0, [&tables[..steps]]);
        store(y, sums);
    }
    TABLES.set(tables);
}

#[target_feature(enable = "avx2")]
fn gemm(args: GemmI8<'_, '_>) {
    with_prefetch!(args.prefetch, batch(args));
}

#[target_feature(enable = "avx2")]
fn batch<const TWO_LEVELS: bool>(args: GemmI8<'_, '_>) {
    at_cache_line!();
    let steps = args.panel_bytes / ROWS;
    let mut tables = TABLES.take();
    for (i, x) in args.x.chunks(TOKENS).enumerate() {
        let first = i * TOKENS;
        match x {
            [a, b] => {
                make_tables(&mut tables, [a.padded(), b.padded()], steps);
                let tables = tables[..2 * steps].split_at(steps);
                for (p, panel) in args.codes.chunks_exact(args.panel_bytes).enumerate() {
                    let [of_a, of_b] = look_up::<TWO_LEVELS, _>(panel.as_chunks().0, [tables.0, tables.1]);
                    store(rows_of_panel(args.y.token(first), p), of_a);
                    store(rows_of_panel(args.y.token(first + 1), p), of_b);
                }
            }
            [a] => {
                make_tables(&mut tables, [a.padded()], steps);
                for (p, panel) in args.codes.chunks_exact(args.panel_bytes).enumerate() {
                    let [sums] = look_up::<TWO_LEVELS, _>(panel.as_chunks().0, [&tables[..steps]]);
                    store(rows_of_panel(args.y.token(first), p), sums);
                }
            }
            _ => {}
        }
    }
    TABLES.set(tables);
}

fn rows_of_panel(y: &mut [i32], panel: usize) -> &mut [i32] {
    let y = &mut y[panel * ROWS..];
    let rows = y.len().min(ROWS);
    &mut y[..rows]
}

/// int32 sums of the rows of a panel for `T` tokens, in the order of [`store`].
#[inline]
#[target_feature(enable = "avx2")]
fn look_up<const TWO_LEVELS: bool, const T: usize>(panel: &[[u8; ROWS]], tables: [&[Tables]; T]) -> [[__m256i; 8]; T] {
    at_cache_line!();
    let mut sums = [[_mm256_setzero_si256(); 8]; T];
    for start in (0..panel.len()).step_by(STEPS_PER_WIDENING) {
        let end = (start + STEPS_PER_WIDENING).min(panel.len());
        let mut words = [[_mm256_setzero_si256(); 4]; T];
        let (groups, rest) = panel[start..end].as_chunks::<STEPS_PER_FLUSH>();
        for (i, group) in groups.iter().enumerate() {
            let start = start + i * STEPS_PER_FLUSH;
            add_steps::<TWO_LEVELS, _>(&mut words, group, part(tables, start..start + STEPS_PER_FLUSH));
        }
        if !rest.is_empty() {
            add_steps::<TWO_LEVELS, _>(&mut words, rest, part(tables, end - rest.len()..end));
        }
        for (sums, words) in sums.iter_mut().zip(words) {
            for ([low, high], words) in sums.as_chunks_mut::<2>().0.iter_mut().zip(words) {
                *low = _mm256_add_epi32(*low, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(words)));
                *high = _mm256_add_epi32(*high, _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(words)));
            }
        }
    }
    sums
}

fn part<const T: usize>(tables: [&[Tables]; T], steps: Range<usize>) -> [&[Tables]; T] {
    tables.map(|tables| &tables[steps.clone()])
}

/// Adds at most [`STEPS_PER_FLUSH`] steps. Inlined twice: with a length that is a constant, hence unrolled, and for
/// what is left.
#[inline]
#[target_feature(enable = "avx2")]
fn add_steps<const TWO_LEVELS: bool, const T: usize>(
    words: &mut [[__m256i; 4]; T],
    steps: &[[u8; ROWS]],
    tables: [&[Tables]; T],
) {
    let mask = _mm256_set1_epi8(15);
    // For each token: sums of r and of h, each for 2 x 32 rows.
    let mut sums = [[_mm256_setzero_si256(); 4]; T];
    for (i, step) in steps.iter().enumerate() {
        ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
        let (low, high) = step.split_at(32);
        // SAFETY: both have 32 bytes; the loads need no alignment.
        let first = unsafe { [_mm256_loadu_si256(low.as_ptr().cast()), _mm256_loadu_si256(high.as_ptr().cast())] };
        let [low, high] = first;
        let second =
            [_mm256_and_si256(_mm256_srli_epi16::<3>(low), mask), _mm256_and_si256(_mm256_srli_epi16::<3>(high), mask)];
        for (sums, tables) in sums.iter_mut().zip(tables) {
            let [r_first, r_second, h_first, h_second] = &tables[i].0;
            let [mut r_low, mut r_high, mut h_low, mut h_high] = *sums;
            add_lookups([&mut r_low, &mut r_high], r_first, first);
            add_lookups([&mut h_low, &mut h_high], h_first, first);
            add_lookups([&mut r_low, &mut r_high], r_second, second);
            add_lookups([&mut h_low, &mut h_high], h_second, second);
            together!(ymm_reg: r_low, r_high, h_low, h_high);
            *sums = [r_low, r_high, h_low, h_high];
        }
    }
    let unit = _mm256_set1_epi16(UNIT << 8 | 1);
    for (words, [r_low, r_high, h_low, h_high]) in words.iter_mut().zip(sums) {
        let pairs = [
            _mm256_unpacklo_epi8(r_low, h_low),
            _mm256_unpackhi_epi8(r_low, h_low),
            _mm256_unpacklo_epi8(r_high, h_high),
            _mm256_unpackhi_epi8(r_high, h_high),
        ];
        for (words, pairs) in words.iter_mut().zip(pairs) {
            *words = _mm256_add_epi16(*words, _mm256_maddubs_epi16(unit, pairs));
        }
    }
}

/// Adds the entries of a table at the indices of 2 x 32 rows.
#[inline]
#[target_feature(enable = "avx2")]
fn add_lookups(sums: [&mut __m256i; 2], table: &[i8; 16], indices: [__m256i; 2]) {
    // SAFETY: a table has 16 bytes; the load needs no alignment.
    let table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) });
    for (sum, indices) in sums.into_iter().zip(indices) {
        *sum = _mm256_add_epi8(*sum, _mm256_shuffle_epi8(table, indices));
    }
}

/// Tables of `steps` times four activations of each token, token after token.
#[target_feature(enable = "avx2")]
fn make_tables<const T: usize>(tables: &mut Vec<Tables>, x: [&[i8]; T], steps: usize) {
    if tables.len() < T * steps {
        tables.resize(T * steps, Tables([[0; 16]; 4]));
    }
    for (tables, x) in tables.chunks_exact_mut(steps).zip(x) {
        for (tables, x) in tables.iter_mut().zip(x.as_chunks::<4>().0) {
            *tables = tables_of(x);
        }
    }
}

/// The low half is about the first pair of activations, the high half about the second, up to the last step.
#[inline]
#[target_feature(enable = "avx2")]
fn tables_of(x: &[i8; 4]) -> Tables {
    // SAFETY: `WEIGHTS` is two times eight int16; the loads need no alignment.
    let (one, other) =
        unsafe { (_mm_loadu_si128(WEIGHTS[0].as_ptr().cast()), _mm_loadu_si128(WEIGHTS[1].as_ptr().cast())) };
    let sums = _mm256_add_epi16(
        _mm256_sign_epi16(halves(x[0], x[2]), _mm256_broadcastsi128_si256(one)),
        _mm256_sign_epi16(halves(x[1], x[3]), _mm256_broadcastsi128_si256(other)),
    );
    let h = nearest(sums);
    let r = _mm256_sub_epi16(sums, _mm256_mullo_epi16(h, _mm256_set1_epi16(UNIT)));
    // Eight states of each: bit 3 of an index tells nothing in the first pair, and that the sum is 0 in the second.
    let bytes = _mm256_packs_epi16(r, h);
    let again = _mm256_blend_epi32::<0xF0>(bytes, _mm256_setzero_si256());
    let mut tables = Tables([[0; 16]; 4]);
    let (r, h) = tables.0.split_at_mut(2);
    // SAFETY: both have 32 bytes; the stores need no alignment.
    unsafe {
        _mm256_storeu_si256(r.as_mut_ptr().cast(), _mm256_unpacklo_epi64(bytes, again));
        _mm256_storeu_si256(h.as_mut_ptr().cast(), _mm256_unpackhi_epi64(bytes, again));
    }
    tables
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves(low: i8, high: i8) -> __m256i {
    _mm256_set_m128i(_mm_set1_epi16(high.into()), _mm_set1_epi16(low.into()))
}

/// The integers nearest to the sums by [`UNIT`], halves towards 0, for sums of magnitude 256 at most.
#[inline]
#[target_feature(enable = "avx2")]
fn nearest(sums: __m256i) -> __m256i {
    _mm256_mulhrs_epi16(sums, _mm256_set1_epi16(1365))
}

/// Weights of the first and of the second activation of a pair, by state.
static WEIGHTS: [[i16; 8]; 2] = {
    let mut weights = [[0; 8]; 2];
    let mut state = 0;
    while state < 8 {
        let [a, b] = crate::layouts::lut8::PAIRS[state];
        weights[0][state] = a as i16;
        weights[1][state] = b as i16;
        state += 1;
    }
    weights
};

/// Writes the rows of a panel that `y` has: all 64, or fewer at the end of a matrix. `unpack` works within 128-bit
/// lanes, so sums are of rows 0, 16, 8, 24 and the seven after each, then of the same rows of the second half.
#[inline]
#[target_feature(enable = "avx2")]
fn store(y: &mut [i32], sums: [__m256i; 8]) {
    let mut buffer = [0; ROWS];
    let full = <&mut [i32; ROWS]>::try_from(&mut *y);
    let partial = full.is_err();
    let target = full.unwrap_or(&mut buffer);
    for (eight, at) in target.as_chunks_mut::<8>().0.iter_mut().zip([0, 2, 1, 3, 4, 6, 5, 7]) {
        // SAFETY: eight int32 have room; the store needs no alignment.
        unsafe { _mm256_storeu_si256(eight.as_mut_ptr().cast(), sums[at]) };
    }
    if partial {
        y.copy_from_slice(&buffer[..y.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_of_two_activations_is_split_within_the_bounds() {
        if !is_x86_feature_detected!("avx2") {
            return;
        }
        for a in i8::MIN..=i8::MAX {
            for b in [i8::MIN, -127, -1, 0, 1, 64, i8::MAX] {
                // SAFETY: AVX2 was detected.
                let Tables([r, zero, h, _]) = unsafe { tables_of(&[a, b, 0, 0]) };
                for (state, [w, v]) in crate::layouts::lut8::PAIRS.into_iter().enumerate() {
                    let (r, h) = (i32::from(r[state]), i32::from(h[state]));
                    assert_eq!(24 * h + r, i32::from(w) * i32::from(a) + i32::from(v) * i32::from(b));
                    assert!(r.abs() <= 12 && h.abs() <= 11, "{a} {b}: {h} and {r}");
                }
                assert_eq!((r[8..].to_vec(), h[8..].to_vec()), (r[..8].to_vec(), h[..8].to_vec()), "bit 3 is not read");
                assert_eq!(zero, [0; 16]);
            }
        }
    }

    /// Activations of -128 or 127, or such that r is largest.
    #[test]
    fn the_largest_sums_of_bytes_and_words_are_exact() {
        let k = 4 * (STEPS_PER_WIDENING * 2 + STEPS_PER_FLUSH + 2) + 3;
        let pairs = [[-128, -128], [127, 127], [126, 126], [-6, -6], [6, 6], [-7, -6], [12, 0]];
        crate::testing::check_largest_sums(&DESCRIPTOR, k, &pairs);
    }
}
