//! A ternary matrix where it lies in a file, with all that multiplies it: the one place that says what its scales are.
//! Nothing is judged here: whoever reads codes and scales says what they may be.

use crate::encoding::{Encoding, Tensor};
use crate::error::Result;
use crate::gguf::{Gguf, TensorInfo};

/// What the codes of a matrix are multiplied with besides scales by row or by group.
#[derive(Clone, Copy)]
pub struct Scale {
    /// What the bytes themselves say of the whole tensor, where they do.
    own: Option<f32>,
    /// What another tensor of the file multiplies it with.
    factor: f32,
    /// Whether the file is read with the reciprocal of each scale.
    reciprocal: bool,
}

impl Scale {
    /// All that weights are multiplied with where the bytes say `own`.
    fn of(self, own: f32) -> f32 {
        let scale = own * self.factor;
        if self.reciprocal { scale.recip() } else { scale }
    }
}

/// A ternary matrix as it lies in a file.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// How it lies there.
    pub encoding: &'static Encoding,
    /// Its bytes and its shape.
    pub tensor: Tensor<'a>,
    /// What multiplies it.
    pub scale: Scale,
}

impl<'a> Stored<'a> {
    /// The matrix of a tensor; `None` for one that is no ternary matrix. Reads all of latent weights, whose scale
    /// follows from them.
    ///
    /// # Errors
    /// A scale beside the matrix that is not one finite number above zero.
    pub fn of(gguf: &'a Gguf, info: &'a TensorInfo) -> Result<Option<Self>> {
        let unscaled = Scale { own: None, factor: 1.0, reciprocal: false };
        let Some(Self { encoding, tensor, .. }) = Self::with(gguf, info, unscaled) else { return Ok(None) };
        let own = encoding.tensor_scale.map(|scale| scale(tensor));
        let factor = gguf.matrix_scale(info)?.unwrap_or(1.0);
        // Latent weights have no scale that anybody wrote.
        let reciprocal = gguf.reading.reciprocal && !encoding.latent();
        Ok(Some(Self { encoding, tensor, scale: Scale { own, factor, reciprocal } }))
    }

    /// The same where what multiplies the tensor is known.
    pub fn with(gguf: &'a Gguf, info: &'a TensorInfo, scale: Scale) -> Option<Self> {
        let (Some(encoding), &[k, rows]) = (info.kind.encoding, &info.dims[..]) else { return None };
        // Sizes were checked against the file, so they are sizes of memory.
        let tensor = Tensor { bytes: gguf.bytes(info), rows: rows as usize, k: k as usize };
        Some(Self { encoding, tensor, scale })
    }

    /// The scale of the whole tensor, where it has one.
    pub fn tensor_scale(&self) -> Option<f32> {
        self.scale.own.map(|own| self.scale.of(own)).or_else(|| {
            let one = self.encoding.scales == crate::encoding::ScaleUnit::Tensor;
            one.then(|| self.scale.of(1.0))
        })
    }

    /// Whether every scale is an f16 of the file: those of groups are, unless something else multiplies or inverts
    /// them.
    pub fn half_scales(&self) -> bool {
        let of_groups = matches!(self.encoding.scales, crate::encoding::ScaleUnit::Group(_));
        of_groups && self.scale.factor == 1.0 && !self.scale.reciprocal
    }

    /// Number of scales that [`Self::decode`] gives for a row: none where the tensor has one.
    pub fn scales_in_row(&self) -> usize {
        self.encoding.scales_in_row(self.tensor.k)
    }

    /// Writes the codes of a row, and its scales, all that multiply them included.
    pub fn decode(&self, row: usize, codes: &mut [u8], scales: &mut [f32]) {
        (self.encoding.decode)(self.tensor, row, self.scale.own.unwrap_or(1.0), codes, scales);
        scales.iter_mut().for_each(|scale| *scale = self.scale.of(*scale));
    }

    /// Writes the weights of a row as f32: code minus one, times its scale, rounded once. Codes and scales are scratch.
    pub fn weights_of_row(&self, row: usize, (codes, scales): (&mut Vec<u8>, &mut Vec<f32>), out: &mut [f32]) {
        let k = self.tensor.k;
        codes.resize(k, 0);
        scales.resize(self.scales_in_row(), 0.0);
        self.decode(row, codes, scales);
        scales.extend(self.tensor_scale());
        let group = self.encoding.group(k).max(1);
        for ((out, codes), &scale) in out.chunks_mut(group).zip(codes.chunks(group)).zip(&*scales) {
            for (out, &code) in out.iter_mut().zip(codes) {
                *out = (f32::from(code) - 1.0) * scale;
            }
        }
    }
}
