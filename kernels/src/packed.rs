//! Packed weights: codes in some layout, and the data that says what the codes mean (table and scales).

mod meaning;

pub use meaning::{CodeTable, Codes, Scales};

use crate::AlignedBuffer;
use crate::error::{KernelError, same};
use crate::i2s_tensor::I2sTensor;
use crate::layout::Layout;
use crate::layouts::i2s_rows::I2sRows;
use crate::parallel::Team;
use meaning::SCALE_BLOCK_K;
use std::convert::Infallible;
use std::ops::Range;

/// A rows x k matrix of 2-bit codes in one layout, with its table and scales.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    layout: &'static Layout,
    rows: usize,
    k: usize,
    codes: AlignedBuffer<u8>,
    /// Bytes of a panel and scales of a row. Kept, because a layout's numbers are known at run time only, and the
    /// divisions cost a call on one row of 256 weights a twentieth of its time.
    panel_bytes: usize,
    row_scales: usize,
    /// Bytes of `codes` that hold codes: all but what alignment asks for.
    used: usize,
    table: CodeTable,
    /// Scales by block if the layout has them, else empty.
    block_scales: AlignedBuffer<f32>,
    /// The tensor's scale, if all blocks agree.
    tensor_scale: Option<f32>,
}

impl PackedWeights {
    /// Packs weights that are given as single codes.
    ///
    /// # Errors
    /// Wrong lengths, a code above 3, a code 3 with a ternary table, sizes that overflow, block scales that differ
    /// where the layout has one scale a tensor, a table that is not ternary where the layout is ternary only.
    pub fn pack(layout: &'static Layout, weights: Codes<'_>) -> Result<Self, KernelError> {
        let Codes { rows, k, codes, table, scales } = weights;
        same("codes", rows.checked_mul(k).ok_or(KernelError::TooLarge { rows, k })?, codes.len())?;
        let largest = if table.is_ternary() { 2 } else { 3 };
        let mut this = Self::without_codes(layout, rows, k, table, scales)?;
        if layout.foreign.is_some() {
            if let Some(at) = codes.iter().position(|&code| code > 2) {
                return Err(KernelError::InvalidCode { code: codes[at], row: at / k, column: at % k });
            }
            return this.packed_by_library(codes);
        }
        if this.panel_bytes == 0 {
            return Ok(this);
        }
        // Padding, in k and in rows, is code 1: zero in the ternary table. One panel of bytes is all the room it takes.
        let stride = k.next_multiple_of(layout.block_k);
        let mut panel = vec![1u8; layout.rows * stride];
        let mut target = this.room_for_codes();
        for (index, packed) in target.chunks_exact_mut(this.panel_bytes).enumerate() {
            for (r, target) in panel.chunks_exact_mut(stride).enumerate() {
                let row = index * layout.rows + r;
                if row >= rows {
                    target.fill(1);
                    continue;
                }
                let source = &codes[row * k..][..k];
                // A maximum over the row is a vector loop, a search is not.
                if source.iter().fold(0, |max, &code| code.max(max)) > largest {
                    let column = source.iter().position(|&code| code > largest).unwrap_or(0);
                    return Err(KernelError::InvalidCode { code: source[column], row, column });
                }
                target[..k].copy_from_slice(source);
            }
            (layout.pack)(&panel, packed);
        }
        (this.used, this.codes) = (target.len(), target);
        Ok(this)
    }

    /// Filled by the foreign library whose layout it is.
    fn packed_by_library(mut self, codes: &[u8]) -> Result<Self, KernelError> {
        if let Some(foreign) = self.layout.foreign.filter(|_| !codes.is_empty()) {
            let one = [self.tensor_scale.unwrap_or(1.0)];
            let scales = if self.block_scales.is_empty() { &one[..] } else { &self.block_scales };
            let packed = foreign.packed(self.rows, self.k, codes, scales)?;
            (self.used, self.codes) = (packed.used, packed.bytes);
        }
        Ok(self)
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
        let mut this = Self::without_codes(layout, rows, k, CodeTable::TERNARY, Scales::PerTensor(scale))?;
        if layout.foreign.is_some() {
            let mut codes = vec![1; rows * k];
            for (row, codes) in
                source.bytes().chunks_exact(source.row_bytes().max(1)).zip(codes.chunks_exact_mut(k.max(1)))
            {
                crate::layouts::i2s_rows::unpack(row, codes);
            }
            return this.packed_by_library(&codes);
        }
        let mut codes = this.room_for_codes();
        let (panel_rows, panel_bytes, row_bytes) = (layout.rows, this.panel_bytes, source.row_bytes());
        if panel_bytes == 0 {
            return Ok(this);
        }
        let pack = |range: Range<usize>, piece: &mut [u8]| {
            let mut scratch = Vec::new();
            for (index, packed) in piece.chunks_exact_mut(panel_bytes).enumerate() {
                let first = (range.start / panel_bytes + index) * panel_rows;
                let rows = first * row_bytes..(first + panel_rows).min(rows) * row_bytes;
                let rows = I2sRows { bytes: &source.bytes()[rows], row_bytes };
                (layout.from_i2s)(layout, rows, &mut scratch, packed);
            }
            Ok::<(), Infallible>(())
        };
        let Ok(()) = team.split_rows(panel_bytes, &mut codes, pack);
        (this.used, this.codes) = (codes.len(), codes);
        Ok(this)
    }

