//! The prefill half of `avx2-groups`: the same packed weights times a batch of tokens.
//!
//! A tile is 8 rows (one a lane) by 8 or 4 tokens. A register of codes is loaded once for all of them and each of its
//! planes brought to the bottom of its bytes (a shift and an `and`), so that all planes of a unit have one scale and a
//! token one int16 sum of a block, where decode, which leaves planes in place, needs four. Sums begin at minus the sum
//! of their activations, in one of the two int16 of a row: the zero point is no instruction where a unit ends. The walk
//! over chunks of rows and tiles of tokens is that of [`crate::w2ga8::group_tiles`].
//!
//! Per 64 weights and token: 2 broadcast loads, 2 `maddubs`, 2 additions; beside them, shared by the 8 tokens, 1/2 load
//! of codes, 1.5 shifts, 2 `and`. Where a unit ends, a token has 1 `madd`, 1 conversion and 1 `fmadd`, and its f32 sum,
//! which does not stay in a register, is loaded and stored; by blocks of activations 1 product with a broadcast more.
//! Worked out from the code, instructions per block and token: groups of 128 by token 116 where decode has 159, groups
//! of 64 by token 125 where it has 165, by 32 153 where it has 172.
//!
//! Tokens that are left over (three at most; by 32, whose tiles of four have more instructions than decode, seven) are
//! decoded, chunk of rows by chunk of rows.
//!
//! On an AMD EPYC (family 25 model 17) in L2 (1024 x 2560, 48 tokens, medians of nine rounds in turn on a loaded
//! machine) 1.34 to 1.52 of the speed of token by token where a unit has 64 weights or more, 1.29 to 1.33 by 32; four
//! tokens 1.23 to 1.41.
//!
//! Of the speed of `avx2-i8-tile8` in the same rounds there, 6912 x 2560 times 128 tokens (`group_ratios`, 12 rounds,
//! loaded too): groups of 128 by token 0.95, by blocks 0.90, by 32 0.74; of 256 0.93, 0.90 and 0.74; of 64 0.88, 0.83
//! and 0.72.
//!
//! # Exact: no int16 can overflow
//! A byte of a plane is a code, at most 3, so that a `maddubs` gives at most 2 * 3 * 128 = 768 in magnitude, and a sum
//! takes 32 of them: 24,576. It begins at minus the sum of 128 activations, within 16,384, and additions wrap, so only
//! what it ends at counts. There a lane of the lower half has 64 products of a code less one and an activation and 64
//! activations with the sign turned: within 64 * 2 * 128 + 64 * 128 = 24,576, code 3 and -128 included. The sum of both
//! halves is that of a block's weights times activations.
//!
//! # What the compiler makes of it
//! The loop over the eight registers of a block has, of 8 tokens, 108 instructions, 105 of them vector: 32 times
//! `vpbroadcastd`, `vpmaddubsw`, `vpaddw`, the load, 4 `and`, 3 shifts, 1 register copy at most. Nothing is spilled in
//! it: eight sums, the codes, a plane, the mask and what is in flight are in registers, f32 sums on the stack. The
//! barrier keeps LLVM (Rust 1.95) from making all planes first. With fewer tokens it unrolls the eight registers into
//! one piece and spills, so it may not know how many there are.
//!
//! A first form took one unit after the other with all lengths in variables: as many instructions in the loop, and by
//! 32 as many beside it as the loop saves. So each kind of unit has a function: blocks, halves, planes.

use super::block::{Block, PREFETCH_BYTES, STEPS, Scales, load, nothing};
use crate::descriptor::GemmGroups;
use crate::layouts::groups8::{BLOCK_BYTES, BLOCK_K, ROWS};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::{ahead, with_prefetch};
use crate::w2ga8::group_tiles::{self, BLOCKS, Batch, GemvFn, Panel, Plan, TOKEN, Tile, WITHIN};
use crate::x86_64::lanes::in_order;
use crate::x86_64::panel_rows::store_8_f32 as store;
use std::arch::x86_64::*;
use std::hint::black_box;

/// A sum takes all planes of a block at most, see the module's proof.
const _: () = assert!(STEPS * 4 * 2 * 3 * 128 <= i16::MAX as usize);

