//! Products of a batch of tokens with scales of groups: the way over chunks of rows and tiles of tokens, and what a
//! tile's sums begin with and are multiplied with. What a tile does is each kernel's own.
//!
//! Rows go through in chunks whose codes stay in the second-level cache while all tokens pass over them; weights come
//! from memory once.

use crate::activation::QuantizedActivations;
use crate::descriptor::{GemmGroups, GemvGroups};
use crate::layouts::planes16::super_k;
use crate::padded_k;
use crate::parallel::Columns;
use crate::x86_64::tiles::{CHUNK_BYTES, split, with_activations};
use std::cell::RefCell;
use std::ops::Range;

/// One scale a token: it is not applied.
pub(crate) const TOKEN: u8 = 0;
/// A block of activations has whole groups.
pub(crate) const BLOCKS: u8 = 1;
/// A group has several blocks.
pub(crate) const WITHIN: u8 = 2;

/// Computes one panel times the tokens of a tile.
pub(crate) type TileFn = unsafe fn(&Panel<'_>, &Batch<'_>, &mut Columns<'_, f32>);

/// Tokens and code of a tile.
pub(crate) type Tile = (usize, TileFn);

/// Product of a token.
pub(crate) type GemvFn = unsafe fn(GemvGroups<'_>);

/// A panel and where its rows go.
pub(crate) struct Panel<'a> {
    pub bytes: &'a [u8],
    /// Where they are not among the codes.
    pub scales: &'a [f32],
    pub shape: Shape,
    /// Number of the first row in the output, and of the rows that there are.
    pub row: usize,
    pub rows: usize,
}

/// Lengths along k.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub k: usize,
    pub group: usize,
    pub unit: usize,
}

/// A tile's tokens: activations as the loop reads them, what the sums of the tokens begin with, and what those of each
/// unit are multiplied with, of blocks of activations that have scales.
pub(crate) struct Batch<'a> {
    pub x: &'a [i32],
    pub starts: &'a [i32],
    pub factors: &'a [f32],
    /// Number of the first token in the output.
    pub first: usize,
}

/// How a kernel goes through a batch.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// Rows of a panel.
    pub panel_rows: usize,
    /// The widest first.
    pub tiles: &'a [Tile],
    /// Takes the tokens that are left where no tile is for one: as fast as a tile would be.
    pub gemv: Option<GemvFn>,
    /// Weights whose sums begin anew, even where a unit has more.
    pub most: usize,
    /// What a sum begins with, given where: minus the sum of its activations, shifted to the left, of these bits.
    pub start: fn(Shape, usize) -> (u32, i32),
    /// What takes out of the sum of a unit, given where that ends, what its planes are too large by: exact.
    pub undo: fn(Shape, usize) -> f32,
}

