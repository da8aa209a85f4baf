//! The scale that a whole matrix has outside its own bytes.

use super::cursor::quoted;
use super::file::Gguf;
use super::tensors::TensorInfo;
use super::types;
use crate::error::Result;

/// Name of the tensor with the scale of a whole matrix, which a file may have beside it: `blk.0.attn_q.scale` for
/// `blk.0.attn_q.weight`. Source: `modify_tensors` of BitnetModel in llama.cpp's convert_hf_to_gguf.py.
pub fn name_beside(matrix: &str) -> Option<String> {
    matrix.strip_suffix(".weight").map(|stem| format!("{stem}.scale"))
}

impl Gguf {
    /// The factor by which a matrix's decoded codes are multiplied, where something beside its bytes gives one: a
    /// folder's `weight_scale` (or its reciprocal, by the rule of the folder's config.json), or a GGUF file's tensor
    /// `NAME.scale` beside `NAME.weight`, as llama.cpp reads it. `None` where there is none, and then the matrix's own
    /// scales are all.
    ///
    /// # Errors
    /// A `.scale` tensor that is no finite number above zero, named with its value.
    pub fn matrix_scale(&self, matrix: &TensorInfo) -> Result<Option<f32>> {
        if let Some(&factor) = self.parts.scales.get(&matrix.name) {
            return Ok(Some(factor));
        }
        let Some(name) = name_beside(&matrix.name) else { return Ok(None) };
        let Some(tensor) = self.find_tensor(&name) else { return Ok(None) };
        let of_matrix = format!("must be one F32 number, the scale of {}", quoted(&matrix.name));
        let one = if tensor.kind == types::F32 { <[u8; 4]>::try_from(self.bytes(tensor)).ok() } else { None };
        let Some(bytes) = one else {
            let found = format!("is {} of shape {:?} and {of_matrix}", tensor.kind.name, tensor.dims);
            return Err(self.tensor_error(tensor, found));
        };
        match f32::from_le_bytes(bytes) {
            scale if scale.is_finite() && scale > 0.0 => Ok(Some(scale)),
            scale => {
                let what = format!("is {scale} at byte {}, not a finite number above zero", tensor.offset);
                Err(self.tensor_error(tensor, format!("{what}; convert or download the model again")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::gguf::Gguf;
    use crate::gguf::testing::Builder;

    fn scale(kind: u32, dims: &[u64], data: &[u8]) -> Result<Option<f32>, String> {
        let builder = Builder::new().zeros("m.weight", &[128, 1], 36).zeros("alone.weight", &[128, 1], 36);
        let builder = builder.with_tensor("m.scale", dims, kind, data.to_vec());
        let gguf = Gguf::from_bytes("f", builder.build()).unwrap();
        assert_eq!(gguf.matrix_scale(gguf.tensor("alone.weight").unwrap()).unwrap(), None);
        gguf.matrix_scale(gguf.tensor("m.weight").unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_scale_beside_a_matrix_is_its_factor() {
        assert_eq!(scale(0, &[1], &0.75f32.to_le_bytes()), Ok(Some(0.75)));
        for (bad, words) in [(0.0f32, "is 0 at byte"), (f32::NAN, "is NaN"), (f32::INFINITY, "is inf"), (-1.0, "is -1")]
        {
            let error = scale(0, &[1], &bad.to_le_bytes()).unwrap_err();
            assert!(error.contains("\"m.scale\"") && error.contains(words), "{error}");
        }
        for (kind, dims, data) in [(0, &[2][..], &[0; 8][..]), (1, &[1], &[0; 2])] {
            let error = scale(kind, dims, data).unwrap_err();
            assert!(error.contains("must be one F32 number, the scale of \"m.weight\""), "{error}");
        }
    }
}
