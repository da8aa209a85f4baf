//! The prefill half of `avx512-vnni-i2s`: a mapped file times a batch of tokens.
//!
//! Lanes go along k here, so that an activation is a load of a whole line that as many rows use as a tile has: 2 rows
//! by 12 or 8 tokens, 4 rows by 6 and fewer. A line of codes is brought down plane by plane (3 shifts, 4 masks); per
//! plane a tile of 2 x 12 has 24 `vpdpbusd` on 12 loads and 3.5 instructions of unpacking. What the layout costs beside
//! interleaved rows is at the end of each row: sums over lanes, four turned together, about a twelfth of the tile's
//! instructions at k = 2560.
//!
//! Rows go through in chunks whose codes stay in the second-level cache while all tokens pass over them; weights come
//! from memory once.
//!
//! Exact: a lane of a sum adds products of a code (at most 3) and an int8, without saturation: within 3 * 128 * k / 16.

use super::lines::{Line, PREFETCH_BYTES, Rows, line_of};
use crate::activation::QuantizedActivations;
use crate::descriptor::GemmI8;
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::x86_64::i2s_lines::sums_of_4;
use crate::x86_64::lanes::together;
use crate::x86_64::tiles::{CHUNK_BYTES, Packed, split};
use std::arch::x86_64::*;
use std::cell::RefCell;

thread_local! {
    /// The batch by tiles and lines; see [`Packed`].
    static X: RefCell<Packed<Line>> = const { RefCell::new(Packed::NONE) };
}

/// Rows of codes, their length, activations as [`pack`] leaves them, where results go, output.
type TileFn = unsafe fn(&[u8], usize, &[Line], Target<'_>, &mut Columns<'_, i32>);

/// Tokens of a tile, its rows, its code, and that for a single row.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    tile: TileFn,
    single: TileFn,
}

/// Where a tile's results go.
#[derive(Clone, Copy)]
struct Target<'a> {
    /// Activations of the tile's tokens, for their sums.
    x: &'a [QuantizedActivations],
    /// Number of the tile's first token in the batch.
    first: usize,
    /// Number of the tile's first row in the output.
    row: usize,
}

/// Tiles by their tokens, the widest first: 24 sums, as many rows of codes, a plane, the mask and the activations in
/// flight fill the registers. By that count.
const fn tiles<const TWO_LEVELS: bool>() -> [(usize, Tile); 7] {
    const fn of<const R: usize, const T: usize, const TWO_LEVELS: bool>() -> (usize, Tile) {
        (T, Tile { rows: R, tile: tile::<R, T, TWO_LEVELS>, single: tile::<1, T, TWO_LEVELS> })
    }
    [
        of::<2, 12, TWO_LEVELS>(),
        of::<2, 8, TWO_LEVELS>(),
        of::<4, 6, TWO_LEVELS>(),
        of::<4, 4, TWO_LEVELS>(),
        of::<4, 3, TWO_LEVELS>(),
        of::<4, 2, TWO_LEVELS>(),
        of::<4, 1, TWO_LEVELS>(),
    ]
}

/// Products of all rows with all tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn gemm(args: GemmI8<'_, '_>) {
    with_prefetch!(args.prefetch, batch(args));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn batch<const TWO_LEVELS: bool>(args: GemmI8<'_, '_>) {
    at_cache_line!();
    let tiles = &const { tiles::<TWO_LEVELS>() };
    let row_bytes = args.panel_bytes;
    let lines = row_bytes.div_ceil(64);
    let mut packed = X.replace(Packed::NONE);
    let x = packed.make(args.x, 4 * lines, tiles, pack);
    // Whole tiles in every chunk but the last.
    let rows_a_chunk = (CHUNK_BYTES / row_bytes).max(4) / 4 * 4;
    for (c, chunk) in args.codes.chunks(rows_a_chunk * row_bytes).enumerate() {
        let mut rest = x;
        for (first, count, Tile { rows, tile, single }) in split(args.x.len(), tiles) {
            let (x, later) = rest.split_at(4 * lines * count);
            rest = later;
            let mut target = Target { x: &args.x[first..first + count], first, row: c * rows_a_chunk };
            let several = chunk.chunks_exact(rows * row_bytes);
            let left = several.remainder();
            for codes in several {
                // SAFETY: this function enables the features that tiles enable.
                unsafe { tile(codes, row_bytes, x, target, args.y) };
                target.row += rows;
            }
            for codes in left.chunks_exact(row_bytes) {
                // SAFETY: as above.
                unsafe { single(codes, row_bytes, x, target, args.y) };
                target.row += 1;
            }
        }
    }
    X.set(packed);
}

