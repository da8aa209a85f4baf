//! The tensors of the graph: which there must be, and whether a file has them.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::types::{self, TypeInfo};
use crate::gguf::{Gguf, TensorInfo, check_i2s_codes, check_i2s_scale};
use crate::loading::Loading;

/// Tensors of one block: name after `blk.N.`, type, and dimensions, innermost first.
fn block_tensors(c: &ModelConfig) -> [(&'static str, TypeInfo, Vec<usize>); 11] {
    [
        ("attn_norm", types::F32, vec![c.dim]),
        ("attn_sub_norm", types::F32, vec![c.dim]),
        ("ffn_norm", types::F32, vec![c.dim]),
        ("ffn_sub_norm", types::F32, vec![c.ffn]),
        ("attn_q", types::I2S, vec![c.dim, c.dim]),
        ("attn_k", types::I2S, vec![c.dim, c.kv_dim()]),
        ("attn_v", types::I2S, vec![c.dim, c.kv_dim()]),
        ("attn_output", types::I2S, vec![c.dim, c.dim]),
        ("ffn_gate", types::I2S, vec![c.dim, c.ffn]),
        ("ffn_up", types::I2S, vec![c.dim, c.ffn]),
        ("ffn_down", types::I2S, vec![c.ffn, c.dim]),
    ]
}

/// The block that a tensor belongs to, and its name in there.
pub(crate) fn in_block(tensor: &str) -> Option<(u32, &str)> {
    let (layer, name) = tensor.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, name))
}

/// Every tensor that the graph needs: name, type, dimensions (innermost first), in the published file's naming.
pub fn required_tensors(c: &ModelConfig) -> impl Iterator<Item = (String, TypeInfo, Vec<usize>)> + '_ {
    let blocks = (0..c.layers).flat_map(move |layer| {
        let tensors = block_tensors(c).into_iter();
        tensors.map(move |(name, kind, dims)| (format!("blk.{layer}.{name}.weight"), kind, dims))
    });
    let embedding = ("token_embd.weight".to_string(), types::F16, vec![c.dim, c.vocab]);
    let norm = ("output_norm.weight".to_string(), types::F32, vec![c.dim]);
    std::iter::once(embedding).chain(blocks).chain(std::iter::once(norm))
}

/// Checks that every tensor of the graph is there with its shape and type, that I2_S scales and f32 values are finite,
/// and that no other tensor is there (a bias or a separate output head makes another model). The error is one line: the
/// first fault, and how many more.
pub fn check_tensors(gguf: &Gguf, config: &ModelConfig) -> Result<()> {
    if gguf.tensors.is_empty() {
        let file = gguf.path.display();
        return Err(Error::input(format!("{file}: has a vocabulary and no tensors; name the file with the weights")));
    }
    let faults = required_tensors(config).filter_map(|need| check_tensor(gguf, &need).err());
    Error::first_of(faults, "more tensors are missing or wrong")?;
    // All required tensors are there and names are unique, so another one is found by name.
    let needed: std::collections::HashSet<String> = required_tensors(config).map(|t| t.0).collect();
    let extra = gguf.tensors.iter().find(|t| !needed.contains(&t.name));
    let what = "is not part of this graph, and ignoring it would run another model";
    extra.map_or(Ok(()), |extra| Err(gguf.tensor_error(extra, what)))
}

fn check_tensor(gguf: &Gguf, (name, kind, dims): &(String, TypeInfo, Vec<usize>)) -> Result<()> {
    let tensor = gguf.tensor(name)?;
    if tensor.kind != *kind {
        let what = format!("type {} is not supported here; it must be {}", tensor.kind.name, kind.name);
        return Err(gguf.tensor_error(tensor, what));
    }
    if !tensor.dims.iter().copied().eq(dims.iter().map(|&d| d as u64)) {
        let what =
            format!("shape {:?} does not fit the metadata, which asks for {dims:?} (innermost first)", tensor.dims);
        return Err(gguf.tensor_error(tensor, what));
    }
    if *kind == types::F32
        && let Some((i, x)) = gguf.f32s(tensor)?.iter().enumerate().find(|(_, x)| !x.is_finite())
    {
        let at = tensor.offset + 4 * i as u64;
        return Err(gguf.tensor_error(tensor, format!("element {i} at byte {at} is {x}, not a finite number")));
    }
    if *kind == types::I2S { check_i2s_scale(gguf, tensor) } else { Ok(()) }
}

/// Reads every ternary tensor once and refuses one with a code 3 or without a scale.
pub fn check_codes(gguf: &Gguf, loading: &mut Loading<'_>) -> Result<()> {
    let ternary: Vec<&TensorInfo> = gguf.tensors.iter().filter(|t| t.kind == types::I2S).collect();
    loading.each(ternary.len(), |i| {
        check_i2s_codes(gguf, ternary[i])?;
        Ok(((), gguf.bytes(ternary[i]).len() as u64))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::gguf::testing::i2s;
    use crate::small_model::{assert_refused, metadata, whole};

    #[test]
    fn wrong_tensors_are_named() {
        let without = |name: &str| whole("bitnet-25").without_tensor(name);
        let name = "blk.0.attn_q.weight";
        assert_refused(without(name), &["\"blk.0.attn_q.weight\" is missing"]);
        assert_refused(without(name).zeros(name, &[128, 128], 1), &[name, "type F16", "must be I2_S"]);
        assert_refused(without(name).with_tensor(name, &[128, 128], 39, vec![0; 64]), &[name, "type TL2", "at byte"]);
        assert_refused(without(name).zeros(name, &[128, 64], 36), &[name, "[128, 64]", "[128, 128]"]);
        let bias = whole("bitnet-25").zeros("blk.0.attn_q.bias", &[128], 0);
        assert_refused(bias, &["blk.0.attn_q.bias", "not part of this graph"]);
        let three = without(name).with_tensor(name, &[128, 128], 36, i2s(128 * 128, 0xff, 1.0));
        assert_refused(three, &[name, "holds code 3"]);
        let norm = "blk.0.attn_norm.weight";
        let infinite = [vec![0; 4 * 7], f32::INFINITY.to_le_bytes().to_vec(), vec![0; 4 * 120]].concat();
        let infinite = without(norm).with_tensor(norm, &[128], 0, infinite);
        assert_refused(infinite, &[norm, "element 7 at byte", "is inf, not a finite number"]);
        let no_tensors = metadata("bitnet-25");
        assert_refused(no_tensors, &["no tensors", "name the file with the weights"]);
    }

    #[test]
    fn scales_that_are_none_are_said_in_words() {
        let name = "blk.0.attn_q.weight";
        for (scale, words) in [
            (0.0, "is 0, as if it was never written"),
            (f32::NAN, "is NaN, not a number"),
            (f32::INFINITY, "is inf, not finite"),
            (-0.5, "is -0.5, below zero"),
        ] {
            let data = i2s(128 * 128, 0x55, scale);
            let builder = whole("bitnet-25").without_tensor(name).with_tensor(name, &[128, 128], 36, data);
            let next = "convert or download the model again";
            assert_refused(builder, &[name, "the scale at byte", words, "above zero", next]);
        }
    }
}
