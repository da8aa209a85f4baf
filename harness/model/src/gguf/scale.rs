//! The scale that a whole matrix has outside its own bytes.

use super::file::Gguf;
use super::tensors::TensorInfo;
use crate::error::Result;

impl Gguf {
    /// The factor by which a matrix's decoded codes are multiplied, where something beside its bytes gives one: a
    /// folder's `weight_scale` (or its reciprocal, by the rule of the folder's config.json), finite and above zero, or
    /// the tensor of [`Self::scale_beside`]. `None` where there is none, and then the matrix's own scales are all.
    ///
    /// # Errors
    /// A scale beside it that is not one finite f32.
    pub fn matrix_scale(&self, matrix: &TensorInfo) -> Result<Option<f32>> {
        match self.parts.scales.get(&matrix.name) {
            Some(&factor) => Ok(Some(factor)),
            None => Ok(self.scale_beside(matrix)?.map(|scale| scale.value)),
        }
    }
}