/// Appends the tokens' activations by planes of lines, `planes` of them, all tokens of a plane side by side.
fn pack(x: &[QuantizedActivations], planes: usize, packed: &mut Vec<Line>) {
    for plane in 0..planes {
        let of = |x: &QuantizedActivations| {
            let (lines, _) = x.padded().as_chunks::<256>();
            line_of(&lines[plane / 4], plane % 4)
        };
        packed.extend(x.iter().map(of));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile<const R: usize, const T: usize, const TWO_LEVELS: bool>(
    codes: &[u8],
    row_bytes: usize,
    x: &[Line],
    target: Target<'_>,
    y: &mut Columns<'_, i32>,
) {
    at_cache_line!();
    let rows = Rows::<R>::new(codes, row_bytes);
    let mut sums = [[_mm512_setzero_si512(); R]; T];
    let planes = x.as_chunks::<T>().0.as_chunks::<4>().0;
    for (line, x) in planes.iter().enumerate().take(rows.whole_lines()) {
        let mut codes = [_mm512_setzero_si512(); R];
        for (r, codes) in codes.iter_mut().enumerate() {
            ahead::<TWO_LEVELS>(rows.line(r, line), PREFETCH_BYTES);
            // SAFETY: the line is a whole one of a row.
            *codes = unsafe { _mm512_loadu_si512(rows.line(r, line).cast()) };
        }
        add_line(&mut sums, codes, x);
    }
    if let Some(line) = rows.half_line() {
        let mut codes = [_mm512_setzero_si512(); R];
        for (r, codes) in codes.iter_mut().enumerate() {
            // SAFETY: half a line is left of each row.
            *codes = _mm512_zextsi256_si512(unsafe { _mm256_loadu_si256(rows.line(r, line).cast()) });
        }
        add_line(&mut sums, codes, &planes[line]);
    }
    write(sums, target, y);
}

/// Adds a line of each row times each token, the plane in the lowest bits, which is the last one, first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_line<const R: usize, const T: usize>(sums: &mut [[__m512i; R]; T], mut codes: [__m512i; R], x: &[[Line; T]; 4]) {
    let mask = _mm512_set1_epi8(3);
    for p in (0..4).rev() {
        let mut planes = [_mm512_setzero_si512(); R];
        for r in 0..R {
            planes[r] = _mm512_and_si512(codes[r], mask);
            codes[r] = _mm512_srli_epi16::<2>(codes[r]);
        }
        for (sums, x) in sums.iter_mut().zip(&x[p]) {
            let mut x = x.load();
            if R == 2 {
                // Else it becomes a memory operand of both products, and two loads a cycle are all there is.
                together!(zmm_reg: x);
            }
            for (sum, plane) in sums.iter_mut().zip(planes) {
                *sum = _mm512_dpbusd_epi32(*sum, plane, x);
            }
        }
    }
}

/// Turns sums of codes into sums of weights and stores them.
#[inline]
#[target_feature(enable = "avx512f")]
fn write<const R: usize, const T: usize>(sums: [[__m512i; R]; T], target: Target<'_>, y: &mut Columns<'_, i32>) {
    let Target { x, first, row } = target;
    for (pair, two) in sums.chunks(2).enumerate() {
        let t = 2 * pair;
        match (&two[0][..], two.get(1).map(<[__m512i; R]>::as_slice)) {
            (&[a, b], Some(&[c, d])) => {
                let (own, next) = (x[t].sum(), x[t + 1].sum());
                let exact = _mm_sub_epi32(sums_of_4([a, b, c, d]), _mm_setr_epi32(own, own, next, next));
                for (t, exact) in [(t, exact), (t + 1, _mm_unpackhi_epi64(exact, exact))] {
                    let y: &mut [i32] = &mut y.token(first + t)[row..row + 2];
                    // SAFETY: the slice has room for two; the store needs no alignment.
                    unsafe { _mm_storel_epi64(y.as_mut_ptr().cast(), exact) }
                }
            }
            _ => {
                for (t, sums) in (t..).zip(two) {
                    write_token(sums, &x[t], &mut y.token(first + t)[row..]);
                }
            }
        }
    }
}

/// The same for one token.
#[inline]
#[target_feature(enable = "avx512f")]
fn write_token(sums: &[__m512i], x: &QuantizedActivations, y: &mut [i32]) {
    if let &[a, b, c, d] = sums {
        let exact = _mm_sub_epi32(sums_of_4([a, b, c, d]), _mm_set1_epi32(x.sum()));
        let y: &mut [i32] = &mut y[..4];
        // SAFETY: the slice has room for four; the store needs no alignment.
        return unsafe { _mm_storeu_si128(y.as_mut_ptr().cast(), exact) };
    }
    for (y, sum) in y.iter_mut().zip(sums) {
        *y = _mm512_reduce_add_epi32(*sum) - x.sum();
    }
}
