//! The shape of a model, read from metadata and checked against its tensors.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::gguf::{Gguf, Readable, TensorInfo, check_i2s_codes, i2s_scale, quoted};
use crate::loading::Loading;

/// Architectures whose graph this program runs (ReLU squared, sub-norms, tied F16 head).
pub const SUPPORTED: [&str; 2] = ["bitnet-b1.58", "bitnet-25"];

/// Upper bounds. The product of any two fits 64 bits, and a damaged or hostile file cannot ask for terabytes of buffers
/// before its tensors are checked.
const MAX_VOCAB: u32 = 1 << 22;
const MAX_CONTEXT: u32 = 1 << 22;
const MAX_DIM: u32 = 1 << 18;
const MAX_LAYERS: u32 = 1 << 10;
const MAX_HEADS: u32 = 1 << 12;

/// Sizes and constants of a BitNet b1.58 graph. Counts are elements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`, or the architecture where the file has none.
    pub name: String,
    /// Tokens.
    pub vocab: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head: `dim / heads`, even.
    pub head_dim: usize,
    /// Width inside the feed-forward part.
    pub ffn: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f32,
    /// Dimensions of a head that are rotated; equals `head_dim`.
    pub rope_dims: usize,
}

impl ModelConfig {
    /// Reads and checks the metadata. Errors name the key and its byte offset.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let architecture = gguf.required_string("general.architecture")?.to_string();
        refuse_other_graphs(gguf, &architecture)?;
        let reader = Reader { gguf, architecture: &architecture };
        let name = gguf.optional_string("general.name")?.unwrap_or(&architecture).to_string();
        let (dim, heads) =
            (reader.count("embedding_length", MAX_DIM)?, reader.count("attention.head_count", MAX_HEADS)?);
        let kv_heads = reader.count("attention.head_count_kv", MAX_HEADS)?;
        let rope_dims = reader.count("rope.dimension_count", MAX_DIM)?;
        if !dim.is_multiple_of(heads) {
            return Err(reader.error("attention.head_count", format!("{heads} heads do not divide the width {dim}")));
        }
        if !heads.is_multiple_of(kv_heads) {
            let what = format!("{kv_heads} key/value heads do not divide {heads} query heads");
            return Err(reader.error("attention.head_count_kv", what));
        }
        let head_dim = dim / heads;
        if rope_dims != head_dim || !rope_dims.is_multiple_of(2) {
            let what =
                format!("{rope_dims} rotated dimensions; this graph needs the head's width {head_dim}, and that even");
            return Err(reader.error("rope.dimension_count", what));
        }
        reader.refuse_other_heads(head_dim)?;
        reader.refuse_rope_scaling()?;
        Ok(Self {
            vocab: reader.count("vocab_size", MAX_VOCAB)?,
            context: reader.count("context_length", MAX_CONTEXT)?,
            layers: reader.count("block_count", MAX_LAYERS)?,
            ffn: reader.count("feed_forward_length", MAX_DIM)?,
            rms_eps: reader.positive("attention.layer_norm_rms_epsilon")?,
            rope_theta: reader.positive("rope.freq_base")?,
            name,
            dim,
            heads,
            kv_heads,
            head_dim,
            rope_dims,
            architecture,
        })
    }

    /// Width of keys and of values of one token: `kv_heads * head_dim`.
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

fn refuse_other_graphs(gguf: &Gguf, architecture: &str) -> Result<()> {
    if SUPPORTED.contains(&architecture) {
        return Ok(());
    }
    let Some(entry) = gguf.entry("general.architecture") else { return Err(gguf.missing_key("general.architecture")) };
    let supported = SUPPORTED.join(", ");
    let what = match architecture {
        "bitnet" => "\"bitnet\" is the older SiLU graph, a different model that would give wrong text here".to_string(),
        other => format!("architecture {} is not supported", quoted(other)),
    };
    Err(gguf.key_error(entry, format!("{what}; supported: {supported}")))
}

