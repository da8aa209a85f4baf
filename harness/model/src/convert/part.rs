//! The tensors of the new file.

use super::matrix::Matrix;
use crate::gguf::TensorInfo;

/// One tensor of the new file.
pub enum Part<'a> {
    /// The bytes of a tensor as they are.
    Copy(&'a TensorInfo),
    /// A matrix in the new encoding.
    Matrix(Matrix<'a>, Scales),
    /// The scale beside a matrix: name and value.
    Beside(String, f32),
}

/// The scales that a matrix is written with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scales {
    /// Those that its weights have.
    Own,
    /// This one for all: behind the tensor or in each group.
    All(f32),
}
