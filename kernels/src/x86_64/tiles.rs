//! What the gemm kernels share: activations in the order of the inner loop, and the walk over chunks of rows and tiles of tokens.

use crate::activation::QuantizedActivations;
use crate::descriptor::GemmI8;
use crate::parallel::Columns;
use std::cell::RefCell;

/// Bytes of codes that a chunk of rows holds: half of a 512 KiB second-level cache, so that the codes stay there while all tokens pass
/// over them and come from memory once.
const CHUNK_BYTES: usize = 256 << 10;

thread_local! {
    /// The batch in tile order; kept, so that a prompt's hundreds of calls allocate once a thread.
    static ACTIVATIONS: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
}

/// Computes one panel times the tokens of a tile: (codes of the panel, activations as [`pack`] leaves them, where results go, output).
pub(super) type TileFn = unsafe fn(&[u8], &[i32], Target<'_>, &mut Columns<'_, i32>);

/// Tiles of a kernel: tokens and code of each, the widest first, the last for one token.
pub(super) type Tiles = [(usize, TileFn)];

/// Where a tile's results go.
pub(super) struct Target<'a> {
    /// Activations of the tile's tokens, for their sums.
    pub x: &'a [QuantizedActivations],
    /// Number of the first of them.
    pub first: usize,
    /// First row.
    pub row: usize,
    /// Rows, at most a panel's.
    pub rows: usize,
}

/// Products of all panels, each of `panel_rows` rows, with all tokens.
///
/// # Safety
/// The CPU must have the features that the functions in `tiles` enable.
pub(super) unsafe fn gemm(args: GemmI8<'_, '_>, panel_rows: usize, tiles: &Tiles) {
    // A panel's codes have 2 bits: a dword of four activations meets `panel_rows` bytes of codes.
    let quads = args.panel_bytes / panel_rows;
    ACTIVATIONS.with_borrow_mut(|packed| {
        packed.clear();
        for (first, count, _) in split(args.x.len(), tiles) {
            pack(&args.x[first..first + count], quads, packed);
        }
        let rows = args.y.len();
        let panels_a_chunk = (CHUNK_BYTES / args.panel_bytes).max(1);
        for (c, chunk) in args.codes.chunks(panels_a_chunk * args.panel_bytes).enumerate() {
            let mut rest = &packed[..];
            for (first, count, tile) in split(args.x.len(), tiles) {
                let (activations, later) = rest.split_at(quads * count);
                rest = later;
                for (p, panel) in chunk.chunks_exact(args.panel_bytes).enumerate() {
                    let row = (c * panels_a_chunk + p) * panel_rows;
                    let x = &args.x[first..first + count];
                    let target = Target { x, first, row, rows: (rows - row).min(panel_rows) };
                    // SAFETY: the caller answers for the features.
                    unsafe { tile(panel, activations, target, args.y) };
                }
            }
        }
    });
}

/// First token, size and code of each tile: as many of the widest as fit, then the next smaller ones.
fn split(tokens: usize, tiles: &Tiles) -> impl Iterator<Item = (usize, usize, TileFn)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let &(count, tile) = tiles.iter().find(|t| t.0 <= tokens - first)?;
        first += count;
        Some((first - count, count, tile))
    })
}

/// Appends the tokens' activations, four of one token in a dword, all tokens of a dword's k side by side.
fn pack(x: &[QuantizedActivations], quads: usize, packed: &mut Vec<i32>) {
    let (count, start) = (x.len(), packed.len());
    packed.resize(start + quads * count, 0);
    let tile = &mut packed[start..];
    for (t, x) in x.iter().enumerate() {
        for (k, quad) in x.padded().as_chunks::<4>().0.iter().take(quads).enumerate() {
            tile[k * count + t] = i32::from_le_bytes(quad.map(i8::cast_unsigned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_token_once() {
        fn tile(_: &[u8], _: &[i32], _: Target<'_>, _: &mut Columns<'_, i32>) {}
        let tiles: [(usize, TileFn); 4] = [(24, tile), (8, tile), (3, tile), (1, tile)];
        for tokens in 0..130 {
            let parts: Vec<_> = split(tokens, &tiles).collect();
            assert_eq!(parts.iter().map(|t| t.1).sum::<usize>(), tokens);
            assert!(parts.windows(2).all(|w| w[0].0 + w[0].1 == w[1].0));
        }
    }
}