struct Reader<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl Reader<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn error(&self, key: &str, what: impl std::fmt::Display) -> Error {
        let key = self.key(key);
        match self.gguf.entry(&key) {
            Some(entry) => self.gguf.key_error(entry, what),
            None => self.gguf.missing_key(&key),
        }
    }

    /// A count from 1 to `limit`.
    fn count(&self, key: &str, limit: u32) -> Result<usize> {
        match self.gguf.required_u32(&self.key(key))? {
            n if (1..=limit).contains(&n) => Ok(n as usize),
            n => Err(self.error(key, format!("{n} is not between 1 and {limit}"))),
        }
    }

    fn positive(&self, key: &str) -> Result<f32> {
        match self.gguf.required_f32(&self.key(key))? {
            x if x.is_finite() && x > 0.0 => Ok(x),
            x => Err(self.error(key, format!("{x} is not a finite number above zero"))),
        }
    }

    /// Some files state the head's width too; a width that does not follow from the others is refused.
    fn refuse_other_heads(&self, head_dim: usize) -> Result<()> {
        for key in ["attention.key_length", "attention.value_length"] {
            if let Some(n) = self.gguf.optional_u32(&self.key(key))?
                && n as usize != head_dim
            {
                return Err(self.error(key, format!("{n} is not the head's width {head_dim}")));
            }
        }
        Ok(())
    }

    /// Converters write linear scaling by 1 for "none"; any other scaling would change the angles and is refused.
    fn refuse_rope_scaling(&self) -> Result<()> {
        let kind = self.gguf.optional_string(&self.key("rope.scaling.type"))?.unwrap_or("none");
        let factor = self.gguf.optional_f32(&self.key("rope.scaling.factor"))?.unwrap_or(1.0);
        match kind {
            "none" => Ok(()),
            "linear" if factor == 1.0 => Ok(()),
            other => Err(self.error("rope.scaling.type", format!("{} by {factor} is not supported", quoted(other)))),
        }
    }
}

/// Tensors of one block: name after `blk.N.`, whether ternary, and its dimensions, innermost first.
fn block_tensors(c: &ModelConfig) -> [(&'static str, bool, Vec<usize>); 11] {
    [
        ("attn_norm", false, vec![c.dim]),
        ("attn_sub_norm", false, vec![c.dim]),
        ("ffn_norm", false, vec![c.dim]),
        ("ffn_sub_norm", false, vec![c.ffn]),
        ("attn_q", true, vec![c.dim, c.dim]),
        ("attn_k", true, vec![c.dim, c.kv_dim()]),
        ("attn_v", true, vec![c.dim, c.kv_dim()]),
        ("attn_output", true, vec![c.dim, c.dim]),
        ("ffn_gate", true, vec![c.dim, c.ffn]),
        ("ffn_up", true, vec![c.dim, c.ffn]),
        ("ffn_down", true, vec![c.ffn, c.dim]),
    ]
}

/// Every tensor that the graph needs: name, type, dimensions (innermost first), in the published file's naming.
pub fn required_tensors(c: &ModelConfig) -> impl Iterator<Item = (String, Readable, Vec<usize>)> + '_ {
    let blocks = (0..c.layers).flat_map(move |layer| {
        block_tensors(c).into_iter().map(move |(name, ternary, dims)| {
            let kind = if ternary { Readable::I2S } else { Readable::F32 };
            (format!("blk.{layer}.{name}.weight"), kind, dims)
        })
    });
    let embedding = ("token_embd.weight".to_string(), Readable::F16, vec![c.dim, c.vocab]);
    let norm = ("output_norm.weight".to_string(), Readable::F32, vec![c.dim]);
    std::iter::once(embedding).chain(blocks).chain(std::iter::once(norm))
}

fn type_name(kind: Readable) -> &'static str {
    match kind {
        Readable::F32 => "F32",
        Readable::F16 => "F16",
        Readable::I2S => "I2_S",
    }
}

/// Checks that every tensor of the graph is there with its shape and type, that I2_S scales and f32 values are finite,
/// and that no other tensor is there (a bias or a separate output head makes another model). The error is one line: the
/// first fault, and how many more.
pub fn check_tensors(gguf: &Gguf, config: &ModelConfig) -> Result<()> {
    let mut faults = required_tensors(config).filter_map(|need| check_tensor(gguf, &need).err());
    let first = match faults.next() {
        Some(first) => first,
        None => return refuse_extra_tensors(gguf, config),
    };
    match faults.count() {
        0 => Err(first),
        more => Err(Error::input(format!("{first} ({more} more tensors are missing or wrong)"))),
    }
}

