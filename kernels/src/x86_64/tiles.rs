//! Shared by the gemm kernels: activations in the order of the inner loop, and the order of chunks of rows and tiles of
//! tokens.

use crate::activation::QuantizedActivations;
use crate::descriptor::GemmI8;
use crate::parallel::Columns;
use crate::x86_64::panel_rows::store_16;
use std::arch::x86_64::*;
use std::cell::RefCell;

/// Bytes of codes that a chunk of rows holds: half of a 512 KiB second-level cache, so that the codes stay there while
/// all tokens pass over them and come from memory once. From that size, not from a sweep; 1 MiB, half of the 2 MiB that
/// an Intel Xeon (family 6 model 207) has, is no faster there (0.99).
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

thread_local! {
    /// The batch in tile order; kept, so that a prompt's hundreds of calls allocate once a thread, and several matrices
    /// of one input (and pieces of a matrix) find it made.
    static ACTIVATIONS: RefCell<Packed<i32>> = const { RefCell::new(Packed::NONE) };
}

/// A batch in tile order, in elements of some kind, and what it was made of.
pub(crate) struct Packed<E> {
    /// Versions of the tokens' activations.
    of: Vec<u64>,
    steps: usize,
    /// Tokens of each tile: which tiles there are decides the order.
    counts: Vec<usize>,
    elements: Vec<E>,
}

/// Appends the tokens' activations, so many elements of each, in the order in which a tile takes them.
pub(crate) type PackTile<E> = fn(x: &[QuantizedActivations], steps: usize, packed: &mut Vec<E>);

impl<E> Packed<E> {
    /// Of no batch.
    pub(crate) const NONE: Self = Self { of: Vec::new(), steps: 0, counts: Vec::new(), elements: Vec::new() };

    /// The batch as `pack`, always the same for one of these, makes it for each tile.
    pub(crate) fn make<F: Copy>(
        &mut self,
        x: &[QuantizedActivations],
        steps: usize,
        tiles: &[(usize, F)],
        pack: PackTile<E>,
    ) -> &[E] {
        let counts = || split(x.len(), tiles).map(|(_, count, _)| count);
        let same = self.steps == steps && self.of.len() == x.len() && self.counts.iter().copied().eq(counts());
        if same && self.of.iter().zip(x).all(|(of, x)| *of == x.version()) {
            return &self.elements;
        }
        // Nothing is taken for made if this is cut short.
        self.of.clear();
        self.elements.clear();
        for (first, count, _) in split(x.len(), tiles) {
            pack(&x[first..first + count], steps, &mut self.elements);
        }
        self.of.extend(x.iter().map(QuantizedActivations::version));
        self.steps = steps;
        self.counts.clear();
        self.counts.extend(counts());
        &self.elements
    }
}

/// Runs `product` with the tokens in tile order, the tokens of a tile side by side for each four activations: `quads`
/// times as many dwords as there are tokens.
pub(crate) fn with_activations<F: Copy>(
    x: &[QuantizedActivations],
    quads: usize,
    tiles: &[(usize, F)],
    product: impl FnOnce(&[i32]),
) {
    ACTIVATIONS.with_borrow_mut(|packed| product(packed.make(x, quads, tiles, pack)));
}

/// Computes one panel times the tokens of a tile: (codes of the panel, activations as [`pack`] leaves them, where
/// results go, output).
pub(crate) type TileFn = unsafe fn(&[u8], &[i32], Target<'_>, &mut Columns<'_, i32>);

/// Tokens and code of a tile.
pub(crate) type Tile = (usize, TileFn);

/// Tiles of a kernel, the widest first, the last for one token.
pub(crate) type Tiles = [Tile];

/// How a kernel goes through a batch.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// Rows of a panel.
    pub panel_rows: usize,
    /// Planes in the four bytes that a step has of each row: as many dwords of activations meet them.
    pub planes: usize,
    /// Tiles of one panel.
    pub tiles: &'a Tiles,
    /// Tiles of two panels, one after the other, for the same numbers of tokens as the first of `tiles`; none where a
    /// panel goes alone.
    pub pairs: &'a Tiles,
}