/// Activations of `T` tokens that meet the planes of a block: four of one token in a dword.
type BlockX<const T: usize> = [[[i32; T]; STEPS]; 4];

/// Products of all panels with all tokens; `gemv` takes those that are left.
#[target_feature(enable = "avx2,fma")]
pub(super) fn gemm(args: GemmGroups<'_, '_>, gemv: GemvFn) {
    let unit = args.x.first().map_or(0, |x| x.rule().unit(args.group));
    match (args.group, unit, group_tiles::mode(&args)) {
        (64, 32, _) => with_prefetch!(args.prefetch, by_planes[2](args, gemv)),
        (128, 32, _) => with_prefetch!(args.prefetch, by_planes[4](args, gemv)),
        (_, 32, _) => with_prefetch!(args.prefetch, by_planes[8](args, gemv)),
        (64, _, TOKEN) => with_prefetch!(args.prefetch, by_halves[TOKEN](args, gemv)),
        (64, ..) => with_prefetch!(args.prefetch, by_halves[BLOCKS](args, gemv)),
        (128, _, TOKEN) => with_prefetch!(args.prefetch, by_blocks[1, TOKEN](args, gemv)),
        (128, ..) => with_prefetch!(args.prefetch, by_blocks[1, BLOCKS](args, gemv)),
        (_, _, TOKEN) => with_prefetch!(args.prefetch, by_blocks[2, TOKEN](args, gemv)),
        (_, 128, _) => with_prefetch!(args.prefetch, by_blocks[2, WITHIN](args, gemv)),
        _ => with_prefetch!(args.prefetch, by_blocks[2, BLOCKS](args, gemv)),
    }
}

#[target_feature(enable = "avx2,fma")]
fn by_blocks<const EACH: usize, const MODE: u8, const TWO_LEVELS: bool>(args: GemmGroups<'_, '_>, gemv: GemvFn) {
    let tiles: [Tile; 2] = [(8, blocks::<8, EACH, MODE, TWO_LEVELS>), (4, blocks::<4, EACH, MODE, TWO_LEVELS>)];
    // SAFETY: this function enables the features that the tiles enable.
    unsafe { group_tiles::gemm(args, plan(&tiles, gemv)) }
}

#[target_feature(enable = "avx2,fma")]
fn by_halves<const MODE: u8, const TWO_LEVELS: bool>(args: GemmGroups<'_, '_>, gemv: GemvFn) {
    let tiles: [Tile; 2] = [(8, halves::<8, MODE, TWO_LEVELS>), (4, halves::<4, MODE, TWO_LEVELS>)];
    // SAFETY: as above.
    unsafe { group_tiles::gemm(args, plan(&tiles, gemv)) }
}

#[target_feature(enable = "avx2,fma")]
fn by_planes<const EACH: usize, const TWO_LEVELS: bool>(args: GemmGroups<'_, '_>, gemv: GemvFn) {
    let tiles: [Tile; 1] = [(8, planes::<8, EACH, TWO_LEVELS>)];
    // SAFETY: as above.
    unsafe { group_tiles::gemm(args, plan(&tiles, gemv)) }
}

/// Sums begin at minus the sum of their activations, in the lower of the two int16 of a row, and with each block.
fn plan(tiles: &[Tile], gemv: GemvFn) -> Plan<'_> {
    Plan { panel_rows: ROWS, tiles, gemv: Some(gemv), most: BLOCK_K, start: |_, _| (0, 0xFFFF), undo: |_, _| 1.0 }
}

