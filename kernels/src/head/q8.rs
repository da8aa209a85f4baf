//! The head in int8: one f32 scale a row, sixteen rows interleaved.
//!
//! A panel of 16 rows is `ceil(k / 4)` lines of 64 bytes, then a line with the 16 scales. Lane r of a line, byte j,
//! holds row r's weight 4 * line + j as `q + 128`, where q = round(w * 127 / max|w of the row|) is within -127..=127.
//! Weights beyond k meet activations that are 0. One byte a weight and 4 a row: 8.0125 bits at k = 2560.
//!
//! # Exact
//! Stored weights are at most 255, activations at least -128, so that every partial sum of stored * x is within 255 *
//! 128 * k < 2^31 for k up to [`super::MAX_K_HEAD`]. Subtracting 128 * sum(x) leaves sum(q * x), within 127 * 128 * k.
//! Having the offset on the weights and not on the activations makes the correction one number a token instead of one a
//! row, and lets the activations stay as they are.

use super::panel::{MAX_K_HEAD, PANEL_ROWS};
use crate::f32_ops::F32Ops;

const _: () = assert!(255 * 128 * MAX_K_HEAD <= i32::MAX as usize);

/// Added to a weight to store it unsigned.
const OFFSET: i32 = 128;

/// Bytes of a line: 16 rows x 4 weights, or 16 f32.
const LINE: usize = 64;

/// A panel and what it is multiplied with.
pub(crate) struct PanelQ8<'a> {
    /// Weights, 4 of each row a line.
    pub(crate) lines: &'a [[u8; LINE]],
    /// As many quads of activations as there are lines.
    pub(crate) x: &'a [[i8; 4]],
    scales: &'a [u8; LINE],
    /// What the sums are too large by.
    excess: i32,
}

impl<'a> PanelQ8<'a> {
    /// `x` is padded with zeros to a multiple of four at least.
    pub(super) fn new(panel: &'a [u8], x: &'a [i8], x_sum: i32) -> Self {
        let [lines @ .., scales] = panel.as_chunks::<LINE>().0 else { unreachable!("a panel has a line of scales") };
        Self { lines, x: &x.as_chunks::<4>().0[..lines.len()], scales, excess: OFFSET * x_sum }
    }

    /// Products from sums of stored weights times activations.
    pub(super) fn scaled(&self, sums: &[i32; PANEL_ROWS]) -> [f32; PANEL_ROWS] {
        let scales = self.scales.as_chunks::<4>().0;
        std::array::from_fn(|r| (sums[r] - self.excess) as f32 * f32::from_le_bytes(scales[r]))
    }
}

pub(super) fn panel_bytes(k: usize) -> usize {
    (k.div_ceil(4) + 1) * LINE
}

/// Quantises a row into its lane of the panel.
pub(super) fn pack_row(ops: F32Ops, row: usize, weights: &[f32], panel: &mut [u8]) {
    let largest = ops.largest_magnitude(weights);
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let [lines @ .., scales] = panel.as_chunks_mut::<LINE>().0 else { unreachable!("a panel has a line of scales") };
    scales[4 * row..][..4].copy_from_slice(&(largest / 127.0).to_le_bytes());
    // In blocks, so that the row needs no second buffer.
    const BLOCK: usize = 256;
    let mut rounded = [0i8; BLOCK];
    for (weights, lines) in weights.chunks(BLOCK).zip(lines.chunks_mut(BLOCK / 4)) {
        rounded[weights.len()..].fill(0);
        ops.round_to_i8(weights, inverse, &mut rounded[..weights.len()]);
        for (line, quad) in lines.iter_mut().zip(rounded.as_chunks::<4>().0) {
            line[4 * row..][..4].copy_from_slice(&quad.map(|q| (i32::from(q) + OFFSET) as u8));
        }
    }
}

/// Sums of stored weights times activations, one a row.
pub(super) fn scalar(panel: &PanelQ8<'_>) -> [i32; PANEL_ROWS] {
    let mut sums = [0; PANEL_ROWS];
    for (line, x) in panel.lines.iter().zip(panel.x) {
        for (sum, weights) in sums.iter_mut().zip(line.as_chunks::<4>().0) {
            *sum += weights.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>();
        }
    }
    sums
}
