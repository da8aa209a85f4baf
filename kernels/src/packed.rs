//! Packed weights: codes in some layout, and the data that says what the codes mean (table and scales).

mod floats;
mod held;
mod meaning;
mod rows;
mod scales;

pub use held::MappedBytes;
pub use meaning::{CodeTable, Codes, Needs, ScaleUnit, Scales};
pub use rows::{DecodeRow, RowSource};

use crate::AlignedBuffer;
use crate::error::{KernelError, same};
use crate::i2s_tensor::I2sTensor;
use crate::layout::Layout;
use crate::layouts::i2s_rows::I2sRows;
use crate::operation::Family;
use crate::parallel::Team;
use half::f16;
use held::Held;
use scales::Kept;
use std::convert::Infallible;
use std::ops::Range;

/// A rows x k matrix of 2-bit codes in one layout, with its table and scales.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    layout: &'static Layout,
    rows: usize,
    k: usize,
    codes: Held,
    /// Bytes of a panel. Kept, because a layout's numbers are known at run time only, and the divisions cost a call on
    /// one row of 256 weights a twentieth of its time.
    panel_bytes: usize,
    /// Bytes of `codes` that hold codes: all but what alignment asks for.
    used: usize,
    table: CodeTable,
    scales: Kept,
}

impl PackedWeights {
    /// Packs weights that are given as single codes.
    ///
    /// # Errors
    /// Wrong lengths, a code above 3, a code 3 with a ternary table, sizes that overflow, scales of groups that the
    /// layout does not hold and that differ within a row, a table that is not ternary where the layout is ternary only.
    pub fn pack(layout: &'static Layout, weights: Codes<'_>) -> Result<Self, KernelError> {
        let Codes { rows, k, codes, table, scales } = weights;
        same("codes", rows.checked_mul(k).ok_or(KernelError::TooLarge { rows, k })?, codes.len())?;
        let layout =
            if let Scales::PerGroup { group, .. } = scales { layout.form(group).unwrap_or(layout) } else { layout };
        let mut this = Self::without_codes(layout, [rows, k], table)?;
        this.scales = Kept::new(layout, [rows, k], scales)?;
        let panels = this.panels_to_fill();
        let mut packed = panels.room();
        panels.pack(0, &mut packed, |row, target| target.copy_from_slice(&codes[row * k..][..k]))?;
        this.filled(packed)
    }