fn check_tensor(gguf: &Gguf, (name, kind, dims): &(String, Readable, Vec<usize>)) -> Result<()> {
    let tensor = gguf.tensor(name)?;
    if tensor.readable() != Some(*kind) {
        let what = format!("type {} is not supported here; it must be {}", tensor.type_name(), type_name(*kind));
        return Err(gguf.tensor_error(tensor, what));
    }
    if !tensor.dims.iter().copied().eq(dims.iter().map(|&d| d as u64)) {
        let what =
            format!("shape {:?} does not fit the metadata, which asks for {dims:?} (innermost first)", tensor.dims);
        return Err(gguf.tensor_error(tensor, what));
    }
    if *kind == Readable::F32
        && let Some((i, x)) = gguf.f32s(tensor)?.iter().enumerate().find(|(_, x)| !x.is_finite())
    {
        let at = tensor.offset + 4 * i as u64;
        return Err(gguf.tensor_error(tensor, format!("element {i} at byte {at} is {x}, not a finite number")));
    }
    match (kind, i2s_scale(gguf.bytes(tensor))) {
        (Readable::I2S, scale) if !scale.is_some_and(|s| s.is_finite() && s > 0.0) => {
            let at = tensor.offset + tensor.elements() / 4;
            Err(gguf
                .tensor_error(tensor, format!("the scale at byte {at} is {scale:?}, not a finite number above zero")))
        }
        _ => Ok(()),
    }
}

fn refuse_extra_tensors(gguf: &Gguf, config: &ModelConfig) -> Result<()> {
    // All required tensors are there and names are unique, so only a larger count needs a search.
    let needed: std::collections::HashSet<String> = required_tensors(config).map(|t| t.0).collect();
    match gguf.tensors().iter().find(|t| !needed.contains(&t.name)) {
        Some(extra) => {
            Err(gguf.tensor_error(extra, "is not part of this graph, and ignoring it would run another model"))
        }
        None => Ok(()),
    }
}

