//! Rows and columns on AVX-512 VNNI: masks in place, sums of plane p 4^p times too large, as in the dense kernel
//! `avx512-vnni`.
//!
//! # Rows
//! 64 bytes of I2_S are two blocks of 128: byte i of the first block holds elements i, 32 + i, 64 + i, 96 + i from the
//! top bits down. With the activations of 256 k in plane order (32 of the first block, 32 of the second, four times),
//! each mask's operand is one aligned load. Four rows at a time: per 64 weights of a row, a quarter step: 1/4 load of
//! codes, 1/4 load of activations (shared by four rows), 1 `and`, 1 `vpdpbusd`. A row ends with 3 shifts, 3 additions
//! and its part of a transposing sum: 6 unpacks and 5 additions for four rows.
//!
//! # Columns
//! A dot product needs four bytes of the same row side by side: a, b, c, d of four live columns. 64 bytes of each, two
//! rounds of unpacks (8 in all), give 4 vectors of 64 such dwords; 4 masks and 4 `vpdpbusd` on each, the four
//! activations broadcast. Per 1024 weights: 4 loads, 8 unpacks, 16 `and`, 16 `vpdpbusd`. The 16 sums of a line of 256
//! rows stay in registers over [`PASS`] quads and live in L1 otherwise, in the order that the unpacks give; at the end
//! they are shifted and put in order.
//!
//! # Exact
//! `vpdpbusd` adds four products to an int32 without saturation. For rows the bound is the dense kernel's: a plane is a
//! quarter of k. For columns a plane's sum runs over all of k: 3 * 64 * 128 * k is below 2^31 for the 2^16 columns that
//! the layout allows. Sums of plane p are multiples of 4^p, so that the shifts drop only zeros.
//!
//! # What the compiler makes of it
//! With `together!` the loop over quads reads 4 loads, 8 unpacks, then four times 4 `vpandq` and 4 `vpdpbusd`, with its
//! 16 sums, 4 masks and the broadcast in registers: no moves, no spills (LLVM, Rust 1.95). Putting the sums in order
//! was first written as a loop over rows; LLVM made it a chain of 64-bit pointer vectors, spilled. The shuffles of
//! [`in_order`] are 8 instructions a plane.
//!
//! # Lists
//! 16 elements a step and no branches: 6912 gates take 0.4 us where the loop over single elements took 3.3 (Zen 5).
//!
//! # Prefetch
//! Live rows and columns are 640 bytes each at the 2B shape, anywhere in memory: too short for a hardware prefetcher to
//! learn. The list is known, so every line of the next rows (or of the next pass of columns) is asked for while the
//! present ones are computed.

use super::call::{Columns, LINE_BYTES, LINE_ROWS, LIST_SLACK, Rows};
use crate::MAX_K_I8;
use crate::x86_64::i2s_lines::{add_row_line, joined, planes, sums_of_4};
use crate::x86_64::lanes::prefetch;
use std::arch::x86_64::*;

const _: () = assert!(3 * 64 * 128 * (MAX_K_I8 / 4) <= i32::MAX as usize);

/// Rows computed together.
const ROWS: usize = 4;
/// Rows of the list between the ones that are computed and the ones that are asked for. Swept at the 2B shape from
/// DRAM (on which CPU was not written down), `up` and `down` of one block at a live share of 0.4, one thread: nothing
/// asked for 293 us, 4 rows 186, 8 rows 158, 16 rows 165 (dense: 251). Asking for them in the second-level cache only
/// was no better (8 rows 178, 16 rows 160).
const AHEAD: usize = 8;
/// Quads of columns whose sums stay in registers; the next as many are asked for meanwhile. 8 against 4 at the 2B shape
/// (on which CPU was not written down), live share 0.2, from memory: 27 and 28 us on one thread, 17 and 19 us on two.
/// On an Intel Xeon (family 6 model 207), 2560x6912 from memory, one thread, 6 pairs, 4 were 1.27 [1.14, 1.34] times as
/// fast as 8, and in the AVX2 path 1.20 [1.16, 1.24]: more lines asked for at once than a core has buffers for.
const PASS: usize = 4;

