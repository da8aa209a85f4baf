//! The tensors of the graph: which there must be, and whether a file has them.

use crate::config::ModelConfig;
use crate::encoding::Encoding;
use crate::error::{Error, Result};
use crate::gguf::types::{self, TypeInfo};
use crate::gguf::{Gguf, name_beside};
use crate::loading::Loading;
use crate::matrix::{Matrix, check_shape};
use kernels::Needs;
use std::collections::HashSet;

/// Name of the tensor with a row for each entry of the vocabulary.
pub(crate) const EMBEDDING: &str = "token_embd.weight";
/// Name of the output head, where it is a tensor of its own.
pub(crate) const OUTPUT: &str = "output.weight";

/// What a tensor of the graph is for, from which follows how it may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Gains of a norm.
    Vector,
    /// A ternary matrix of a product.
    Matrix,
    /// Rows of the embedding or of the output head.
    Rows,
}

/// Whether a tensor of this role may be of this type; if not, what it has to be.
pub fn fits(role: Role, kind: TypeInfo) -> std::result::Result<(), String> {
    let (ternary, dense) = (kind.encoding.is_some(), kind.elements.is_some());
    let wanted = match role {
        Role::Vector if !dense => types::names(|t| t.elements.is_some()),
        Role::Matrix if !ternary => types::names(|t| t.encoding.is_some()),
        Role::Rows if !ternary && !dense => types::names(|t| t.encoding.is_some() || t.elements.is_some()),
        _ => return Ok(()),
    };
    Err(format!("type {} is not supported here; it must be {wanted}", kind.name))
}

/// Tensors of one block: name after `blk.N.`, role, and dimensions, innermost first.
fn block_tensors(c: &ModelConfig) -> impl Iterator<Item = (&'static str, Role, Vec<usize>)> {
    let (vector, matrix) = (|n: usize| (Role::Vector, vec![n]), |k: usize, rows: usize| (Role::Matrix, vec![k, rows]));
    [
        (true, "attn_norm", vector(c.dim)),
        (c.sub_norms, "attn_sub_norm", vector(c.q_dim())),
        (true, "ffn_norm", vector(c.dim)),
        (c.sub_norms, "ffn_sub_norm", vector(c.ffn)),
        (c.qk_norms, "attn_q_norm", vector(c.head_dim)),
        (c.qk_norms, "attn_k_norm", vector(c.head_dim)),
        (true, "attn_q", matrix(c.dim, c.q_dim())),
        (true, "attn_k", matrix(c.dim, c.kv_dim())),
        (true, "attn_v", matrix(c.dim, c.kv_dim())),
        (true, "attn_output", matrix(c.q_dim(), c.dim)),
        (true, "ffn_gate", matrix(c.dim, c.ffn)),
        (true, "ffn_up", matrix(c.dim, c.ffn)),
        (true, "ffn_down", matrix(c.ffn, c.dim)),
    ]
    .into_iter()
    .filter(|(there, ..)| *there)
    .map(|(_, name, (role, dims))| (name, role, dims))
}

/// The block that a tensor belongs to, and its name in there.
pub(crate) fn in_block(tensor: &str) -> Option<(u32, &str)> {
    let (layer, name) = tensor.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, name))
}

/// Whether a tensor of this name is a ternary matrix of a block.
pub(crate) fn is_matrix_of_block(tensor: &str) -> bool {
    let Some(name) = in_block(tensor).and_then(|(_, name)| name.strip_suffix(".weight")) else { return false };
    block_tensors(&ModelConfig::default()).any(|(matrix, role, _)| role == Role::Matrix && matrix == name)
}

/// Every tensor that the graph needs: name, role, dimensions (innermost first), in the published file's naming.
pub fn required_tensors(c: &ModelConfig) -> impl Iterator<Item = (String, Role, Vec<usize>)> + '_ {
    let blocks = (0..c.layers).flat_map(move |layer| {
        block_tensors(c).map(move |(name, role, dims)| (format!("blk.{layer}.{name}.weight"), role, dims))
    });
    let rows = |name: &str| (name.to_string(), Role::Rows, vec![c.dim, c.vocab]);
    let norm = ("output_norm.weight".to_string(), Role::Vector, vec![c.dim]);
    let head = (!c.tied).then(|| rows(OUTPUT));
    std::iter::once(rows(EMBEDDING)).chain(blocks).chain(std::iter::once(norm)).chain(head)
}

/// Checks that every tensor of the graph is there with its shape and type, that scales and f32 values are finite, and
/// that no other tensor is there (a bias makes another model) but factors of matrices. The error is one line: the first
/// fault, and how many more.
pub fn check_tensors(gguf: &Gguf, config: &ModelConfig) -> Result<()> {
    if gguf.tensors.is_empty() {
        let file = gguf.path.display();
        return Err(Error::input(format!("{file}: has a vocabulary and no tensors; name the file with the weights")));
    }
    let faults = required_tensors(config).filter_map(|need| check_tensor(gguf, &need).err());
    Error::first_of(faults, "more tensors are missing or wrong")?;
    let matrices = required_tensors(config).filter(|t| t.1 == Role::Matrix).filter_map(|t| name_beside(&t.0));
    // All required tensors are there and names are unique, so another one is found by name.
    let known: HashSet<String> = required_tensors(config).map(|t| t.0).chain(matrices).collect();
    let extra = gguf.tensors.iter().find(|t| !known.contains(&t.name));
    extra.map_or(Ok(()), |extra| {
        let what = "is not part of this graph, and ignoring it would run another model";
        let why = meaning(&extra.name).map_or(String::new(), |why| format!(": {why}"));
        Err(gguf.tensor_error(extra, format!("{what}{why}")))
    })
}

