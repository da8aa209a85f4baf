//! Products with every scale another, for kernels that apply them.

use super::abi::{Activations, ROW, Shape, TENSOR, W2A8};
use super::call::Batch;
use super::kernel::ForeignKernel;
use super::prepared::{Prepared, groups};
use crate::activation::{FloatActivations, QuantizedActivations};
use crate::buffer::AlignedBuffer;
use crate::error::KernelError;
use std::ptr;

/// What the suite tries with every scale another, for kernels that apply them: products of these weights and
/// activations, and for each row the sum, and the sum of the magnitudes of its activations with all scales.
pub(crate) struct Scaled {
    pub products: Vec<f32>,
    pub expected: Vec<(f64, f64)>,
}

impl ForeignKernel {
    /// Number of scales of a matrix.
    pub(super) fn weight_scales(&self, shape: Shape) -> usize {
        match self.raw.weight_group {
            TENSOR => 1,
            group => shape.rows as usize * groups(group, shape.k),
        }
    }

    /// One matrix and one token with random scales of its groups.
    pub(crate) fn scaled(
        &'static self,
        [rows, k]: [usize; 2],
        codes: &[u8],
        x: &QuantizedActivations,
        mut scale: impl FnMut() -> f32,
    ) -> Result<Scaled, KernelError> {
        let shape = Shape { rows: rows as u64, k: k as u64 };
        let weight_scales: Vec<f32> = (0..self.weight_scales(shape)).map(|_| scale()).collect();
        let floats = self.raw.family != W2A8;
        // Activations that are f32 have no scales of their own.
        let act_scale = |_| if floats { 1.0 } else { scale() };
        let act_scales: Vec<f32> = (0..groups(self.raw.act_group, shape.k)).map(act_scale).collect();
        let mut packed = AlignedBuffer::<u8>::zeroed(self.packed_bytes(rows, k)?.max(2 << 20));
        self.pack(shape, codes, &weight_scales, &mut packed)?;
        let mut prepared = Prepared::for_shape(self, shape, 1)?;
        let mut wide = FloatActivations::new(k);
        wide.set(&x.values().iter().map(|&x| f32::from(x)).collect::<Vec<f32>>())?;
        let (i8, f32) = if floats { (ptr::null(), wide.padded().as_ptr()) } else { (x.padded().as_ptr(), ptr::null()) };
        let sum = if floats { 0 } else { x.sum() };
        // SAFETY: padded as the header says, and here until this function returns.
        unsafe { prepared.push(&Activations { i8, scales: act_scales.as_ptr(), f32, sum })? };
        let mut products = vec![f32::NAN; rows];
        let (from, y) = (prepared.buffer.as_ptr(), products.as_mut_ptr().cast());
        let batch = Batch { prepared: from, prepared_stride: prepared.stride, tokens: 1, y, y_stride: rows };
        // SAFETY: weights and token were made for this shape; `products` has an element a row.
        unsafe { self.gemv(shape, packed.as_ptr(), 0..rows, batch)? };
        let along =
            |group: u32, column: usize| if group == TENSOR || group == ROW { 0 } else { column / group as usize };
        let (wide, narrow) = (groups(self.raw.weight_group, shape.k), self.raw.weight_group);
        let term = |row: usize, column: usize| {
            let first = if narrow == TENSOR { 0 } else { row * wide };
            let weight = f64::from(codes[row * k + column]) - 1.0;
            let scales = f64::from(weight_scales[first + along(narrow, column)])
                * f64::from(act_scales[along(self.raw.act_group, column)]);
            (weight, scales * f64::from(x.values()[column]))
        };
        // A kernel may sum codes and take the activations off at the end: every weight counts as one in the bound.
        let add = |(sum, terms): (f64, f64), (weight, x): (f64, f64)| (sum + weight * x, terms + x.abs());
        let sum = |row| (0..k).map(|column| term(row, column)).fold((0.0, 0.0), add);
        Ok(Scaled { products, expected: (0..rows).map(sum).collect() })
    }
}
