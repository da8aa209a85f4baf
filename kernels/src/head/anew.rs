//! Rows of f16 that are quantised while they are multiplied: the bits of a quantised head for the first token, before
//! there is one.
//!
//! Making a quantised head reads all rows and writes half as many bytes, or a quarter, to pages that the system has to
//! clear first; a product of the same rows that keeps nothing takes less than that, and whoever wants one product
//! alone never needs the head.

use super::format::HeadFormat;
use super::panel::PANEL_ROWS;
use super::{q4, q8};
use crate::error::KernelError;
use crate::f32_ops::F32Ops;

/// Writes row `row` of `k` f16 bit patterns as f32; refuses one that is not finite.
pub(super) fn widened(
    halves: &[u16],
    (row, k): (usize, usize),
    ops: F32Ops,
    out: &mut [f32],
) -> Result<(), KernelError> {
    let halves = &halves[row * k..(row + 1) * k];
    if ops.any_infinite_f16(halves) {
        let infinite = |bits: &u16| !half::f16::from_bits(*bits).is_finite();
        let column = halves.iter().position(infinite).unwrap_or(0);
        return Err(KernelError::NonFiniteWeight { row, column });
    }
    ops.widen_f16(halves, out);
    Ok(())
}

/// Quantises a row into its lane of a panel: (operations, number of the row in the panel, row, panel).
pub(super) type PackRow = fn(F32Ops, usize, &[f32], &mut [u8]);

/// Bytes of a panel of rows of `k` elements in a quantised format, and what packs a row of it.
pub(super) fn packing(format: HeadFormat, k: usize) -> (usize, PackRow) {
    match format {
        HeadFormat::Q4 => (q4::panel_bytes(k), q4::pack_row),
        HeadFormat::F16 | HeadFormat::Q8 => (q8::panel_bytes(k), q8::pack_row),
    }
}

/// A panel that is made again and again of other rows.
pub(super) struct Scratch<'a> {
    halves: &'a [u16],
    k: usize,
    ops: F32Ops,
    pack: PackRow,
    row: Vec<f32>,
    panel: Vec<u8>,
}

impl<'a> Scratch<'a> {
    /// One for panels of these rows.
    pub(super) fn new(format: HeadFormat, halves: &'a [u16], k: usize, ops: F32Ops) -> Self {
        let (bytes, pack) = packing(format, k);
        Self { halves, k, ops, pack, row: vec![0.0; k], panel: vec![0; bytes] }
    }

    /// The panel of `rows` rows from number `first` on, at most as many as it has; lanes beyond are whatever was there.
    pub(super) fn panel(&mut self, first: usize, rows: usize) -> Result<&[u8], KernelError> {
        for lane in 0..rows.min(PANEL_ROWS) {
            widened(self.halves, (first + lane, self.k), self.ops, &mut self.row)?;
            (self.pack)(self.ops, lane, &self.row, &mut self.panel);
        }
        Ok(&self.panel)
    }
}
