//! Sums over a list of columns, and the layout for it.

use super::SparseOps;
use super::call::{Columns, LINE_BYTES, LINE_ROWS, LIST_SLACK};
use crate::AlignedBuffer;
use crate::activation::QuantizedActivations;
use crate::cpu::Level;
use crate::error::{KernelError, fits, same};
use crate::layouts::{
    self,
    i2s_rows::{BLOCK_BYTES, BLOCK_K, PADDING},
};
use crate::packed::{Codes, PackedWeights};
use crate::parallel::Team;
use std::convert::Infallible;

/// Columns up to which sums of planes that are left unshifted stay within int32: codes up to 3, 64 times too large in
/// plane 3, activations down to -128, over all columns.
const MAX_K: usize = 1 << 16;
const _: () = assert!(3 * 64 * 128 * MAX_K <= i32::MAX as usize);

/// A ternary matrix column by column. Each column is a whole number of cache lines: 64 rows are 16 bytes, byte i with
/// rows i, 16 + i, 32 + i and 48 + i from the low bits up; rows are padded with zeros (code 1) to 256, so that threads
/// never share a line. 2.0 bits a weight.
#[derive(Clone, Debug)]
pub struct ColumnWeights {
    rows: usize,
    k: usize,
    lines: usize,
    codes: AlignedBuffer<u8>,
    scale: f32,
}

impl ColumnWeights {
    /// Packs ternary weights of any layout again, column by column, columns shared among the team: fastest from
    /// [`layouts::I2S`].
    ///
    /// # Errors
    /// A table that is not ternary, several scales, more columns than sums are exact for.
    pub fn from_packed(weights: &PackedWeights, team: &mut Team) -> Result<Self, KernelError> {
        let (rows, k) = (weights.rows(), weights.k());
        if !weights.table().is_ternary() {
            return Err(KernelError::CodeTable { kernel: "columns", table: weights.table().0 });
        }
        if k > MAX_K || rows > u32::MAX as usize {
            return Err(KernelError::TooLarge { rows, k });
        }
        let scale = weights.tensor_scale().ok_or(KernelError::ScalesNotPerTensor { layout: weights.layout() })?;
        let lines = rows.div_ceil(LINE_ROWS);
        let stride = lines * LINE_BYTES;
        let mut codes = AlignedBuffer::zeroed_part(stride * k);
        if !codes.is_empty() {
            let by_rows = match weights.layout() == &layouts::I2S {
                true => None,
                false => {
                    let single: Vec<u8> = (0..rows).flat_map(|row| weights.row_codes(row)).collect();
                    Some(PackedWeights::pack(&layouts::I2S, Codes::ternary(rows, k, &single, scale))?)
                }
            };
            let source = by_rows.as_ref().unwrap_or(weights);
            let Ok(()) = team.split_rows(stride * BLOCK_K, &mut codes, |range, piece| {
                let first = range.start / (stride * BLOCK_K);
                for (i, columns) in piece.chunks_mut(stride * BLOCK_K).enumerate() {
                    pack_columns(source, first + i, columns, stride);
                }
                Ok::<(), Infallible>(())
            });
        }
        Ok(Self { rows, k, lines, codes, scale })
    }

    /// All packed codes as they lie in memory.
    pub fn code_bytes(&self) -> &[u8] {
        &self.codes
    }

    /// Number of rows (outputs) of the matrix, without padding.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns (inputs) of the matrix.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The tensor's f32 scale, with which integer sums are multiplied.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Memory that the columns take, in bytes.
    pub fn bytes(&self) -> usize {
        self.codes.len()
    }

    /// Length that [`SparseOps::columns`] needs its sums to have: the rows, padded.
    pub fn padded_rows(&self) -> usize {
        self.lines * LINE_ROWS
    }
}