/// What a tensor that is not part of a graph is known to be.
fn meaning(name: &str) -> Option<&'static str> {
    let ends = |end: &str| name.ends_with(end);
    if name == "rope_freqs.weight" {
        Some("it holds factors of the rotary angles (Llama-3.1 has them), which are not applied here")
    } else if ends("_norm_in.weight") {
        Some("it is a norm before a matrix, as BitNet embedding models have them, which give no next token")
    } else if ends(".bias") {
        Some("biases are not added here")
    } else if name.contains("_exps.") || ends("ffn_gate_inp.weight") {
        Some("it belongs to a mixture of experts")
    } else {
        None
    }
}

fn check_tensor(gguf: &Gguf, (name, role, dims): &(String, Role, Vec<usize>)) -> Result<()> {
    let tensor = gguf.tensor(name)?;
    fits(*role, tensor.kind).map_err(|what| gguf.tensor_error(tensor, what))?;
    if !tensor.dims.iter().copied().eq(dims.iter().map(|&d| d as u64)) {
        let what =
            format!("shape {:?} does not fit the metadata, which asks for {dims:?} (innermost first)", tensor.dims);
        return Err(gguf.tensor_error(tensor, what));
    }
    match role {
        Role::Vector => gguf.vector(tensor).map(|_| ()),
        // The scale of latent weights follows from all of them: it is looked at when they are, as codes are.
        Role::Matrix if tensor.kind.encoding.is_some_and(Encoding::latent) => check_shape(gguf, tensor),
        Role::Matrix => Matrix::of(gguf, tensor).map(|_| ()),
        Role::Rows => Ok(()),
    }
}

/// Reads every ternary matrix once and refuses one with a code that its encoding lacks, or a scale that is not finite.
/// Returns what they ask of a kernel together.
pub fn check_codes(gguf: &Gguf, loading: &mut Loading<'_>) -> Result<Needs> {
    let mut needs = Needs::NONE;
    for tensor in gguf.tensors.iter().filter(|t| t.kind.encoding.is_some() && in_block(&t.name).is_some()) {
        loading.check_stop()?;
        needs = needs.and(Matrix::of(gguf, tensor)?.check(&mut loading.team, loading.progress)?);
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use crate::gguf::Gguf;
    use crate::gguf::testing::i2s;
    use crate::small_model::{assert_refused, check, metadata, whole};

    #[test]
    fn wrong_tensors_are_named() {
        let without = |name: &str| whole("bitnet-25").without_tensor(name);
        let name = "blk.0.attn_q.weight";
        assert_refused(without(name), &["\"blk.0.attn_q.weight\" is missing"]);
        assert_refused(without(name).zeros(name, &[128, 128], 1), &[name, "type F16", "must be TQ1_0, TQ2_0, I2_S"]);
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
    fn tensors_of_other_models_are_said_to_be() {
        let with = |arch: &str, name: &str| whole(arch).zeros(name, &[16], 0);
        for (name, meaning) in [
            ("rope_freqs.weight", "factors of the rotary angles"),
            ("blk.0.attn_q_norm_in.weight", "BitNet embedding models"),
            ("blk.0.attn_q.bias", "biases are not added"),
            ("blk.0.ffn_gate_exps.weight", "mixture of experts"),
            ("blk.0.attn_sub_norm.weight", "ignoring it would run another model"),
        ] {
            for arch in ["llama", "qwen3"] {
                assert_refused(with(arch, name), &[name, "at byte", "not part of this graph", meaning]);
            }
        }
    }

    #[test]
    fn a_factor_may_stand_beside_a_matrix() {
        let name = "blk.0.attn_q.scale";
        let with = |arch: &str, factor: f32| whole(arch).with_tensor(name, &[1], 0, factor.to_le_bytes().to_vec());
        for arch in ["bitnet", "bitnet-25", "llama", "qwen3"] {
            let gguf = Gguf::from_bytes("m", with(arch, 0.37).build()).unwrap();
            check(with(arch, 0.37)).unwrap();
            let factor = |name| gguf.matrix_scale(gguf.tensor(name).unwrap()).unwrap();
            assert_eq!(factor("blk.0.attn_q.weight"), Some(0.37));
            assert_eq!(factor("blk.0.attn_k.weight"), None);
            assert_refused(with(arch, f32::NAN), &[name, "is NaN at byte", "not a finite number above zero"]);
            assert_refused(with(arch, 0.0), &[name, "is 0 at byte", "not a finite number above zero"]);
        }
        assert_refused(whole("llama").zeros(name, &[2], 0), &[name, "is F32 of shape [2] and must be one F32 number"]);
        assert_refused(whole("llama").zeros(name, &[1], 1), &[name, "is F16 of shape [1] and must be one F32 number"]);
        let other = "blk.0.attn_norm.scale";
        assert_refused(whole("llama").zeros(other, &[1], 0), &[other, "not part of this graph"]);
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
