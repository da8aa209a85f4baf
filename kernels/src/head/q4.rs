//! The head in 4 bits: one f16 scale for each 128 weights of a row, sixteen rows interleaved.
//!
//! A panel of 16 rows is first its scales (16 f16 a group, the last line padded), then 16 lines of 64 bytes a group.
//! Lane r of a line holds 8 weights of row r: byte j has weight 8 * line + j in its low half and weight 8 * line + 4 +
//! j in its high half, as q + 8 with q within -8..=7. Masks 0x0F and 0xF0 take them out; the high ones stay 16 times
//! too large until the end of the group. Weights beyond k are 0. 4.125 bits a weight.
//!
//! # Exact
//! Within a group the sum of code * x is at most 15 * 128 * 128 < 2^18, of the high halves in place 16 times that:
//! int32 holds them, and f32 holds the group's sum exactly. Groups are added in f32 in their order along k, product
//! first, sum second, nothing contracted: every implementation gives the same bits.

use super::panel::PANEL_ROWS;
use crate::f32_ops::F32Ops;

/// Weights along k that share a scale.
pub(crate) const GROUP: usize = 128;
/// Lines of 64 bytes that a group of 16 rows takes.
pub(crate) const GROUP_LINES: usize = 16;
const LINE: usize = 64;
/// Bytes of a group's 16 scales.
const SCALES: usize = 2 * PANEL_ROWS;

/// A panel and what it is multiplied with; all parts have one element a group.
pub(crate) struct PanelQ4<'a> {
    /// f16, one a row.
    pub(crate) scales: &'a [[u8; SCALES]],
    /// Codes.
    pub(crate) lines: &'a [[[u8; LINE]; GROUP_LINES]],
    /// Activations, for each line those of the low and those of the high halves.
    pub(crate) x: &'a [[[[i8; 4]; 2]; GROUP_LINES]],
    /// Sums of the activations.
    pub(crate) x_sums: &'a [i32],
}

impl<'a> PanelQ4<'a> {
    /// `x` is padded with zeros to whole groups at least.
    pub(super) fn new(panel: &'a [u8], k: usize, x: &'a [i8], x_sums: &'a [i32]) -> Self {
        let groups = k.div_ceil(GROUP);
        let (scales, codes) = panel.split_at(scale_bytes(groups));
        Self {
            scales: &scales.as_chunks::<SCALES>().0[..groups],
            lines: codes.as_chunks::<LINE>().0.as_chunks::<GROUP_LINES>().0,
            x: &x.as_chunks::<4>().0.as_chunks::<2>().0.as_chunks::<GROUP_LINES>().0[..groups],
            x_sums: &x_sums[..groups],
        }
    }
}

fn scale_bytes(groups: usize) -> usize {
    (groups * SCALES).next_multiple_of(LINE)
}

pub(super) fn panel_bytes(k: usize) -> usize {
    let groups = k.div_ceil(GROUP);
    scale_bytes(groups).max(LINE) + groups * GROUP_LINES * LINE
}

/// Quantises a row into its lane of the panel.
pub(super) fn pack_row(ops: F32Ops, row: usize, weights: &[f32], panel: &mut [u8]) {
    let (scales, codes) = panel.split_at_mut(scale_bytes(weights.len().div_ceil(GROUP)));
    let groups = codes.as_chunks_mut::<LINE>().0.as_chunks_mut::<GROUP_LINES>().0;
    let mut group = [0f32; GROUP];
    let mut rounded = [0i8; GROUP];
    for ((weights, lines), scales) in weights.chunks(GROUP).zip(groups).zip(scales.as_chunks_mut::<SCALES>().0) {
        group[weights.len()..].fill(0.0);
        group[..weights.len()].copy_from_slice(weights);
        let scale = quantize(ops, &group, &mut rounded);
        scales[2 * row..][..2].copy_from_slice(&scale.to_le_bytes());
        for (line, weights) in lines.iter_mut().zip(rounded.as_chunks::<8>().0) {
            for j in 0..4 {
                let code = |q: i8| (q + 8) as u8;
                line[4 * row + j] = code(weights[j]) | code(weights[4 + j]) << 4;
            }
        }
    }
}

/// Codes within -8..=7 of a group, and its scale. The scale first takes the largest weight to -8 (as ggml's Q4_0 does),
/// then becomes the least-squares one for the codes that this gives, then the codes are rounded again.
pub(super) fn quantize(ops: F32Ops, weights: &[f32; GROUP], codes: &mut [i8; GROUP]) -> half::f16 {
    let [low, high] = ops.extremes(weights);
    let mut scale = if -low > high { low } else { high } / -8.0;
    for last in [false, true] {
        let rounded_scale = half::f16::from_f32(scale);
        // f16 may round a tiny scale to zero: then the group is zero.
        let inverse = match rounded_scale.to_f32() {
            0.0 => 0.0,
            scale => 1.0 / scale,
        };
        ops.round_to_i4(weights, inverse, codes);
        if last {
            return rounded_scale;
        }
        let float = codes.map(f32::from);
        let squares = ops.dot(&float, &float);
        if squares > 0.0 {
            scale = ops.dot(weights, &float) / squares;
        }
    }
    half::f16::ZERO
}

/// Products before the activations' scale, one a row.
pub(super) fn scalar(panel: &PanelQ4<'_>) -> [f32; PANEL_ROWS] {
    let mut products = [0f32; PANEL_ROWS];
    for (group, lines) in panel.lines.iter().enumerate() {
        let mut sums = [-8 * panel.x_sums[group]; PANEL_ROWS];
        for (line, [low, high]) in lines.iter().zip(&panel.x[group]) {
            for (sum, codes) in sums.iter_mut().zip(line.as_chunks::<4>().0) {
                for j in 0..4 {
                    *sum += i32::from(codes[j] & 0x0F) * i32::from(low[j]);
                    *sum += i32::from(codes[j] >> 4) * i32::from(high[j]);
                }
            }
        }
        for ((product, sum), scale) in products.iter_mut().zip(sums).zip(panel.scales[group].as_chunks::<2>().0) {
            *product += sum as f32 * half::f16::from_le_bytes(*scale).to_f32();
        }
    }
    products
}
