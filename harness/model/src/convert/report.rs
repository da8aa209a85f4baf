//! What a conversion did.

use crate::gguf::Gguf;
use serde::Serialize;

/// What a conversion does, as `model convert` prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Name of the encoding that matrices are written in.
    pub to: &'static str,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Matrices that are converted.
    pub matrices: usize,
    /// Ternary weights in them.
    pub ternary_weights: u64,
    /// Tensors that are copied as they are.
    pub copied: usize,
    /// Matrices whose scale is a tensor beside them, since fp16 cannot hold it.
    pub scale_tensors: usize,
    /// Matrices with scales that are rounded to fp16.
    pub rounded: usize,
    /// How much a scale changes at most, relative to itself; `None` where all are exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_scale_change: Option<f64>,
}

impl Report {
    /// Nothing yet, to be written as the encoding of this name.
    pub(super) fn new(to: &'static str) -> Self {
        Self { to, ..Self::default() }
    }
}

/// Bytes of the matrices that a conversion reads before it writes.
pub fn ternary_bytes(gguf: &Gguf) -> u64 {
    let ternary = gguf.tensors.iter().filter(|t| t.kind.encoding.is_some() && t.dims.len() == 2);
    ternary.map(|t| gguf.bytes(t).len() as u64).sum()
}