/// Groups of `EACH` blocks, the last one perhaps of one; a unit is a block or, of a group of two, both.
#[target_feature(enable = "avx2,fma")]
fn blocks<const T: usize, const EACH: usize, const MODE: u8, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    at_cache_line!();
    let steps = if T < 8 { black_box(STEPS) } else { STEPS };
    let starts = batch.starts.as_chunks::<T>().0.chunks(EACH);
    let mut factors = batch.factors.as_chunks::<T>().0.iter();
    let groups = panel.bytes.as_chunks::<BLOCK_BYTES>().0.chunks(EACH).zip(in_blocks::<T>(batch.x).chunks(EACH));
    let mut rows = [_mm256_setzero_ps(); T];
    for (((blocks, x), starts), scales) in groups.zip(starts).zip(panel.scales.as_chunks::<ROWS>().0) {
        let mut units = [_mm256_setzero_si256(); T];
        let mut chains = [nothing(); T];
        for (b, ((block, x), start)) in blocks.iter().zip(x).zip(starts).enumerate() {
            ask_for::<TWO_LEVELS>(block);
            let sums = widened(add_planes::<T, 0, 4>(begun(start), (block, steps), x));
            for t in 0..T {
                units[t] = if b == 0 { sums[t] } else { _mm256_add_epi32(units[t], sums[t]) };
            }
            if MODE == WITHIN {
                chains = scaled(chains, sums, factors.next());
            }
        }
        rows = match MODE {
            TOKEN => add_groups(rows, units, scales, None),
            BLOCKS => add_groups(rows, units, scales, factors.next()),
            _ => add_chains(rows, chains, scales),
        };
    }
    write(rows, panel, batch, y);
}

/// Groups of 64: two planes each, the last one perhaps alone in its block.
#[target_feature(enable = "avx2,fma")]
fn halves<const T: usize, const MODE: u8, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    at_cache_line!();
    let steps = if T < 8 { black_box(STEPS) } else { STEPS };
    let starts = batch.starts.as_chunks::<T>().0.as_chunks::<2>().0;
    let mut factors = batch.factors.as_chunks::<T>().0.as_chunks::<2>().0.iter();
    let blocks = panel.bytes.as_chunks::<BLOCK_BYTES>().0.iter().zip(in_blocks::<T>(batch.x)).zip(starts);
    let mut rows = [_mm256_setzero_ps(); T];
    for (((block, x), starts), scales) in blocks.zip(panel.scales.as_chunks::<ROWS>().0.chunks(2)) {
        ask_for::<TWO_LEVELS>(block);
        let factors = if MODE == BLOCKS { factors.next() } else { None };
        let sums = widened(add_planes::<T, 0, 2>(begun(&starts[0]), (block, steps), x));
        rows = add_groups(rows, sums, &scales[0], factors.map(|factors| &factors[0]));
        if let [_, scales] = scales {
            let sums = widened(add_planes::<T, 2, 2>(begun(&starts[1]), (block, steps), x));
            rows = add_groups(rows, sums, scales, factors.map(|factors| &factors[1]));
        }
    }
    write(rows, panel, batch, y);
}

/// Units of 32, a plane each; groups of `EACH` planes.
#[target_feature(enable = "avx2,fma")]
fn planes<const T: usize, const EACH: usize, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    at_cache_line!();
    let units = batch.starts.as_chunks::<T>().0.as_chunks::<4>().0;
    let units = units.iter().zip(batch.factors.as_chunks::<T>().0.as_chunks::<4>().0);
    let blocks = panel.bytes.as_chunks::<BLOCK_BYTES>().0;
    let mut scales = panel.scales.as_chunks::<ROWS>().0.iter();
    let (mut rows, mut chains) = ([_mm256_setzero_ps(); T], [nothing(); T]);
    for (b, ((block, x), units)) in blocks.iter().zip(in_blocks::<T>(batch.x)).zip(units).enumerate() {
        ask_for::<TWO_LEVELS>(block);
        chains = add_unit::<T, 0>(chains, block, x, units);
        chains = add_unit::<T, 1>(chains, block, x, units);
        if EACH == 2 {
            let Some(scales) = scales.next() else { break };
            rows = add_chains(rows, chains, scales);
            chains = [nothing(); T];
        }
        chains = add_unit::<T, 2>(chains, block, x, units);
        chains = add_unit::<T, 3>(chains, block, x, units);
        if EACH < 8 || b % 2 == 1 || b + 1 == blocks.len() {
            let Some(scales) = scales.next() else { break };
            rows = add_chains(rows, chains, scales);
            chains = [nothing(); T];
        }
    }
    write(rows, panel, batch, y);
}

/// Adds plane `P` of a block to the chains of its group; of each plane there are starts and factors.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_unit<const T: usize, const P: usize>(
    chains: [__m256; T],
    block: &Block,
    x: &BlockX<T>,
    (starts, factors): (&[[i32; T]; 4], &[[f32; T]; 4]),
) -> [__m256; T] {
    let sums = add_planes::<T, P, 1>(begun(&starts[P]), (block, STEPS), x);
    scaled(chains, widened(sums), Some(&factors[P]))
}

