//! W2A8 on AVX-512 VNNI on the published I2_S layout: rows as a file has them, so that a mapped file is multiplied
//! where it lies and nothing is packed before the first token.
//!
//! Per 256 weights of a row: 1 load of codes, 4 `and`, 4 `vpdpbusd`, 1 prefetch; four rows share the loads of their
//! activations. A line of 64 bytes is two blocks of 128 weights side by side: the activations that meet plane p are two
//! runs of 32, which lie side by side too once [`x_lines`] has put them there, once a call. Each row ends with a
//! sum over 16 lanes, four rows turned together.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 3.31 instructions, 2.50 of them vector, 0.50 memory reads.
//! That is the list above, and 9 instructions of the loop for each four lines.
//!
//! Four rows are four streams, but a row is a few hundred bytes and the next begins where it ends: what is asked for
//! ahead is one run of memory in a slightly other order.
//!
//! # Exact
//! As `avx512-vnni`: planes stay in place, the sum of plane p is 4^p times too large and a multiple of 4^p, within 3 *
//! 64 * 128 * k / 4 < 2^31. Here a lane has a sixteenth of it, and the shift comes before lanes are added.

mod gemm;
mod lines;

use crate::MAX_K_I8;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::i2s;
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::x86_64::i2s_lines::{add_row_line, joined, sums_of_4};
use lines::{Line, PREFETCH_BYTES, Rows, x_lines};
use std::arch::x86_64::*;
use std::cell::RefCell;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx512-vnni-i2s",
    isa: "avx512",
    requires: CpuFeatures::AVX512F.with(CpuFeatures::AVX512BW).with(CpuFeatures::AVX512VNNI),
    multiply: Some("vpdpbusd-zmm"),
    tile: (ROWS, 1),
    gemm: Some(Gemm::I8(gemm::gemm)),
    builds_on: Some("avx2-i8"),
    summary: "the published layout as a file has it: four rows of 64 bytes, four masks and four vpdpbusd each",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2a8(&i2s::LAYOUT, gemv)
};

/// Rows that go together: 16 sums, so that dot products never wait for each other.
const ROWS: usize = 4;

const _: () = assert!(3 * 64 * 128 * (MAX_K_I8 / 4) <= i32::MAX as usize);

thread_local! {
    /// The token's activations by lines: kept, so that a call allocates nothing.
    static X: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn gemv(args: GemvI8<'_>) {
    // No closure here: it would not have the features.
    let mut x = X.take();
    x.clear();
    x_lines(args.x, args.panel_bytes.div_ceil(64), &mut x);
    with_prefetch!(args.prefetch, rows(args, &x));
    X.set(x);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn rows<const TWO_LEVELS: bool>(args: GemvI8<'_>, x: &[Line]) {
    at_cache_line!();
    let row_bytes = args.panel_bytes;
    let (fours, rest) = args.y.as_chunks_mut::<ROWS>();
    let (codes, last) = args.codes.split_at(fours.len() * ROWS * row_bytes);
    let x_sum = _mm_set1_epi32(args.x_sum);
    for (y, codes) in fours.iter_mut().zip(codes.chunks_exact(ROWS * row_bytes)) {
        let sums = products::<ROWS, TWO_LEVELS>(Rows::new(codes, row_bytes), x);
        // SAFETY: four sums have room for four; the store needs no alignment.
        unsafe { _mm_storeu_si128(y.as_mut_ptr().cast(), _mm_sub_epi32(sums_of_4(sums), x_sum)) }
    }
    for (y, codes) in rest.iter_mut().zip(last.chunks_exact(row_bytes)) {
        let [sum] = products::<1, TWO_LEVELS>(Rows::new(codes, row_bytes), x);
        *y = _mm512_reduce_add_epi32(sum) - args.x_sum;
    }
}

/// Sums of codes times activations, 16 partial ones for each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn products<const R: usize, const TWO_LEVELS: bool>(rows: Rows<'_, R>, x: &[Line]) -> [__m512i; R] {
    let mut sums = [[_mm512_setzero_si512(); 4]; R];
    let (planes_x, _) = x.as_chunks::<4>();
    for (line, x) in planes_x.iter().enumerate().take(rows.whole_lines()) {
        let x = loaded(x);
        for (r, sums) in sums.iter_mut().enumerate() {
            ahead::<TWO_LEVELS>(rows.line(r, line), PREFETCH_BYTES);
            // SAFETY: the line is a whole one of a row.
            add_row_line(sums, unsafe { _mm512_loadu_si512(rows.line(r, line).cast()) }, x);
        }
    }
    if let Some(line) = rows.half_line() {
        let x = loaded(&planes_x[line]);
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: half a line is left of each row.
            let codes = unsafe { _mm256_loadu_si256(rows.line(r, line).cast()) };
            add_row_line(sums, _mm512_zextsi256_si512(codes), x);
        }
    }
    let mut exact = [_mm512_setzero_si512(); R];
    for r in 0..R {
        exact[r] = joined(sums[r]);
    }
    exact
}

/// A line's activations in registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn loaded([a, b, c, d]: &[Line; 4]) -> [__m512i; 4] {
    [a.load(), b.load(), c.load(), d.load()]
}
