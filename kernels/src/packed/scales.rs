//! Scales as packed weights keep them: by the largest unit in which they are equal, and in the order of the kernels.

use super::meaning::{ScaleUnit, Scales};
use crate::AlignedBuffer;
use crate::error::{KernelError, same};
use crate::layout::Layout;
use half::f16;
use std::ops::Range;

/// The scales of a matrix.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Weights of a group, and groups of a row; 0 where the layout holds no scales of groups.
    pub group: usize,
    pub row_groups: usize,
    /// Rows whose scales of one group lie side by side: those of a panel.
    lanes: usize,
    /// Scales of groups where the layout holds them, of every matrix: panel after panel, group after group, row after
    /// row. Rows that only pad a panel have 0. Else empty.
    pub groups: AlignedBuffer<f32>,
    /// A scale for each row, where rows differ and weights of a row do not. Else empty.
    pub rows: AlignedBuffer<f32>,
    /// The scale of all weights, if there is one.
    pub tensor: Option<f32>,
}

impl Kept {
    /// Checks and arranges the scales of a matrix of `rows` x `k`.
    ///
    /// # Errors
    /// A wrong number of them, groups that the layout does not hold and that differ within a row, or a scale that is no
    /// f16 where it holds only such.
    pub fn new(layout: &'static Layout, [rows, k]: [usize; 2], scales: Scales) -> Result<Self, KernelError> {
        let declared = if let Scales::PerGroup { group, .. } = scales { Some(group) } else { None };
        let scales = collapsed(scales, [rows, k])?;
        if let Scales::PerGroup { group, .. } = scales
            && !layout.groups.contains(&group)
        {
            return Err(KernelError::GroupScales { layout, group });
        }
        let held = declared.filter(|group| layout.groups.contains(group));
        let group = held.or(layout.usual_group()).unwrap_or(0);
        let row_groups = if group == 0 { 0 } else { k.div_ceil(group) };
        // A library takes them row after row.
        let lanes = if layout.foreign.is_some() { 1 } else { layout.rows };
        let mut groups = AlignedBuffer::zeroed(rows.next_multiple_of(lanes) * row_groups);
        for (panel, out) in groups.chunks_exact_mut((lanes * row_groups).max(1)).enumerate() {
            for (at, out) in out.iter_mut().enumerate() {
                let (row, g) = (panel * lanes + at % lanes, at / lanes);
                *out = match &scales {
                    Scales::PerTensor(scale) => *scale,
                    _ if row >= rows => 0.0,
                    Scales::PerRow(values) => values[row],
                    Scales::PerGroup { values, .. } => values[row * row_groups + g],
                };
            }
        }
        if layout.half_scale.is_some()
            && let Some(at) =
                groups.iter().position(|&scale| f16::from_f32(scale).to_f32().to_bits() != scale.to_bits())
        {
            let (row, group) = (at / (lanes * row_groups) * lanes + at % lanes, at / lanes % row_groups);
            return Err(KernelError::NoHalfScale { layout, row, group, scale: groups[at] });
        }
        let (rows, tensor) = match &scales {
            Scales::PerTensor(scale) => (&[][..], Some(*scale)),
            Scales::PerRow(values) => (&values[..], None),
            Scales::PerGroup { .. } => (&[][..], None),
        };
        Ok(Self { group, row_groups, lanes, groups, rows: AlignedBuffer::from(rows), tensor })
    }

    /// Writes scales of groups where a layout that has them among its codes has their places, after the codes: then
    /// there are no others.
    pub fn put_within(&mut self, layout: &Layout, (k, panel_bytes): (usize, usize), codes: &mut [u8]) {
        let Some(place) = layout.half_scale else { return };
        let scales = self.groups.chunks_exact((self.lanes * self.row_groups).max(1));
        for (panel, scales) in codes.chunks_exact_mut(panel_bytes.max(1)).zip(scales) {
            for (at, &scale) in scales.iter().enumerate() {
                let place = place(k, at / self.lanes, at % self.lanes);
                panel[place..][..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
            }
        }
        self.groups = AlignedBuffer::zeroed(0);
    }

    /// The largest unit in which scales are equal.
    pub fn unit(&self) -> ScaleUnit {
        match self.tensor {
            Some(_) => ScaleUnit::Tensor,
            None if !self.rows.is_empty() => ScaleUnit::Row,
            None => ScaleUnit::Group(self.group),
        }
    }

    /// The scale of a group of a row, or of whatever larger unit there is.
    pub fn at(&self, row: usize, column: usize) -> f32 {
        if self.groups.is_empty() {
            return self.tensor.or(self.rows.get(row).copied()).unwrap_or(1.0);
        }
        let (panel, lane, g) = (row / self.lanes, row % self.lanes, column / self.group);
        self.groups[(panel * self.row_groups + g) * self.lanes + lane]
    }

    /// Scales of groups of the panels that hold these rows; empty where the layout holds none.
    pub fn of_panels(&self, rows: &Range<usize>) -> &[f32] {
        if self.groups.is_empty() {
            return &[];
        }
        let of = |row: usize| row * self.row_groups;
        &self.groups[of(rows.start / self.lanes * self.lanes)..of(rows.end.next_multiple_of(self.lanes))]
    }
}

/// The same scales by the largest unit in which they are equal, bit for bit.
fn collapsed(scales: Scales, [rows, k]: [usize; 2]) -> Result<Scales, KernelError> {
    let (what, group, a_row, values) = match scales {
        Scales::PerTensor(_) => return Ok(scales),
        Scales::PerRow(values) => ("scales of rows", k, 1, values),
        Scales::PerGroup { group, values } => {
            ("scales of groups", group, if group == 0 { 0 } else { k.div_ceil(group) }, values)
        }
    };
    same(what, rows.saturating_mul(a_row), values.len())?;
    let equal = |values: &[f32]| values.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits());
    if equal(&values) {
        return Ok(Scales::PerTensor(values.first().copied().unwrap_or(1.0)));
    }
    if values.chunks_exact(a_row).all(equal) {
        return Ok(Scales::PerRow(values.into_iter().step_by(a_row).collect()));
    }
    Ok(Scales::PerGroup { group, values })
}