    /// Packs the weights of an I2_S tensor from where they lie, with all threads of `team`; the bytes are the same for
    /// any number. No other copy of them is made on the way.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn from_i2s(
        layout: &'static Layout,
        source: I2sTensor<'_>,
        scale: f32,
        team: &mut Team,
    ) -> Result<Self, KernelError> {
        let (rows, k) = (source.rows(), source.k());
        let mut this = Self::without_codes(layout, [rows, k], CodeTable::TERNARY)?;
        this.scales = Kept::new(layout, [rows, k], Scales::PerTensor(scale))?;
        let mut codes = this.panels_to_fill().room();
        let (row_bytes, bytes) = (source.row_bytes(), source.bytes());
        if layout.foreign.is_some() {
            for (row, codes) in bytes.chunks_exact(row_bytes.max(1)).zip(codes.chunks_exact_mut(k.max(1))) {
                crate::layouts::i2s_rows::unpack(row, codes);
            }
            return this.filled(codes);
        }
        let (panel_rows, panel_bytes) = (layout.rows, this.panel_bytes);
        if panel_bytes == 0 {
            return Ok(this);
        }
        let pack = |range: Range<usize>, piece: &mut [u8]| {
            let mut scratch = Vec::new();
            for (index, packed) in piece.chunks_exact_mut(panel_bytes).enumerate() {
                let first = (range.start / panel_bytes + index) * panel_rows;
                let rows = first * row_bytes..(first + panel_rows).min(rows) * row_bytes;
                let rows = I2sRows { bytes: &bytes[rows], row_bytes };
                (layout.from_i2s)(layout, rows, &mut scratch, packed);
            }
            Ok::<(), Infallible>(())
        };
        let Ok(()) = team.split_rows(panel_bytes, &mut codes, pack);
        this.filled(codes)
    }

    /// The weights of an I2_S tensor where they are mapped, in the layout [`layouts::I2S`](crate::layouts::I2S):
    /// nothing is copied. `codes` were searched for a code 3 before ([`I2sTensor::find_code_3`]).
    ///
    /// # Errors
    /// Those of [`I2sTensor::assume_valid`].
    pub fn in_place([rows, k]: [usize; 2], codes: MappedBytes, scale: f32) -> Result<Self, KernelError> {
        let layout = &crate::layouts::I2S;
        let used = I2sTensor::assume_valid(rows, k, (*codes).as_ref())?.bytes().len();
        let mut this = Self::without_codes(layout, [rows, k], CodeTable::TERNARY)?;
        this.scales = Kept::new(layout, [rows, k], Scales::PerTensor(scale))?;
        Ok(Self { used, codes: Held::Mapped(codes), ..this })
    }

    /// Gives the same codes and scales another table, that is, other weights for the codes.
    pub fn with_table(mut self, table: CodeTable) -> Self {
        self.table = table;
        self
    }

    /// Shape and table; codes and scales are still to come.
    fn without_codes(layout: &'static Layout, [rows, k]: [usize; 2], table: CodeTable) -> Result<Self, KernelError> {
        let too_large = KernelError::TooLarge { rows, k };
        // Far below any overflow of what follows, far above any model.
        if rows > 1 << 32 || k > 1 << 32 {
            return Err(too_large);
        }
        if (layout.ternary_only || layout.foreign.is_some()) && !table.is_ternary() {
            return Err(KernelError::TernaryOnly { layout, table: table.0 });
        }
        if layout.foreign.is_none() {
            layout.code_bytes(rows, k).ok_or(too_large)?;
        }
        let (panel_bytes, codes) = (layout.panel_bytes(k), Held::Own(AlignedBuffer::zeroed(0)));
        let scales = Kept::new(layout, [0, 0], Scales::PerTensor(1.0))?;
        Ok(Self { layout, rows, k, codes, panel_bytes, used: 0, table, scales })
    }

    /// What these weights' codes are packed in: single codes, row after row, for a library that packs them itself.
    fn panels_to_fill(&self) -> Panels {
        static SINGLE: Layout = Layout::PLAIN;
        let layout = if self.layout.foreign.is_some() { &SINGLE } else { self.layout };
        Panels { layout, rows: self.rows, k: self.k, largest_code: self.table.largest_code() }
    }

    /// With the codes of [`Self::panels_to_fill`], all packed.
    fn filled(mut self, mut codes: AlignedBuffer<u8>) -> Result<Self, KernelError> {
        let Some(foreign) = self.layout.foreign else {
            self.scales.put_within(self.layout, (self.k, self.panel_bytes), &mut codes);
            (self.used, self.codes) = (codes.len(), Held::Own(codes));
            return Ok(self);
        };
        if !codes.is_empty() {
            let Kept { groups, rows, tensor, .. } = &self.scales;
            let one = [tensor.unwrap_or(1.0)];
            let of_rows = if rows.is_empty() { &one[..] } else { rows };
            let scales = if groups.is_empty() { of_rows } else { groups };
            // Where the layout holds none of groups, whoever wants int8 products of numbers multiplies afterwards.
            let applied = foreign.family() == Family::W2A32 || !self.layout.groups.is_empty();
            let packed = foreign.packed([self.rows, self.k], &codes, applied.then_some(scales))?;
            (self.used, self.codes) = (packed.used, Held::Own(packed.bytes));
        }
        Ok(self)
    }

    /// The layout that these weights' codes are packed in.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Number of rows (outputs, m) of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns (inputs, k) of the matrix.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The table that says which weight each code stands for.
    pub fn table(&self) -> CodeTable {
        self.table
    }

    /// The scale of the whole tensor, if all weights share one.
    pub fn tensor_scale(&self) -> Option<f32> {
        self.scales.tensor
    }

    /// A scale for each row, where rows differ and the weights of a row share one.
    pub fn row_scales(&self) -> Option<&[f32]> {
        (!self.scales.rows.is_empty()).then_some(&self.scales.rows)
    }

    /// How many weights share a scale, at least: equal scales are the same.
    pub fn scale_unit(&self) -> ScaleUnit {
        self.scales.unit()
    }

    /// Weights of a group whose scale lies beside the codes, in every matrix of a layout that holds scales of groups:
    /// those that the matrix came with, else [`Layout::usual_group`]. None in other layouts.
    pub fn group(&self) -> Option<usize> {
        (self.scales.group > 0).then_some(self.scales.group)
    }

    /// Bytes that a pass over all weights reads: codes and scales.
    pub fn bytes(&self) -> usize {
        // A library keeps scales among its codes.
        let of = |scales: &AlignedBuffer<f32>| if self.layout.foreign.is_some() { 0 } else { size_of_val(&scales[..]) };
        // Where groups have scales, those of rows are not read.
        let beside = match (self.layout.half_scale, self.scales.groups.is_empty()) {
            (Some(_), _) => 0,
            (None, true) => of(&self.scales.rows),
            (None, false) => of(&self.scales.groups),
        };
        self.used + beside
    }

    /// All packed codes as they lie in memory, for measuring how fast they can be read.
    pub fn code_bytes(&self) -> &[u8] {
        &self.codes[..self.used]
    }

    /// Where the packed codes begin.
    pub(crate) fn codes_start(&self) -> *const u8 {
        self.codes.as_ptr()
    }

    /// Codes of the panels that hold the rows of `range` (its start on a panel).
    pub(crate) fn panels(&self, range: &Range<usize>) -> &[u8] {
        if *range == (0..self.rows) {
            return &self.codes;
        }
        let (panel_rows, panel_bytes) = (self.layout.rows, self.panel_bytes);
        &self.codes[range.start / panel_rows * panel_bytes..range.end.div_ceil(panel_rows) * panel_bytes]
    }

    /// Bytes of codes of a panel, all of k.
    pub(crate) fn panel_bytes(&self) -> usize {
        self.panel_bytes
    }

    /// Scales of groups of the panels that hold the rows of `range` (its start on a panel); empty where the layout
    /// holds none.
    pub(crate) fn scales(&self, range: &Range<usize>) -> &[f32] {
        self.scales.of_panels(range)
    }

    /// Codes of one row, unpacked by the layout's own code; allocates. For oracles and tests.
    pub fn row_codes(&self, row: usize) -> Vec<u8> {
        let (rows, bytes, stride) = (self.layout.rows, self.panel_bytes, self.k.next_multiple_of(self.layout.block_k));
        let mut panel = vec![0; rows * stride];
        (self.layout.unpack)(&self.codes[row / rows * bytes..][..bytes], &mut panel);
        panel[row % rows * stride..][..self.k].to_vec()
    }

    /// The scale that applies at (`row`, `column`).
    pub fn scale_at(&self, row: usize, column: usize) -> f32 {
        let Some(place) = self.layout.half_scale else { return self.scales.at(row, column) };
        let panel = &self.codes[row / self.layout.rows * self.panel_bytes..];
        let at = place(self.k, column / self.scales.group, row % self.layout.rows);
        f16::from_le_bytes([panel[at], panel[at + 1]]).to_f32()
    }
}