/// # Safety
/// Besides the features: every row of the list must be a row of `codes`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn rows(args: Rows<'_>) {
    let steps = args.planes.as_chunks::<256>().0;
    let whole = args.row_bytes / 64;
    for (i, y) in args.y.chunks_mut(ROWS).enumerate() {
        let first = i * ROWS;
        let row = |r: usize| args.rows[(first + r).min(args.rows.len() - 1)] as usize * args.row_bytes;
        let at: [usize; ROWS] = std::array::from_fn(row);
        let next: [usize; ROWS] = std::array::from_fn(|r| row(r + AHEAD));
        let mut sums = [[_mm512_setzero_si512(); 4]; ROWS];
        for (step, x) in steps.iter().enumerate() {
            let x: [__m512i; 4] = std::array::from_fn(|p| {
                let x: &[i8] = &x[64 * p..64 * p + 64];
                // SAFETY: the slice has 64 bytes; the load needs no alignment.
                unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
            });
            for r in 0..ROWS {
                prefetch(args.codes.as_ptr(), next[r] + 64 * step);
                // A row may end with half a step: those bytes are read as 0.
                let bytes = if step < whole { u64::MAX } else { u64::from(u32::MAX) };
                let start = at[r] + 64 * step;
                debug_assert!(start + bytes.count_ones() as usize <= args.codes.len());
                // SAFETY: the caller promises that the row is inside `codes`; masked bytes are not accessed.
                let codes = unsafe {
                    if step < whole {
                        _mm512_loadu_si512(args.codes.as_ptr().add(start).cast())
                    } else {
                        _mm512_maskz_loadu_epi8(bytes, args.codes.as_ptr().add(start).cast())
                    }
                };
                add_row_line(&mut sums[r], codes, x);
            }
        }
        let four = sums_of_4(sums.map(|sums| joined(sums)));
        let mut out = [0i32; ROWS];
        // SAFETY: the array has room for 4 int32; the store needs no alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), four) };
        y.iter_mut().zip(out).for_each(|(y, sum)| *y = sum - args.x_sum);
    }
}

/// # Safety
/// Besides the features: every column of the quads must be a column of `codes`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn columns(args: Columns<'_>) {
    let lines = args.y.as_chunks_mut::<LINE_ROWS>().0;
    for (number, (pass, q)) in args.quads.chunks(PASS).zip(args.q.chunks(PASS)).enumerate() {
        let next = args.quads.get((number + 1) * PASS..).unwrap_or(&[]);
        let next = &next[..next.len().min(PASS)];
        for (line, y) in lines.iter_mut().enumerate() {
            let at = (args.first_line + line) * LINE_BYTES;
            for column in next.iter().flatten() {
                prefetch(args.codes.as_ptr(), *column as usize * args.stride + at);
            }
            // SAFETY: the caller's promise.
            unsafe { add_line(args.codes, args.stride, at, (pass, q), y) };
        }
    }
    for y in lines {
        in_order(y, args.x_sum);
    }
}

/// Adds one line of every column of a pass. Sum 4 * quarter + plane is at that place of `y`.
///
/// # Safety
/// Besides the features: every column of the quads must be a column of `codes`, and `at` the start of a line of a
/// column.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_line(
    codes: &[u8],
    stride: usize,
    at: usize,
    (quads, q): (&[[u32; 4]], &[[i8; 4]]),
    y: &mut [i32; LINE_ROWS],
) {
    let y = y.as_chunks_mut::<16>().0;
    let mut sums: [__m512i; 16] = std::array::from_fn(|i| {
        // SAFETY: 16 int32; the load needs no alignment.
        unsafe { _mm512_loadu_si512(y[i].as_ptr().cast()) }
    });
    for (quad, q) in quads.iter().zip(q) {
        let load = |i: usize| {
            let start = quad[i] as usize * stride + at;
            debug_assert!(start + LINE_BYTES <= codes.len());
            // SAFETY: the caller promises that the line is inside `codes`.
            unsafe { _mm512_loadu_si512(codes.as_ptr().add(start).cast()) }
        };
        let (a, b, c, d) = (load(0), load(1), load(2), load(3));
        let (ab_low, ab_high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
        let quarters = [
            _mm512_unpacklo_epi16(ab_low, cd_low),
            _mm512_unpackhi_epi16(ab_low, cd_low),
            _mm512_unpacklo_epi16(ab_high, cd_high),
            _mm512_unpackhi_epi16(ab_high, cd_high),
        ];
        let q = _mm512_set1_epi32(i32::from_le_bytes(q.map(i8::cast_unsigned)));
        for (quarter, codes) in quarters.into_iter().enumerate() {
            for (plane, codes) in planes(codes).into_iter().enumerate() {
                let sum = &mut sums[4 * quarter + plane];
                *sum = _mm512_dpbusd_epi32(*sum, codes, q);
            }
        }
    }
    for (y, sum) in y.iter_mut().zip(sums) {
        // SAFETY: as for the load.
        unsafe { _mm512_storeu_si512(y.as_mut_ptr().cast(), sum) };
    }
}

/// From the order of the unpacks to the order of the rows, shifted and corrected.
#[inline]
#[target_feature(enable = "avx512f")]
fn in_order(y: &mut [i32; LINE_ROWS], x_sum: i32) {
    let y = y.as_chunks_mut::<16>().0;
    plane_in_order::<0, 0>(y, x_sum);
    plane_in_order::<1, 2>(y, x_sum);
    plane_in_order::<2, 4>(y, x_sum);
    plane_in_order::<3, 6>(y, x_sum);
}

/// Lane (128 bits) l of sum (quarter, plane) holds rows 64 l + 16 plane + 4 quarter and the three after it: the four
/// sums of a plane, turned lane by lane, are four times 16 rows in order, and take the very places that they came from.
#[inline]
#[target_feature(enable = "avx512f")]
fn plane_in_order<const PLANE: usize, const SHIFT: u32>(y: &mut [[i32; 16]], x_sum: i32) {
    let [a, b, c, d]: [__m512i; 4] = std::array::from_fn(|quarter| {
        // SAFETY: 16 int32; the load needs no alignment.
        let sums = unsafe { _mm512_loadu_si512(y[4 * quarter + PLANE].as_ptr().cast()) };
        _mm512_sub_epi32(_mm512_srai_epi32::<SHIFT>(sums), _mm512_set1_epi32(x_sum))
    });
    let (ab_even, ab_odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xDD>(a, b));
    let (cd_even, cd_odd) = (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xDD>(c, d));
    let rows = [
        _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even),
        _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd),
        _mm512_shuffle_i32x4::<0xDD>(ab_even, cd_even),
        _mm512_shuffle_i32x4::<0xDD>(ab_odd, cd_odd),
    ];
    for (lane, rows) in rows.into_iter().enumerate() {
        // SAFETY: as for the load.
        unsafe { _mm512_storeu_si512(y[4 * lane + PLANE].as_mut_ptr().cast(), rows) };
    }
}

