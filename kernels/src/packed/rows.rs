//! Packing a matrix whose rows are decoded one by one, on all threads: no other copy of it is made on the way.

use super::meaning::{CodeTable, Scales};
use super::scales::Kept;
use super::{PackedWeights, Panels};
use crate::error::KernelError;
use crate::layout::Layout;
use crate::parallel::{StridedStart, Team, row_range};
use std::sync::{Mutex, PoisonError};

/// Writes the codes of a row and the scales of its groups.
pub type DecodeRow<'a> = dyn Fn(usize, &mut [u8], &mut [f32]) + Sync + 'a;

/// A matrix that is decoded row by row while it is packed, on all threads.
#[derive(Clone, Copy)]
pub struct RowSource<'a> {
    /// Number of rows (outputs, m) of the matrix.
    pub rows: usize,
    /// Number of columns (inputs, k) of the matrix.
    pub k: usize,
    /// Weight that each code stands for, before the scale.
    pub table: CodeTable,
    /// Weights of a row that share a scale, k where a row has one; 0 where [`Self::tensor_scale`] is that of all.
    pub group: usize,
    /// The scale of the tensor, where it has one.
    pub tensor_scale: f32,
    /// Writes the `k` codes of a row and its `ceil(k / group)` scales; called once for each row, in no order.
    pub decode: &'a DecodeRow<'a>,
}

impl PackedWeights {
    /// Packs a matrix that is decoded row by row, with all threads of `team`; the bytes are the same for any number.
    /// Scales that are equal, bit for bit, become that of their row or of the tensor.
    ///
    /// # Errors
    /// [`KernelError::InvalidCode`] with the first code that the table has no weight for, in the order of rows;
    /// [`KernelError::GroupScales`] for groups that the layout does not hold; and as [`Self::pack`].
    pub fn from_rows(layout: &'static Layout, source: RowSource<'_>, team: &mut Team) -> Result<Self, KernelError> {
        let RowSource { rows, k, table, group, .. } = source;
        let layout = layout.form(group).unwrap_or(layout);
        let mut this = Self::without_codes(layout, [rows, k], table)?;
        let a_row = if group == 0 { 0 } else { k.div_ceil(group) };
        let mut scales = vec![0.0; rows.checked_mul(a_row).ok_or(KernelError::TooLarge { rows, k })?];
        let mut codes = this.panels_to_fill().room();
        fill(this.panels_to_fill(), &source, (&mut codes, &mut scales), team)?;
        let scales = match group {
            0 => Scales::PerTensor(source.tensor_scale),
            group => Scales::PerGroup { group, values: scales },
        };
        this.scales = Kept::new(layout, [rows, k], scales)?;
        this.filled(codes)
    }
}

/// Decodes and packs all rows, each thread its panels.
fn fill(
    panels: Panels,
    source: &RowSource<'_>,
    (codes, scales): (&mut [u8], &mut [f32]),
    team: &mut Team,
) -> Result<(), KernelError> {
    let (threads, panel_rows, panel_bytes) = (team.threads(), panels.layout.rows, panels.bytes());
    let a_row = scales.len().checked_div(source.rows).unwrap_or(0);
    let (all_codes, all_scales) = (codes.len(), scales.len());
    let (codes, scales) = (StridedStart::new(codes, all_codes), StridedStart::new(scales, all_scales));
    // Threads have ranges in the order of their numbers, so the lowest one's error is that of the lowest row.
    let first = Mutex::new(None::<(usize, KernelError)>);
    team.run(&|number| {
        let rows = row_range(source.rows, panel_rows, threads, number);
        if rows.is_empty() || source.k == 0 {
            return;
        }
        let bytes = rows.start / panel_rows * panel_bytes..rows.end.div_ceil(panel_rows) * panel_bytes;
        // SAFETY: `row_range` gives disjoint ranges of whole panels for different numbers, and each number runs once;
        // both slices are borrowed until `run` has returned.
        let (mut codes, mut scales) =
            unsafe { (codes.columns(bytes, 1), scales.columns(rows.start * a_row..rows.end * a_row, 1)) };
        let scales = scales.token(0);
        let decode = |row: usize, codes: &mut [u8]| {
            (source.decode)(row, codes, &mut scales[(row - rows.start) * a_row..][..a_row]);
        };
        if let Err(error) = panels.pack(rows.start / panel_rows, codes.token(0), decode) {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|(other, _)| number < *other) {
                *first = Some((number, error));
            }
        }
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), |(_, error)| Err(error))
}
