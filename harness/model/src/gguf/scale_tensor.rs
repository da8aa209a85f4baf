//! Scales that are tensors of their own: `blk.N.attn_q.scale` beside `blk.N.attn_q.weight`.
//!
//! Converters write them for BitNet models whose matrices lie in a type without room for the scale of a tensor; engines
//! multiply the product by it. One f32 each. Source: `modify_tensors` of BitnetModel in llama.cpp's
//! convert_hf_to_gguf.py.

use super::file::Gguf;
use super::tensors::TensorInfo;
use super::types;
use crate::error::Result;

/// Architectures whose matrices may have a scale beside them.
const ARCHITECTURES: [&str; 3] = ["bitnet", "bitnet-25", "bitnet-b1.58"];

/// The matrices of a block that may have one.
const MATRICES: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// A scale beside a matrix.
#[derive(Clone, Copy, Debug)]
pub struct ScaleTensor<'a> {
    /// The tensor that holds it.
    pub tensor: &'a TensorInfo,
    /// What the matrix is to be multiplied by; a finite number.
    pub value: f32,
}

impl ScaleTensor<'_> {
    /// Name of the scale that belongs to the matrix of this name; `None` for a tensor that cannot have one.
    pub fn name_for(matrix: &str) -> Option<String> {
        let stem = matrix.strip_suffix(".weight")?;
        let (block, name) = stem.strip_prefix("blk.")?.split_once('.')?;
        let in_block = block.bytes().all(|b| b.is_ascii_digit()) && MATRICES.contains(&name);
        in_block.then(|| format!("{stem}.scale"))
    }
}

impl Gguf {
    /// The scale beside a matrix, if the file has one, of an architecture that has them.
    ///
    /// # Errors
    /// A scale that is not one finite f32.
    pub fn scale_beside(&self, matrix: &TensorInfo) -> Result<Option<ScaleTensor<'_>>> {
        let name = self.scale_name(&matrix.name);
        let Some(tensor) = name.and_then(|name| self.find_tensor(&name)) else { return Ok(None) };
        let refused = |what: String| Err(self.tensor_error(tensor, format!("{what}, so it scales no matrix")));
        if tensor.kind != types::F32 || tensor.elements() != 1 {
            let (kind, dims) = (tensor.kind.name, &tensor.dims);
            return refused(format!("is {kind} of shape {dims:?} and not one F32"));
        }
        match self.f32s(tensor)? {
            [value] if value.is_finite() => Ok(Some(ScaleTensor { tensor, value: *value })),
            found => refused(format!("holds {found:?} at byte {}, which is not finite", tensor.offset)),
        }
    }

    /// Name of the scale that may be beside the matrix of this name in a file of this architecture.
    pub fn scale_name(&self, matrix: &str) -> Option<String> {
        let architecture = self.optional_string("general.architecture").ok().flatten()?;
        ScaleTensor::name_for(matrix).filter(|_| ARCHITECTURES.contains(&architecture))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::{Builder, i2s};

    fn value(architecture: &str, dims: &[u64], kind: u32, data: Vec<u8>) -> Result<Option<f32>> {
        let bytes = Builder::new()
            .string("general.architecture", architecture)
            .with_tensor("blk.3.attn_q.weight", &[128, 1], 36, i2s(128, 0x55, 1.0))
            .with_tensor("blk.3.attn_q.scale", dims, kind, data)
            .build();
        let gguf = Gguf::from_bytes("m", bytes).unwrap();
        Ok(gguf.scale_beside(&gguf.tensors[0])?.map(|scale| scale.value))
    }

    #[test]
    fn a_scale_is_one_finite_number_of_an_architecture_that_has_it() {
        let bytes = |x: f32| x.to_le_bytes().to_vec();
        for architecture in ["bitnet", "bitnet-25", "bitnet-b1.58"] {
            assert_eq!(value(architecture, &[1], 0, bytes(0.75)).unwrap(), Some(0.75));
        }
        assert_eq!(value("qwen3", &[1], 0, bytes(0.75)).unwrap(), None);
        let refused = |dims: &[u64], kind, data| value("bitnet", dims, kind, data).unwrap_err().to_string();
        assert!(refused(&[2], 0, vec![0; 8]).contains("\"blk.3.attn_q.scale\" described at byte"));
        assert!(refused(&[1], 1, vec![0; 2]).contains("is F16 of shape [1]"));
        assert!(refused(&[1], 0, bytes(f32::NAN)).contains("holds [NaN] at byte"));
    }

    #[test]
    fn names() {
        let name = |matrix| ScaleTensor::name_for(matrix);
        assert_eq!(name("blk.12.ffn_down.weight").as_deref(), Some("blk.12.ffn_down.scale"));
        for other in ["token_embd.weight", "blk.1.attn_norm.weight", "blk.x.ffn_up.weight", "blk.1.ffn_up.bias"] {
            assert_eq!(name(other), None, "{other}");
        }
        let gguf = Gguf::from_bytes("m", Builder::new().string("general.architecture", "llama").build()).unwrap();
        assert_eq!(gguf.scale_name("blk.12.ffn_down.weight"), None);
    }
}