/// Where a tile's results go.
pub(crate) struct Target<'a> {
    /// Activations of the tile's tokens, for their sums.
    pub x: &'a [QuantizedActivations],
    /// Number of the tile's first token in the batch.
    pub first: usize,
    /// Number of the tile's first row in the output.
    pub row: usize,
    /// Number of rows to write, at most those of the tile's panels.
    pub rows: usize,
}

/// Products of all panels with all tokens.
///
/// # Safety
/// The CPU must have the features that the functions in `plan` enable.
pub(crate) unsafe fn gemm(args: GemmI8<'_, '_>, plan: Plan<'_>) {
    let Plan { panel_rows, planes, tiles, pairs } = plan;
    let quads = args.panel_bytes / (4 * panel_rows) * planes;
    with_activations(args.x, quads, tiles, |dwords| {
        let rows = args.y.len();
        let panels_a_chunk = (CHUNK_BYTES / args.panel_bytes).max(1);
        for (c, chunk) in args.codes.chunks(panels_a_chunk * args.panel_bytes).enumerate() {
            let mut rest = dwords;
            for (first, count, tile) in split(args.x.len(), tiles) {
                let (activations, later) = rest.split_at(quads * count);
                rest = later;
                let pair = pairs.iter().find(|pair| pair.0 == count).map(|pair| pair.1);
                let mut row = c * panels_a_chunk * panel_rows;
                let mut call = |tile: TileFn, panels: &[u8], of: usize| {
                    let x = &args.x[first..first + count];
                    let target = Target { x, first, row, rows: (rows - row).min(of * panel_rows) };
                    // SAFETY: the caller answers for the features.
                    unsafe { tile(panels, activations, target, args.y) };
                    row += of * panel_rows;
                };
                let mut panels = chunk;
                if let Some(pair) = pair {
                    let pairs = chunk.chunks_exact(2 * args.panel_bytes);
                    panels = pairs.remainder();
                    pairs.for_each(|panels| call(pair, panels, 2));
                }
                panels.chunks_exact(args.panel_bytes).for_each(|panel| call(tile, panel, 1));
            }
        }
    });
}

/// Turns sums of codes into sums of weights and stores the rows that there are.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn write_16<const T: usize>(sums: [__m512i; T], target: Target<'_>, y: &mut Columns<'_, i32>) {
    for (t, (sum, x)) in sums.into_iter().zip(target.x).enumerate() {
        let exact = _mm512_sub_epi32(sum, _mm512_set1_epi32(x.sum()));
        store_16(&mut y.token(target.first + t)[target.row..target.row + target.rows], exact);
    }
}

/// First token, size and code of each tile: as many of the widest as fit, then the next smaller ones.
pub(crate) fn split<F: Copy>(tokens: usize, tiles: &[(usize, F)]) -> impl Iterator<Item = (usize, usize, F)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let &(count, tile) = tiles.iter().find(|t| t.0 <= tokens - first)?;
        first += count;
        Some((first - count, count, tile))
    })
}

/// Appends the tokens' activations, four of one token in a dword, all tokens of a dword's k side by side.
///
/// Four tokens by four dwords at a time, turned in registers. Each thread turns the whole batch for each matrix: with
/// single dwords, each to a line of its own, that was 5% of a product of 640 x 2560 with 128 tokens, and is 1% (Zen 5).
fn pack(x: &[QuantizedActivations], quads: usize, packed: &mut Vec<i32>) {
    let (count, start) = (x.len(), packed.len());
    packed.resize(start + quads * count, 0);
    let tile = &mut packed[start..];
    let whole = quads / 4 * 4;
    let (fours, rest) = x.as_chunks::<4>();
    for (f, four) in fours.iter().enumerate() {
        let x = four.each_ref().map(|x| &x.padded()[..4 * quads]);
        for k in (0..whole).step_by(4) {
            let rows = transposed(x.map(|x| load_dwords(&x[4 * k..])));
            for (i, row) in rows.into_iter().enumerate() {
                store_dwords(&mut tile[(k + i) * count + 4 * f..], row);
            }
        }
        for (k, t) in (whole..quads).flat_map(|k| (0..4).map(move |t| (k, t))) {
            tile[k * count + 4 * f + t] = dword(&x[t][4 * k..]);
        }
    }
    for (t, x) in rest.iter().enumerate() {
        let quads = x.padded().as_chunks::<4>().0.iter().take(quads);
        quads.enumerate().for_each(|(k, quad)| tile[k * count + 4 * fours.len() + t] = dword(quad));
    }
}