/// Packs the columns of one block of I2_S weights: made plane by plane over all of them, then transposed.
fn pack_columns(source: &PackedWeights, block: usize, columns: &mut [u8], stride: usize) {
    let (row_bytes, rows) = (source.panel_bytes(), source.rows());
    for line in 0..stride / LINE_BYTES {
        let mut tile = [[0u8; BLOCK_K]; LINE_BYTES];
        for (byte, tile) in tile.iter_mut().enumerate() {
            for field in 0..4 {
                let row = line * LINE_ROWS + byte / 16 * 64 + field * 16 + byte % 16;
                let bytes =
                    if row < rows { &source.code_bytes()[row * row_bytes + block * BLOCK_BYTES..] } else { &[] };
                let bytes = bytes.first_chunk::<BLOCK_BYTES>().unwrap_or(&[PADDING; BLOCK_BYTES]);
                for (plane, tile) in tile.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().enumerate() {
                    let code = |byte: &u8| (byte >> (6 - 2 * plane) & 3) << (2 * field);
                    tile.iter_mut().zip(bytes).for_each(|(t, byte)| *t |= code(byte));
                }
            }
        }
        for (column, target) in columns.chunks_exact_mut(stride).enumerate() {
            let target = &mut target[line * LINE_BYTES..][..LINE_BYTES];
            target.iter_mut().zip(&tile).for_each(|(t, row)| *t = row[column]);
        }
    }
}

/// Columns whose activation is not 0, and those activations. Made once, filled for every token.
pub struct LiveColumns {
    list: Vec<u32>,
    q: Vec<i8>,
    count: usize,
    of: usize,
    sum: i32,
}

impl LiveColumns {
    /// An empty list with room for `k` columns.
    pub fn new(k: usize) -> Self {
        Self { list: vec![0; k + LIST_SLACK], q: vec![0; k + LIST_SLACK], count: 0, of: 0, sum: 0 }
    }

    /// Makes the list of the activations in `x` that are not 0. Allocates nothing; the list does not depend on `ops`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there is no room for so many.
    pub fn set(&mut self, ops: SparseOps, x: &QuantizedActivations) -> Result<(), KernelError> {
        let values = x.values();
        fits("columns", self.list.len() - LIST_SLACK, values.len())?;
        let count = match ops.level {
            // SAFETY: `Level::select` found the features.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => unsafe { super::avx512_vnni::list_nonzero(values, &mut self.list, &mut self.q) },
            _ => {
                let mut count = 0;
                for (column, &value) in values.iter().enumerate() {
                    (self.list[count], self.q[count]) = (column as u32, value);
                    count += usize::from(value != 0);
                }
                count
            }
        };
        // The last quad is filled up with a column that it has already, times 0.
        let last = self.list[count.saturating_sub(1)];
        self.list[count..count + 3].fill(last);
        self.q[count..count + 3].fill(0);
        (self.count, self.of, self.sum) = (count, values.len(), x.sum());
        Ok(())
    }

    /// Number of live columns: those whose activation is not 0.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl SparseOps {
    /// Exact integer products with all rows, from the live columns alone. `y` has [`ColumnWeights::padded_rows`]
    /// elements; those past the rows mean nothing. It should begin at a cache line ([`AlignedBuffer`]): else every
    /// vector of sums is in two, which made two threads twice as slow on Zen 5. Lines of 256 rows are shared among the
    /// team; the result does not depend on the number of threads. Allocates nothing.
    ///
    /// # Errors
    /// A list made for another matrix, or an output of another length.
    pub fn columns(
        self,
        team: &mut Team,
        weights: &ColumnWeights,
        live: &LiveColumns,
        y: &mut [i32],
    ) -> Result<(), KernelError> {
        same("columns of the list", weights.k, live.of)?;
        same("padded output", weights.padded_rows(), y.len())?;
        let padded = live.count.next_multiple_of(4);
        let (quads, q) = (live.list[..padded].as_chunks::<4>().0, live.q[..padded].as_chunks::<4>().0);
        let (codes, stride, x_sum) = (&weights.codes[..], weights.lines * LINE_BYTES, live.sum);
        team.split_rows(LINE_ROWS, y, |range, y| {
            y.fill(0);
            let args = Columns { codes, stride, quads, q, first_line: range.start / LINE_ROWS, x_sum, y };
            match self.level {
                Level::Portable => super::scalar::columns(args),
                // SAFETY: `Level::select` found the features; all columns of the list are columns of this matrix
                // (checked above).
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 | Level::Avx512 => unsafe { super::avx2::columns(args) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512Vnni => unsafe { super::avx512_vnni::columns(args) },
            }
            Ok(())
        })
    }
}
