//! Scales that are tensors of their own: `blk.N.attn_q.scale` beside `blk.N.attn_q.weight`.
//!
//! Converters write them for BitNet models whose matrices lie in a type without room for the scale of a tensor; engines
//! multiply the product by it. One f32 each. Source: `modify_tensors` of BitnetModel in llama.cpp's
//! convert_hf_to_gguf.py.

use super::file::Gguf;

/// Architectures whose matrices may have a scale beside them.
const ARCHITECTURES: [&str; 3] = ["bitnet", "bitnet-25", "bitnet-b1.58"];

/// The matrices of a block that may have one.
const MATRICES: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// Name of the scale that belongs to the matrix of this name; `None` for a tensor that cannot have one.
fn name_for(matrix: &str) -> Option<String> {
    let stem = matrix.strip_suffix(".weight")?;
    let (block, name) = stem.strip_prefix("blk.")?.split_once('.')?;
    let in_block = block.bytes().all(|b| b.is_ascii_digit()) && MATRICES.contains(&name);
    in_block.then(|| format!("{stem}.scale"))
}

impl Gguf {
    /// Name of the scale that may be beside the matrix of this name in a file of this architecture.
    pub fn scale_name(&self, matrix: &str) -> Option<String> {
        let architecture = self.optional_string("general.architecture").ok().flatten()?;
        name_for(matrix).filter(|_| ARCHITECTURES.contains(&architecture))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::Builder;

    #[test]
    fn names() {
        let name = name_for;
        assert_eq!(name("blk.12.ffn_down.weight").as_deref(), Some("blk.12.ffn_down.scale"));
        for other in ["token_embd.weight", "blk.1.attn_norm.weight", "blk.x.ffn_up.weight", "blk.1.ffn_up.bias"] {
            assert_eq!(name(other), None, "{other}");
        }
        let gguf = Gguf::from_bytes("m", Builder::new().string("general.architecture", "llama").build()).unwrap();
        assert_eq!(gguf.scale_name("blk.12.ffn_down.weight"), None);
    }
}
