//! The prefill half of `avxvnni-groups`: the same packed weights times a batch of tokens.
//!
//! A tile is 16 rows in two registers by 6 or 4 tokens. A line is loaded and a plane of it masked once for all tokens
//! of the tile, and an activation is broadcast once for both registers. As in `avx512-vnni-groups` a unit is one plane
//! of some lines, or several planes; planes stay in place, sums begin at minus the sum of their activations, and a line
//! is read once for each of its planes, from the first-level cache.
//!
//! Per 64 weights and token, a quarter of a line: 1 broadcast load, 2 `vpdpbusd`, and of what 6 tokens share 1/3 `and`
//! with its load: 3 1/3 where decode has 5 1/2. The f32 sums of the tokens do not stay in registers beside the sums of
//! integers: where a unit ends, each register of a token has a conversion, a fused multiply-add with a load, and a
//! store. Where a group has several units, a token has two f32 sums a register, which go through memory; by 32, every
//! eight lines, that costs six tokens more than the masks save, so such a batch goes in tiles of four.
//!
//! Tokens that are left over, three at most, are decoded: a tile of two, with two sets of sums to keep the dot-product
//! units busy, ran at 1.02 to 1.08 of that, and one of a token has more instructions.
//!
//! No CPU with AVX-VNNI was at hand. On an AMD EPYC (family 25 model 17) the same loop with `vpdpbusd` as AVX-512
//! encodes it, and no other AVX-512, runs in L2 (1024 x 2560, 48 tokens, medians of nine rounds in turn on a loaded
//! machine) at 1.25 to 1.33 of the speed of token by token by every rule and group, at up to 211 GMAC/s of the 236 that
//! two `vpdpbusd` a cycle are (by 32 160 to 167); four tokens at 1.14 to 1.31.
//!
//! # What the compiler makes of it
//! Twelve sums, the two registers of a plane, an activation and a mask are the 16 registers there are. The loop over
//! two lines has 24 `vpdpbusd` in 46 instructions, no store to the stack and no move; two of its four `and` read their
//! mask from memory. A first form, which took units in order and found plane and line of each by division, had as many
//! instructions where a unit of 32 ends as in its products; planes in an outer loop, with counters, need half of them.

use super::instructions;
use crate::descriptor::GemmGroups;
use crate::layouts::planes16::{LINE, ROWS, SCALE_BYTES, super_bytes, super_k};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::Prefetch;
use crate::w2ga8::group_tiles::{self, BLOCKS, Batch, GemvFn, Panel, Plan, Shape, TOKEN, Tile, WITHIN, undo};

/// Tokens of the widest tile: 12 sums, a plane, its mask and an activation are the registers there are.
pub(super) const TOKENS: usize = 6;

/// Sums are largest in plane 3, 64 times too large: up to 256 weights of a unit, codes up to 3, activations of -128.
const _: () = assert!(3 * 64 * 128 * 256 <= i32::MAX as usize);

