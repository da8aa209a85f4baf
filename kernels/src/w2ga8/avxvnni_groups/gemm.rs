//! The prefill half of `avxvnni-groups`: the same packed weights times a batch of tokens.
//!
//! A tile is 16 rows in two registers by up to [`TOKENS`] tokens. A line is loaded and a plane of it masked once for
//! all tokens of the tile, and an activation is broadcast once for both registers. As in `avx512-vnni-groups` a unit is
//! one plane of some lines, or several planes; planes stay in place, sums begin at minus the sum of their activations,
//! and a line is read once for each of its planes, from the first-level cache.
//!
//! Per 64 weights and token, a quarter of a line: 1 broadcast load, 2 `vpdpbusd`, and of the 6 tokens' share 1/3 `and`
//! with its load: 3 1/3 where decode has 5 1/2. The f32 sums of the tokens do not stay in registers beside the sums of
//! integers: where a unit ends, each register of a token has a conversion, a fused multiply-add with a load, and a
//! store. Where a group has several units, two f32 sums a token wait there, and six tokens would cost more than the
//! masks save: such a batch goes in tiles of four.
//!
//! Worked out from the code, instructions per unit and token, of 16 rows: groups of 128 by token 138 where decode has
//! 229, by blocks of 128 147; by 32, for a fourth of the weights, 56 where decode has 74. A token that is left over is
//! decoded: a tile of one has more instructions than that.
//!
//! # What the compiler makes of it
//! Twelve sums, the two registers of a plane, an activation and a mask are the 16 registers there are. The loop over
//! two lines has 24 `vpdpbusd` in 46 instructions, no spill and no move; its masks come from memory in two of four
//! `and`. A first form, which took units in order and found plane and line of each by division, spent more on where a
//! unit ends than on its products by 32; the planes in an outer loop, with counters, halved that.

use super::instructions;
use crate::descriptor::GemmGroups;
use crate::layouts::planes16::{LINE, ROWS, SCALE_BYTES, super_bytes, super_k};
use crate::parallel::Columns;
use crate::placement::at_cache_line;
use crate::prefetch::Prefetch;
use crate::w2ga8::group_tiles::{self, BLOCKS, Batch, GemvFn, Panel, Plan, Shape, TOKEN, Tile, WITHIN, undo};

/// Tokens of the widest tile: 12 sums, a plane, its mask and an activation are the registers there are.
pub(super) const TOKENS: usize = 6;

/// Sums of fewer tokens are too few to keep the dot-product units busy: lines take turns with two sets.
pub(super) const FEW: usize = 2;

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
            // Parts of the unit and units of the group that are through.
            let (mut part, mut unit) = (0, 0);
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
                    if unit == 0 {
                        let Some(scales) = scales.next() else { return };
                        weights = $lanes::halves(scales);
                    }
                    unit += 1;
                    if $mode == WITHIN {
                        let Some(factors) = factors.next() else { return };
                        for t in 0..$tokens {
                            chains[t] = $lanes::fma($lanes::converted(sums[t]), $lanes::splat(factors[t]), chains[t]);
                        }
                        if unit < units {
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
                    unit = 0;
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
        let mut odd = [$lanes::zero(); $tokens];
        for (lines, x) in $lines.as_chunks::<2>().0.iter().zip($x.as_chunks::<2>().0) {
            let codes = $lanes::masked($lanes::load(&lines[0]), $mask);
            for t in 0..$tokens {
                $sums[t] = $lanes::add_products($sums[t], codes, x[0][t]);
            }
            let codes = $lanes::masked($lanes::load(&lines[1]), $mask);
            for t in 0..$tokens {
                if $tokens > FEW {
                    $sums[t] = $lanes::add_products($sums[t], codes, x[1][t]);
                } else {
                    odd[t] = $lanes::add_products(odd[t], codes, x[1][t]);
                }
            }
        }
        if $tokens <= FEW {
            for t in 0..$tokens {
                $sums[t] = $lanes::added($sums[t], odd[t]);
            }
        }
    }};
}

/// Products with tiles that are forms of `$tile`, by the mode of the batch; `$gemv` takes a token that is left.
macro_rules! gemm_with {
    ($args:ident, $tile:ident, $gemv:expr, $two_levels:expr) => {{
        let tiles: &[Tile] = match group_tiles::mode(&$args) {
            TOKEN => &tiles!($tile, TOKEN, $two_levels),
            BLOCKS => &tiles!($tile, BLOCKS, $two_levels),
            // Chains of six tokens leave no registers.
            _ => &tiles!($tile, WITHIN, $two_levels)[1..],
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
        let tiles: [Tile; 3] = [
            (TOKENS, $tile::<TOKENS, { $mode }, { $two_levels }>),
            (4, $tile::<4, { $mode }, { $two_levels }>),
            (FEW, $tile::<FEW, { $mode }, { $two_levels }>),
        ];
        tiles
    }};
}

/// Products of all panels with all tokens; `gemv` takes one that is left.
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