/// Reads every ternary tensor once and refuses invalid codes: see [`check_i2s_codes`].
pub fn check_codes(gguf: &Gguf, loading: &mut Loading<'_>) -> Result<()> {
    let ternary: Vec<&TensorInfo> = gguf.tensors().iter().filter(|t| t.readable() == Some(Readable::I2S)).collect();
    loading.each(ternary.len(), |i| {
        check_i2s_codes(gguf, ternary[i])?;
        Ok(((), gguf.bytes(ternary[i]).len() as u64))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::Builder;

    /// A one-block model of zeros.
    fn metadata(arch: &str) -> Builder {
        let key = |k: &str| format!("{arch}.{k}");
        Builder::new()
            .string("general.architecture", arch)
            .u32(&key("vocab_size"), 8)
            .u32(&key("context_length"), 16)
            .u32(&key("embedding_length"), 128)
            .u32(&key("block_count"), 1)
            .u32(&key("feed_forward_length"), 256)
            .u32(&key("rope.dimension_count"), 32)
            .f32(&key("rope.freq_base"), 10000.0)
            .u32(&key("attention.head_count"), 4)
            .u32(&key("attention.head_count_kv"), 2)
            .f32(&key("attention.layer_norm_rms_epsilon"), 1e-5)
    }

    fn whole(arch: &str) -> Builder {
        let gguf = Gguf::from_bytes("m", metadata(arch).build()).unwrap();
        let config = ModelConfig::from_gguf(&gguf).unwrap();
        required_tensors(&config).fold(metadata(arch), |b, (name, kind, dims)| {
            let code = [0, 1, 36][kind as usize];
            b.zeros(&name, &dims.iter().map(|&d| d as u64).collect::<Vec<_>>(), code)
        })
    }

    fn check(builder: Builder) -> Result<()> {
        let gguf = Gguf::from_bytes("m", builder.build())?;
        check_tensors(&gguf, &ModelConfig::from_gguf(&gguf)?)?;
        check_codes(&gguf, &mut Loading::alone())
    }

    fn assert_refused(builder: Builder, parts: &[&str]) {
        let text = check(builder).unwrap_err().to_string();
        assert!(!text.contains('\n'));
        parts.iter().for_each(|p| assert!(text.contains(p), "{p:?} not in {text:?}"));
    }

    #[test]
    fn builtin_model() {
        let gguf = crate::builtin::open().unwrap();
        let c = ModelConfig::from_gguf(&gguf).unwrap();
        assert_eq!((c.vocab, c.context, c.dim, c.layers, c.ffn), (1024, 512, 512, 3, 1024));
        assert_eq!((c.heads, c.kv_heads, c.head_dim, c.rope_dims), (8, 2, 64, 64));
        check_tensors(&gguf, &c).unwrap();
        check_codes(&gguf, &mut Loading::alone()).unwrap();
    }

    #[test]
    fn both_architectures_of_the_graph() {
        SUPPORTED.iter().for_each(|arch| check(whole(arch)).unwrap());
    }

    #[test]
    fn other_architectures_are_refused_by_name() {
        assert_refused(
            metadata("bitnet"),
            &["general.architecture", "at byte", "SiLU", "supported: bitnet-b1.58, bitnet-25"],
        );
        assert_refused(metadata("llama"), &["\"llama\" is not supported", "supported: bitnet-b1.58"]);
        assert_refused(Builder::new().u32("x", 1), &["\"general.architecture\" is missing"]);
    }

    #[test]
    fn inconsistent_metadata_is_named() {
        let swap = |key: &str, value: u32| {
            let mut b = whole("bitnet-25");
            let key = format!("bitnet-25.{key}");
            b.keys.retain(|k| !k.windows(key.len()).any(|w| w == key.as_bytes()));
            b.u32(&key, value)
        };
        assert_refused(swap("attention.head_count_kv", 3), &["head_count_kv", "at byte", "do not divide 4"]);
        assert_refused(swap("rope.dimension_count", 16), &["rope.dimension_count", "head's width 32"]);
        assert_refused(swap("embedding_length", 0), &["embedding_length", "not between 1 and"]);
        assert_refused(swap("block_count", u32::MAX), &["block_count", "not between 1 and"]);
        assert_refused(swap("block_count", 2), &["\"blk.1.attn_norm.weight\" is missing", "10 more tensors"]);
        assert_refused(swap("vocab_size", 9), &["token_embd.weight", "[128, 8]", "[128, 9]"]);
        let key = "bitnet-25.attention.key_length";
        assert_refused(whole("bitnet-25").u32(key, 64), &[key, "head's width 32"]);
        let b = whole("bitnet-25").string("bitnet-25.rope.scaling.type", "yarn");
        assert_refused(b, &["rope.scaling.type", "\"yarn\" by 1"]);
    }

    #[test]
    fn wrong_tensors_are_named() {
        let without = |name: &str| whole("bitnet-25").without_tensor(name);
        let name = "blk.0.attn_q.weight";
        assert_refused(without(name), &["\"blk.0.attn_q.weight\" is missing"]);
        assert_refused(without(name).zeros(name, &[128, 128], 1), &[name, "type F16", "must be I2_S"]);
        assert_refused(without(name).tensor(name, &[128, 128], 39, vec![0; 64]), &[name, "type TL2", "at byte"]);
        assert_refused(without(name).zeros(name, &[128, 64], 36), &[name, "[128, 64]", "[128, 128]"]);
        let bias = whole("bitnet-25").zeros("blk.0.attn_q.bias", &[128], 0);
        assert_refused(bias, &["blk.0.attn_q.bias", "not part of this graph"]);
        let three =
            without(name).tensor(name, &[128, 128], 36, [vec![0xff; 4096], vec![0, 0, 128, 63], vec![0; 28]].concat());
        assert_refused(three, &[name, "holds code 3"]);
        let norm = "blk.0.attn_norm.weight";
        let infinite = [vec![0; 4 * 7], f32::INFINITY.to_le_bytes().to_vec(), vec![0; 4 * 120]].concat();
        assert_refused(
            without(norm).tensor(norm, &[128], 0, infinite),
            &[norm, "element 7 at byte", "is inf, not a finite number"],
        );
        let scale = without(name).tensor(name, &[128, 128], 36, vec![0; 4096 + 32]);
        assert_refused(scale, &[name, "the scale at byte"]);
    }
}