/// Panels of a layout that are to be filled with codes.
#[derive(Clone, Copy)]
struct Panels {
    layout: &'static Layout,
    rows: usize,
    k: usize,
    largest_code: u8,
}

impl Panels {
    fn bytes(self) -> usize {
        self.layout.panel_bytes(self.k)
    }

    /// Of a size that [`PackedWeights::without_codes`] found small enough.
    fn room(self) -> AlignedBuffer<u8> {
        AlignedBuffer::zeroed_part(self.rows.div_ceil(self.layout.rows) * self.bytes())
    }

    /// Packs the panels from number `first` on whose bytes are given. `decode` writes the codes of a row.
    fn pack(
        self,
        first: usize,
        packed: &mut [u8],
        mut decode: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), KernelError> {
        let Self { layout, rows, k, largest_code } = self;
        // Room for a row's padding may be large where there are no rows.
        if k == 0 || packed.is_empty() {
            return Ok(());
        }
        // Padding, in k and in rows, is code 1: zero in the ternary table. One panel of bytes is all the room it takes.
        let stride = k.next_multiple_of(layout.block_k);
        let mut panel = vec![1u8; layout.rows * stride];
        for (index, packed) in packed.chunks_exact_mut(self.bytes()).enumerate() {
            for (r, target) in panel.chunks_exact_mut(stride).enumerate() {
                let row = (first + index) * layout.rows + r;
                if row >= rows {
                    target.fill(1);
                    continue;
                }
                let codes = &mut target[..k];
                decode(row, codes);
                // A maximum over the row is a vector loop, a search is not.
                if codes.iter().fold(0, |max, &code| code.max(max)) > largest_code {
                    let column = codes.iter().position(|&code| code > largest_code).unwrap_or(0);
                    return Err(KernelError::InvalidCode { code: codes[column], row, column });
                }
            }
            (layout.pack)(&panel, packed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