    /// Gives the same codes and scales another table, that is, other weights for the codes.
    pub fn with_table(mut self, table: CodeTable) -> Self {
        self.table = table;
        self
    }

    /// Shape, table and scales; the codes are still to come.
    fn without_codes(
        layout: &'static Layout,
        rows: usize,
        k: usize,
        table: CodeTable,
        scales: Scales,
    ) -> Result<Self, KernelError> {
        let too_large = KernelError::TooLarge { rows, k };
        // Far below any overflow of what follows, far above any model.
        if rows > 1 << 32 || k > 1 << 32 {
            return Err(too_large);
        }
        if layout.ternary_only && !table.is_ternary() {
            return Err(KernelError::TernaryOnly { layout, table: table.0 });
        }
        if layout.foreign.is_none() {
            layout.code_bytes(rows, k).ok_or(too_large)?;
        }
        let (panel_bytes, row_scales) = (layout.panel_bytes(k), scales_a_row(layout, k));
        let blocks = rows * row_scales;
        let (block_scales, tensor_scale) = match scales {
            Scales::PerTensor(scale) => (vec![scale; if layout.group.is_some() { blocks } else { 0 }], Some(scale)),
            Scales::PerBlock(values) => {
                same("block scales", blocks, values.len())?;
                let first = values.first().copied();
                let tensor_scale = first.filter(|f| values.iter().all(|v| v == f));
                match (layout.group.is_some(), tensor_scale) {
                    (true, _) => (values, tensor_scale),
                    (false, None) if blocks > 0 => return Err(KernelError::ScalesNotPerTensor { layout }),
                    (false, _) => (Vec::new(), tensor_scale.or(Some(1.0))),
                }
            }
        };
        let block_scales = AlignedBuffer::from(&block_scales[..]);
        let codes = AlignedBuffer::zeroed(0);
        Ok(Self { layout, rows, k, codes, panel_bytes, row_scales, used: 0, table, block_scales, tensor_scale })
    }

    /// Of a size that [`Self::without_codes`] found small enough.
    fn room_for_codes(&self) -> AlignedBuffer<u8> {
        AlignedBuffer::zeroed(self.rows.div_ceil(self.layout.rows) * self.panel_bytes)
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

    /// The scale of the whole tensor, if all its blocks share one.
    pub fn tensor_scale(&self) -> Option<f32> {
        self.tensor_scale
    }

    /// Bytes that a pass over all weights reads: codes and block scales.
    pub fn bytes(&self) -> usize {
        // A library keeps scales among its codes.
        let scales = if self.layout.foreign.is_some() { 0 } else { size_of_val(&self.block_scales[..]) };
        self.used + scales
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

    /// Block scales of the rows of `range`.
    pub(crate) fn scales(&self, range: &Range<usize>) -> &[f32] {
        let blocks = self.row_scales;
        if self.block_scales.is_empty() { &[] } else { &self.block_scales[range.start * blocks..range.end * blocks] }
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
        let blocks = self.row_scales;
        let by_block = self.block_scales.get(row * blocks + column / scale_group(self.layout)).copied();
        by_block.or(self.tensor_scale).unwrap_or(1.0)
    }
}

/// Weights of a row that share a scale where scales are per block.
pub(crate) fn scale_group(layout: &Layout) -> usize {
    layout.group.unwrap_or(SCALE_BLOCK_K)
}

/// Scales of a row of `k` weights where scales are per block.
pub(crate) fn scales_a_row(layout: &Layout, k: usize) -> usize {
    k.div_ceil(scale_group(layout))
}

#[cfg(test)]
mod tests;