fn dword(x: &[i8]) -> i32 {
    i32::from_le_bytes([x[0], x[1], x[2], x[3]].map(i8::cast_unsigned))
}

/// Sixteen activations.
#[inline]
fn load_dwords(x: &[i8]) -> __m128i {
    let x: &[i8] = &x[..16];
    // SAFETY: SSE2 is part of x86-64; the slice has 16 bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[inline]
fn store_dwords(out: &mut [i32], dwords: __m128i) {
    let out: &mut [i32] = &mut out[..4];
    // SAFETY: SSE2 is part of x86-64; the slice has 16 bytes, and the store needs no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), dwords) }
}

/// Dword j of vector i becomes dword i of vector j.
#[inline]
fn transposed([a, b, c, d]: [__m128i; 4]) -> [__m128i; 4] {
    // SAFETY: SSE2 is part of x86-64.
    unsafe {
        let (ab_low, ab_high) = (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
        [
            _mm_unpacklo_epi64(ab_low, cd_low),
            _mm_unpackhi_epi64(ab_low, cd_low),
            _mm_unpacklo_epi64(ab_high, cd_high),
            _mm_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(_: &[u8], _: &[i32], _: Target<'_>, _: &mut Columns<'_, i32>) {}

    #[test]
    fn every_activation_has_its_place() {
        let mut random = crate::random::SplitMix64::new(5);
        for (quads, count) in [1, 3, 4, 5, 17, 64].into_iter().flat_map(|q| [1, 2, 3, 4, 6, 8, 24].map(|c| (q, c))) {
            let mut token = || QuantizedActivations::from_values(&random.int8s(4 * quads), 1.0);
            let x: Vec<_> = (0..count).map(|_| token()).collect();
            let mut packed = vec![7];
            pack(&x, quads, &mut packed);
            assert_eq!(packed.len(), 1 + quads * count);
            for (k, t) in (0..quads).flat_map(|k| (0..count).map(move |t| (k, t))) {
                assert_eq!(packed[1 + k * count + t], dword(&x[t].values()[4 * k..]), "{quads} {count} {k} {t}");
            }
        }
    }

    #[test]
    fn a_batch_is_made_again_when_anything_about_it_changes() {
        let wide: [(usize, TileFn); 3] = [(3, tile), (2, tile), (1, tile)];
        // As wide, and other tiles for what is left.
        let uneven: [(usize, TileFn); 2] = [(3, tile), (1, tile)];
        let narrow = &wide[1..];
        let ops = crate::F32Ops::select(crate::CpuFeatures::detect());
        let mut x = vec![QuantizedActivations::new(8); 5];
        let mut kept = Packed::NONE;
        let mut check = |x: &[QuantizedActivations], quads, tiles: &Tiles| {
            let mut want = Vec::new();
            split(x.len(), tiles).for_each(|(first, count, _)| pack(&x[first..first + count], quads, &mut want));
            assert_eq!(kept.make(x, quads, tiles, pack), want);
        };
        for round in 0..3 {
            for (t, x) in x.iter_mut().enumerate() {
                x.quantize(ops, &[1.0, -0.5, round as f32, t as f32]).expect("finite");
            }
            check(&x, 2, &wide);
            check(&x, 2, &uneven);
            check(&x, 2, &wide);
            check(&x, 2, &wide);
            check(&x, 1, &wide);
            check(&x, 1, narrow);
            check(&x[..2], 1, narrow);
            x.swap(0, 2);
            check(&x[..2], 1, narrow);
        }
    }

    #[test]
    fn tiles_cover_every_token_once() {
        let tiles: [(usize, TileFn); 4] = [(24, tile), (8, tile), (3, tile), (1, tile)];
        for tokens in 0..130 {
            let parts: Vec<_> = split(tokens, &tiles).collect();
            assert_eq!(parts.iter().map(|t| t.1).sum::<usize>(), tokens);
            assert!(parts.windows(2).all(|w| w[0].0 + w[0].1 == w[1].0));
        }
    }
}
