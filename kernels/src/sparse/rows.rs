//! Inner products of a list of rows.

use super::SparseOps;
use super::call::{LIST_SLACK, Rows};
use crate::activation::QuantizedActivations;
use crate::cpu::Level;
use crate::descriptor::{Gemv, GemvI8};
use crate::error::{KernelError, fits, same};
use crate::kernel::check_exact;
use crate::layouts::i2s_rows::runs;
use crate::packed::PackedWeights;
use crate::parallel::Team;
use crate::prefetch::Prefetch;
use crate::{AlignedBuffer, layouts, padded_k};

/// Which rows are wanted, and the input as the products take it. Made once, filled for every token.
pub struct LiveRows {
    /// Row numbers in ascending order, all below `of`; only the first `count` are in use.
    list: Vec<u32>,
    count: usize,
    of: usize,
    /// The activations plane by plane: for each 256 of them the four operands of a 64-byte step, see the VNNI path.
    planes: AlignedBuffer<i8>,
}

impl LiveRows {
    /// An empty list with room for matrices of up to `rows` x `k`.
    pub fn new(rows: usize, k: usize) -> Self {
        Self { list: vec![0; rows + LIST_SLACK], count: 0, of: 0, planes: AlignedBuffer::zeroed(padded_k(k)) }
    }

    /// Lists the elements of `gate` above 0: the rows whose product matters. Allocates nothing; the list does not
    /// depend on `ops`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there is no room for so many.
    pub fn set_positive(&mut self, ops: SparseOps, gate: &[f32]) -> Result<(), KernelError> {
        fits("gate", self.list.len() - LIST_SLACK, gate.len())?;
        self.of = gate.len();
        self.count = match ops.level {
            // SAFETY: `Level::select` found the features.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => unsafe { super::avx512_vnni::list_positive(gate, &mut self.list) },
            _ => {
                // Every number is written, and written over if it is not live: so the loop has no branch to mispredict.
                let mut count = 0;
                for (row, &value) in gate.iter().enumerate() {
                    self.list[count] = row as u32;
                    count += usize::from(value > 0.0);
                }
                count
            }
        };
        Ok(())
    }

    /// Numbers of the live rows, in ascending order.
    pub fn rows(&self) -> &[u32] {
        &self.list[..self.count]
    }

    /// The share of rows that are live, from 0 to 1; 0 if the matrix has no rows.
    pub fn share(&self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    /// Copies activations into plane order: 32 of every 128, and the same 32 of the next 128 behind them.
    fn set_planes(&mut self, x: &[i8]) {
        for (target, x) in self.planes.as_chunks_mut::<256>().0.iter_mut().zip(x.as_chunks::<256>().0) {
            for plane in 0..4 {
                target[64 * plane..][..64].copy_from_slice(&runs(x, plane));
            }
        }
    }
}

/// Operands of a product with the listed rows of a matrix alone.
pub struct RowsProduct<'a> {
    /// The matrix of weights, in the layout [`crate::layouts::I2S`].
    pub weights: &'a PackedWeights,
    /// Input: int8 activations of one token.
    pub x: &'a QuantizedActivations,
    /// Output: one int32 product for each listed row.
    pub y: &'a mut [i32],
}

impl SparseOps {
    /// Exact integer products of the listed rows: `y[i]` is that of `live.rows()[i]`. The list is shared among the
    /// team; the result does not depend on the number of threads. Allocates nothing.
    ///
    /// # Errors
    /// Another packing or code table, several scales, a list made for another matrix, wrong lengths, k above
    /// [`crate::MAX_K_I8`].
    pub fn rows(self, team: &mut Team, live: &mut LiveRows, product: RowsProduct<'_>) -> Result<(), KernelError> {
        let RowsProduct { weights, x, y } = product;
        if weights.layout() != &layouts::I2S {
            let (expected, actual) = (&layouts::I2S, weights.layout());
            return Err(KernelError::LayoutMismatch { kernel: self.id(), expected, actual });
        }
        check_exact(self.id(), false, weights)?;
        weights.tensor_scale().ok_or(KernelError::ScalesNotPerTensor { layout: weights.layout() })?;
        let k = weights.k();
        same("rows of the list", weights.rows(), live.of)?;
        same("activations", k, x.len())?;
        same("output", live.count, y.len())?;
        same("room for activations", live.planes.len().max(padded_k(k)), live.planes.len())?;
        if k == 0 {
            y.fill(0);
            return Ok(());
        }
        live.set_planes(x.padded());
        let (codes, row_bytes) = (weights.code_bytes(), weights.layout().panel_bytes(k));
        let (list, planes, x_sum) = (&live.list[..live.count], &live.planes[..padded_k(k)], x.sum());
        team.split_rows(1, y, |range, y| {
            if y.is_empty() {
                return Ok(());
            }
            let rows = &list[range];
            let args = Rows { codes, row_bytes, rows, planes, x_sum, y };
            match self.level {
                Level::Portable => one_by_one(crate::w2a8::scalar_i8::DESCRIPTOR.gemv, args, x),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 | Level::Avx512 => one_by_one(crate::w2a8::avx2_i8::DESCRIPTOR.gemv, args, x),
                // SAFETY: `Level::select` found the features; the list holds rows of a matrix with this many (checked
                // above).
                #[cfg(target_arch = "x86_64")]
                Level::Avx512Vnni => unsafe { super::avx512_vnni::rows(args) },
            }
            Ok(())
        })
    }
}

/// The dense kernel of the same layout, called for each row: these levels are faster only because they read fewer rows.
/// The next rows of the list are asked for early, which no hardware prefetcher can guess.
fn one_by_one(gemv: Gemv, args: Rows<'_>, x: &QuantizedActivations) {
    let Gemv::I8(gemv) = gemv else { unreachable!("both kernels take int8") };
    for (i, y) in args.y.iter_mut().enumerate() {
        let codes = |row: u32| &args.codes[row as usize * args.row_bytes..][..args.row_bytes];
        #[cfg(target_arch = "x86_64")]
        if let Some(&next) = args.rows.get(i + 2) {
            codes(next).chunks(64).for_each(|line| crate::x86_64::lanes::prefetch(line.as_ptr(), 0));
        }
        let (codes, y) = (codes(args.rows[i]), std::slice::from_mut(y));
        let (panel_bytes, x_sum, prefetch) = (args.row_bytes, args.x_sum, Prefetch::OneLevel);
        let row = GemvI8 { codes, panel_bytes, x: x.padded(), x_sum, prefetch, y };
        // SAFETY: `select` checked the features of the level that brought us here.
        unsafe { gemv(row) };
    }
}