/// A tile of 16 rows by `$tokens` tokens, with lane operations from the module `$lanes`. A macro and not a generic
/// function, so that it is compiled with the features of the function around it.
macro_rules! tile_with {
    ($lanes:ident, ($panel:ident, $batch:ident, $y:ident), $tokens:ident, $mode:ident, $two_levels:ident) => {{
        let Shape { k, group, unit } = $panel.shape;
        let whole = super_k(group);
        let mut x = $batch.x.as_chunks::<$tokens>().0;
        let mut starts = $batch.starts.as_chunks::<$tokens>().0.iter();
        let mut factors = $batch.factors.as_chunks::<$tokens>().0.iter();
        let mut rows = [$lanes::splat(0.0); $tokens];
        for (bytes, from) in $panel.bytes.chunks(super_bytes(whole, group)).zip((0..k).step_by(whole)) {
            let plane = whole.min(k - from) / 4;
            let (lines, scales) = bytes.split_at(plane / 4 * LINE);
            let lines = lines.as_chunks::<LINE>().0;
            for line in bytes.as_chunks::<LINE>().0 {
                $lanes::prefetch::<$two_levels>(line);
            }
            // Of a unit, the part within a plane: all of it, or as much as a plane has.
            let piece = unit.min(plane);
            // Parts of a unit, units of a group.
            let (parts, units) = (unit / piece, group / unit);
            let mut scales = scales.as_chunks::<SCALE_BYTES>().0.iter();
            let (mut weights, mut sums) = ($lanes::splat(0.0), [$lanes::zero(); $tokens]);
            let mut chains = [$lanes::splat(-0.0); $tokens];
            // Those that are through.
            let (mut part, mut units_done) = (0, 0);
            for p in 0..4 {
                let mask = $lanes::mask(p);
                for lines in lines.chunks_exact(piece / 4) {
                    if part == 0 {
                        let Some(start) = starts.next() else { return };
                        for t in 0..$tokens {
                            sums[t] = $lanes::begun(start[t]);
                        }
                    } else {
                        for t in 0..$tokens {
                            sums[t] = $lanes::times_4(sums[t]);
                        }
                    }
                    let (own, rest) = x.split_at(lines.len());
                    x = rest;
                    add_lines!($lanes, lines, own, mask, sums, $tokens);
                    part += 1;
                    if part < parts {
                        continue;
                    }
                    part = 0;
                    if units_done == 0 {
                        let Some(scales) = scales.next() else { return };
                        weights = $lanes::halves(scales);
                    }
                    units_done += 1;
                    if $mode == WITHIN {
                        let Some(factors) = factors.next() else { return };
                        for t in 0..$tokens {
                            chains[t] = $lanes::fma($lanes::converted(sums[t]), $lanes::splat(factors[t]), chains[t]);
                        }
                        if units_done < units {
                            continue;
                        }
                        for t in 0..$tokens {
                            rows[t] = $lanes::fma(chains[t], weights, rows[t]);
                            // What the first product of a chain is added to: it stays what it is, whichever sign a zero
                            // has.
                            chains[t] = $lanes::splat(-0.0);
                        }
                    } else if $mode == BLOCKS {
                        let Some(factors) = factors.next() else { return };
                        for t in 0..$tokens {
                            let both = $lanes::mul(weights, factors[t]);
                            rows[t] = $lanes::fma($lanes::converted(sums[t]), both, rows[t]);
                        }
                    } else {
                        let weights = $lanes::mul(weights, undo(p));
                        for t in 0..$tokens {
                            rows[t] = $lanes::fma($lanes::converted(sums[t]), weights, rows[t]);
                        }
                    }
                    units_done = 0;
                }
            }
        }
        for t in 0..$tokens {
            $lanes::store(&mut $y.token($batch.first + t)[$panel.row..$panel.row + $panel.rows], rows[t]);
        }
    }};
}

/// Adds the plane under `$mask` of an even number of lines, in its place, times the activations of the tokens.
macro_rules! add_lines {
    ($lanes:ident, $lines:ident, $x:ident, $mask:ident, $sums:ident, $tokens:ident) => {{
        for (lines, x) in $lines.as_chunks::<2>().0.iter().zip($x.as_chunks::<2>().0) {
            for (line, x) in lines.iter().zip(x) {
                let codes = $lanes::masked($lanes::load(line), $mask);
                for t in 0..$tokens {
                    $sums[t] = $lanes::add_products($sums[t], codes, x[t]);
                }
            }
        }
    }};
}

/// Products with tiles that are forms of `$tile`, by the mode of the batch; `$gemv` takes tokens that are left.
macro_rules! gemm_with {
    ($args:ident, $tile:ident, $gemv:expr, $two_levels:expr) => {{
        let by_32 = $args.x.first().is_some_and(|x| x.rule().unit($args.group) == 32);
        let tiles: &[Tile] = match group_tiles::mode(&$args) {
            TOKEN => &tiles!($tile, TOKEN, $two_levels),
            BLOCKS => &tiles!($tile, BLOCKS, $two_levels),
            // Chains of six tokens lie in memory, too often for units of 32.
            _ => &tiles!($tile, WITHIN, $two_levels)[usize::from(by_32)..],
        };
        let (start, undo) = (group_tiles::start_in_place, group_tiles::undo_in_place);
        let plan = Plan { panel_rows: ROWS, tiles, gemv: Some($gemv), most: usize::MAX, start, undo };
        // SAFETY: this function enables the features that the tiles and the product of a token enable.
        unsafe { group_tiles::gemm($args, plan) }
    }};
}

/// Tokens and code of tiles.
macro_rules! tiles {
    ($tile:ident, $mode:expr, $two_levels:expr) => {{
        let tiles: [Tile; 2] =
            [(TOKENS, $tile::<TOKENS, { $mode }, { $two_levels }>), (4, $tile::<4, { $mode }, { $two_levels }>)];
        tiles
    }};
}

/// Products of all panels with all tokens; `gemv` takes those that are left.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn gemm(args: GemmGroups<'_, '_>, gemv: GemvFn) {
    match args.prefetch {
        Prefetch::OneLevel => gemm_with!(args, tile, gemv, false),
        Prefetch::TwoLevels => gemm_with!(args, tile, gemv, true),
    }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn tile<const T: usize, const MODE: u8, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    at_cache_line!();
    tile_with!(instructions, (panel, batch, y), T, MODE, TWO_LEVELS);
}
