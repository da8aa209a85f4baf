//! The order of rows that a file of another container has.

use crate::error::Result;
use crate::gguf::{Gguf, TensorInfo};

/// The key with which a folder says how its rotated dimensions are paired.
pub const ROPE: &str = "tritbench.rope";

/// Whether rows of queries and keys lie in another order here than in a GGUF file of this architecture: a folder pairs
/// dimension i of a head with i + half, whatever the architecture, and engines pair neighbours in files of `llama`.
/// Source: `permute` of LlamaModel in llama.cpp's convert_hf_to_gguf.py.
pub fn differs(gguf: &Gguf) -> Result<bool> {
    let is_llama = gguf.optional_string("general.architecture")? == Some("llama");
    Ok(gguf.is_folder() && is_llama && gguf.optional_string(ROPE)? == Some("neox"))
}

/// Rows of each head in the order of a GGUF file.
#[derive(Clone, Copy)]
pub struct Order {
    /// Rows of a head, even.
    head: usize,
}

impl Order {
    /// The order of a matrix's rows; `None` where they stay.
    ///
    /// # Errors
    /// Rows that are no heads of an even width.
    pub fn of(gguf: &Gguf, info: &TensorInfo) -> Result<Option<Self>> {
        let rotated = info.name.ends_with(".attn_q.weight") || info.name.ends_with(".attn_k.weight");
        if !rotated || !differs(gguf)? {
            return Ok(None);
        }
        let head = gguf.optional_u32("llama.rope.dimension_count")?.unwrap_or(0) as usize;
        let rows = info.dims.get(1).copied().unwrap_or(0) as usize;
        if head == 0 || !head.is_multiple_of(2) || !rows.is_multiple_of(head) {
            let what = format!("its {rows} rows are no heads of {head} (an even number), so they cannot be reordered");
            return Err(gguf.tensor_error(info, what));
        }
        Ok(Some(Self { head }))
    }

    /// The row of the folder that is row `row` of the file.
    pub fn from(self, row: usize) -> usize {
        let (first, within) = (row / self.head * self.head, row % self.head);
        first + within % 2 * (self.head / 2) + within / 2
    }
}