fn in_blocks<const T: usize>(x: &[i32]) -> &[BlockX<T>] {
    x.as_chunks::<T>().0.as_chunks::<STEPS>().0.as_chunks::<4>().0
}

#[inline(always)]
fn ask_for<const TWO_LEVELS: bool>(block: &Block) {
    for line in block.as_chunks::<64>().0 {
        ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
    }
}

/// What sums begin with.
#[inline]
#[target_feature(enable = "avx2")]
fn begun<const T: usize>(starts: &[i32; T]) -> [__m256i; T] {
    let mut sums = [_mm256_setzero_si256(); T];
    for t in 0..T {
        sums[t] = _mm256_set1_epi32(starts[t]);
    }
    sums
}

/// Adds `COUNT` planes of a block from `FIRST` on, brought to the bottom of their bytes, times their activations. The
/// registers of a block are steps; with few tokens the compiler may not know how many: it would unroll them, and spill.
#[inline]
#[target_feature(enable = "avx2")]
fn add_planes<const T: usize, const FIRST: usize, const COUNT: usize>(
    mut sums: [__m256i; T],
    (block, steps): (&Block, usize),
    x: &BlockX<T>,
) -> [__m256i; T] {
    let mask = _mm256_set1_epi8(3);
    for (i, step) in block.as_chunks::<32>().0.iter().enumerate().take(steps) {
        // SAFETY: a step has 32 bytes; the load needs no alignment.
        let codes = unsafe { _mm256_loadu_si256(step.as_ptr().cast()) };
        let mut codes = match FIRST {
            0 => codes,
            1 => _mm256_srli_epi16::<2>(codes),
            2 => _mm256_srli_epi16::<4>(codes),
            _ => _mm256_srli_epi16::<6>(codes),
        };
        for x in &x[FIRST..FIRST + COUNT] {
            let plane = _mm256_and_si256(codes, mask);
            codes = _mm256_srli_epi16::<2>(codes);
            for t in 0..T {
                let products = _mm256_maddubs_epi16(plane, _mm256_set1_epi32(x[i][t]));
                sums[t] = _mm256_add_epi16(sums[t], products);
            }
            in_order!(ymm_reg: codes);
        }
    }
    sums
}

/// Sums of weight * x of the rows, of each token.
#[inline]
#[target_feature(enable = "avx2")]
fn widened<const T: usize>(mut sums: [__m256i; T]) -> [__m256i; T] {
    for sum in &mut sums {
        *sum = _mm256_madd_epi16(*sum, _mm256_set1_epi16(1));
    }
    sums
}

/// Adds units to the chains of their group.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn scaled<const T: usize>(mut chains: [__m256; T], sums: [__m256i; T], factors: Option<&[f32; T]>) -> [__m256; T] {
    let factors = factors.unwrap_or(&[0.0; T]);
    for t in 0..T {
        chains[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), _mm256_set1_ps(factors[t]), chains[t]);
    }
    chains
}

/// Adds groups that are one unit, whose activations have scales if there are factors.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_groups<const T: usize>(
    mut rows: [__m256; T],
    sums: [__m256i; T],
    scales: &Scales,
    factors: Option<&[f32; T]>,
) -> [__m256; T] {
    let scales = load(scales);
    for t in 0..T {
        let both = match factors {
            Some(factors) => _mm256_mul_ps(scales, _mm256_set1_ps(factors[t])),
            None => scales,
        };
        rows[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), both, rows[t]);
    }
    rows
}

/// Adds groups of several units.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_chains<const T: usize>(mut rows: [__m256; T], chains: [__m256; T], scales: &Scales) -> [__m256; T] {
    let scales = load(scales);
    for t in 0..T {
        rows[t] = _mm256_fmadd_ps(chains[t], scales, rows[t]);
    }
    rows
}

#[inline]
#[target_feature(enable = "avx2")]
fn write<const T: usize>(rows: [__m256; T], panel: &Panel<'_>, batch: &Batch<'_>, y: &mut Columns<'_, f32>) {
    for (t, rows) in rows.into_iter().enumerate() {
        store(&mut y.token(batch.first + t)[panel.row..panel.row + panel.rows], rows);
    }
}