thread_local! {
    /// Starts and factors of a batch, tile after tile: kept, so that a prompt's calls allocate once a thread.
    static UNITS: RefCell<(Vec<i32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Which scales the activations of a batch have.
pub(crate) fn mode(args: &GemmGroups<'_, '_>) -> u8 {
    match args.x.first().and_then(|x| x.rule().block()) {
        None => TOKEN,
        Some(block) if block < args.group => WITHIN,
        Some(_) => BLOCKS,
    }
}

/// Products of all panels with all tokens.
///
/// # Safety
/// The CPU must have the features that the functions in `plan` enable.
pub(crate) unsafe fn gemm(mut args: GemmGroups<'_, '_>, plan: Plan<'_>) {
    let Some(token) = args.x.first() else { return };
    let k = padded_k(token.len());
    let shape = Shape { k, group: args.group, unit: token.rule().unit(args.group) };
    let (begun, rows) = (k / shape.unit.min(plan.most), args.y.len());
    let units = token.rule().block().map_or(0, |_| k / shape.unit);
    let (panels_a_chunk, scales_a_panel) = ((CHUNK_BYTES / args.panel_bytes).max(1), args.groups * plan.panel_rows);
    UNITS.with_borrow_mut(|(starts, factors)| {
        starts.clear();
        factors.clear();
        let mut in_tiles = 0;
        for (first, count, _) in split(args.x.len(), plan.tiles) {
            add_units(&args.x[first..first + count], shape, plan, (starts, factors));
            in_tiles = first + count;
        }
        with_activations(args.x, k / 4, plan.tiles, |dwords| {
            for (c, codes) in args.codes.chunks(panels_a_chunk * args.panel_bytes).enumerate() {
                let row = c * panels_a_chunk * plan.panel_rows;
                let scales = args.scales.chunks((panels_a_chunk * scales_a_panel).max(1)).nth(c).unwrap_or(&[]);
                for (first, count, tile) in split(args.x.len(), plan.tiles) {
                    let of = |each: usize| first * each..(first + count) * each;
                    let (x, starts, factors) = (&dwords[of(k / 4)], &starts[of(begun)], &factors[of(units)]);
                    let batch = Batch { x, starts, factors, first };
                    for (p, bytes) in codes.chunks_exact(args.panel_bytes).enumerate() {
                        let scales = scales.get(p * scales_a_panel..(p + 1) * scales_a_panel).unwrap_or(&[]);
                        let row = row + p * plan.panel_rows;
                        let rows = (rows - row).min(plan.panel_rows);
                        // SAFETY: the caller answers for the features.
                        unsafe { tile(&Panel { bytes, scales, shape, row, rows }, &batch, args.y) };
                    }
                }
                let here = row..(row + panels_a_chunk * plan.panel_rows).min(rows);
                // SAFETY: as above.
                unsafe { one_by_one(&mut args, (codes, scales), in_tiles, here, plan.gemv) };
            }
        });
    });
}

/// Products of some panels with the tokens from number `from` on.
///
/// # Safety
/// The CPU must have the features that `gemv` enables.
unsafe fn one_by_one(
    args: &mut GemmGroups<'_, '_>,
    (codes, scales): (&[u8], &[f32]),
    from: usize,
    rows: Range<usize>,
    gemv: Option<GemvFn>,
) {
    let &mut GemmGroups { panel_bytes, groups, group, x, prefetch, .. } = args;
    for (t, x) in x.iter().enumerate().skip(from) {
        let rule = x.rule();
        let (Some(gemv), Some(sums)) = (gemv, x.sums(rule.unit(group))) else { return };
        let (x, x_scales, y) = (x.padded(), x.block_scales(), &mut args.y.token(t)[rows.clone()]);
        // SAFETY: the caller answers for the features.
        unsafe {
            gemv(GemvGroups { codes, panel_bytes, scales, groups, group, x, rule, sums, x_scales, prefetch, y });
        }
    }
}

/// Appends what sums begin with and are multiplied with, the tokens of a sum side by side.
fn add_units(
    x: &[QuantizedActivations],
    shape: Shape,
    plan: Plan<'_>,
    (starts, factors): (&mut Vec<i32>, &mut Vec<f32>),
) {
    // Where a unit lies is worked out once for all tokens: else its divisions take a tenth of the time of 256 rows.
    let begun = shape.unit.min(plan.most);
    for at in (0..shape.k).step_by(begun) {
        let (shift, bits) = (plan.start)(shape, at);
        let sum = |x: &QuantizedActivations| x.sums(begun).map_or(0, |sums| sums[at / begun]);
        starts.extend(x.iter().map(|x| (-sum(x) << shift) & bits));
    }
    let Some(block) = x.first().and_then(|x| x.rule().block()) else { return };
    for at in (0..shape.k).step_by(shape.unit) {
        let (undo, at) = ((plan.undo)(shape, at + shape.unit - 1), at / block);
        factors.extend(x.iter().map(|x| x.block_scales()[at] * undo));
    }
}

/// Of [`crate::layouts::planes16`], where planes stay in place: a sum begins at minus that of its activations, 4^p
/// times as large in plane p.
pub(crate) fn start_in_place(shape: Shape, at: usize) -> (u32, i32) {
    (2 * plane_of(shape, at) as u32, !0)
}

/// Takes the 4^p out of a unit that ends in plane p.
pub(crate) fn undo_in_place(shape: Shape, last: usize) -> f32 {
    undo(plane_of(shape, last))
}

/// What takes the 4^p out of the sums of a plane: exact.
pub(crate) const fn undo(p: usize) -> f32 {
    1.0 / (1 << (2 * p)) as f32
}

fn plane_of(shape: Shape, at: usize) -> usize {
    let whole = super_k(shape.group);
    at % whole / (whole.min(shape.k - at / whole * whole) / 4)
}