/// Numbers of the elements above 0, ascending; returns how many. Up to [`LIST_SLACK`] elements behind them are
/// overwritten.
///
/// 16 a step: compare, compress the numbers in a register (`vpcompressd` to memory is microcode on Zen 4), store all,
/// move on by as many as count.
#[target_feature(enable = "avx512f")]
pub(super) fn list_positive(gate: &[f32], list: &mut [u32]) -> usize {
    let (chunks, tail) = gate.as_chunks::<16>();
    let mut count = 0;
    let mut numbers = first_numbers();
    for chunk in chunks {
        // SAFETY: 16 f32; the load needs no alignment.
        let values = unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
        let live = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(values, _mm512_setzero_ps());
        count += store_numbers(live, numbers, &mut list[count..]);
        numbers = _mm512_add_epi32(numbers, _mm512_set1_epi32(16));
    }
    for (i, &value) in tail.iter().enumerate() {
        list[count] = (16 * chunks.len() + i) as u32;
        count += usize::from(value > 0.0);
    }
    count
}

/// As [`list_positive`], for values that are not 0, which are listed too.
#[target_feature(enable = "avx512f")]
pub(super) fn list_nonzero(values: &[i8], list: &mut [u32], q: &mut [i8]) -> usize {
    let (chunks, tail) = values.as_chunks::<16>();
    let mut count = 0;
    let mut numbers = first_numbers();
    for chunk in chunks {
        // SAFETY: 16 bytes; the load needs no alignment.
        let wide = _mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) });
        let live = _mm512_test_epi32_mask(wide, wide);
        let target: &mut [i8] = &mut q[count..count + LIST_SLACK];
        // SAFETY: the slice has 16 bytes; the store needs no alignment.
        unsafe {
            let packed = _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(live, wide));
            _mm_storeu_si128(target.as_mut_ptr().cast(), packed);
        }
        count += store_numbers(live, numbers, &mut list[count..]);
        numbers = _mm512_add_epi32(numbers, _mm512_set1_epi32(16));
    }
    for (i, &value) in tail.iter().enumerate() {
        (list[count], q[count]) = ((16 * chunks.len() + i) as u32, value);
        count += usize::from(value != 0);
    }
    count
}

#[inline]
#[target_feature(enable = "avx512f")]
fn first_numbers() -> __m512i {
    _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
}

/// Writes those of 16 numbers whose bit is set to the start of `list`, and whatever behind them; returns how many.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_numbers(live: __mmask16, numbers: __m512i, list: &mut [u32]) -> usize {
    let list: &mut [u32] = &mut list[..LIST_SLACK];
    // SAFETY: the slice has 16 numbers; the store needs no alignment.
    unsafe { _mm512_storeu_si512(list.as_mut_ptr().cast(), _mm512_maskz_compress_epi32(live, numbers)) };
    live.count_ones() as usize
}
