//! The shape of a model, read from metadata.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value, left_out, quoted};
use crate::graph;
use crate::keys;

/// Architectures whose graph this program runs (ReLU squared, sub-norms, tied F16 head).
pub const SUPPORTED: [&str; 2] = ["bitnet-b1.58", "bitnet-25"];

/// Upper bounds. The product of any two fits 64 bits, and a damaged or hostile file cannot ask for terabytes of buffers
/// before its tensors are checked.
const MAX_VOCAB: u32 = 1 << 22;
const MAX_CONTEXT: u32 = 1 << 22;
const MAX_DIM: u32 = 1 << 18;
const MAX_LAYERS: u32 = 1 << 10;
const MAX_HEADS: u32 = 1 << 12;
/// Base of the rotary angles where a file does not say.
const ROPE_BASE: f32 = 10_000.0;

impl ModelConfig {
    /// Reads the model's shape from a file and refuses keys that would make another model. Errors name key and byte
    /// offset.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let config = Self::shape(gguf)?;
        keys::check_graph(gguf, &config)?;
        Ok(config)
    }

    /// Reads the model's shape alone, whatever other keys there are. Keys that the format makes optional may be left
    /// out.
    pub fn shape(gguf: &Gguf) -> Result<Self> {
        refuse_shard(gguf)?;
        let Some(architecture) = gguf.optional_string("general.architecture")?.map(str::to_owned) else {
            let next = format!("write {} if the model is one, or name another file", SUPPORTED[0]);
            return Err(gguf.missing("general.architecture", next));
        };
        refuse_other_graphs(gguf, &architecture)?;
        let name = gguf.optional_string("general.name")?.unwrap_or(&architecture).to_string();
        let mut c = Self { architecture: architecture.clone(), name, ..Self::default() };
        let mut reader = Reader { gguf, architecture, assumed: Vec::new() };
        let width = said(rows_or_columns(gguf, "token_embd.weight", 0), "the width of token_embd.weight");
        c.dim = reader.count("embedding_length", MAX_DIM, width)?;
        let hint = "the number of attention heads (num_attention_heads in its config.json)";
        c.heads = reader.count("attention.head_count", MAX_HEADS, hint)?;
        if !c.dim.is_multiple_of(c.heads) {
            let what = format!("{} heads do not divide the width {}", c.heads, c.dim);
            return Err(reader.error("attention.head_count", what));
        }
        c.head_dim = c.dim / c.heads;
        c.kv_heads = reader.count_or("attention.head_count_kv", MAX_HEADS, (c.heads, "as many as heads"))?;
        if !c.heads.is_multiple_of(c.kv_heads) {
            let what = format!("{} key/value heads do not divide {} query heads", c.kv_heads, c.heads);
            return Err(reader.error("attention.head_count_kv", what));
        }
        c.rope_dims = reader.count_or("rope.dimension_count", MAX_DIM, (c.head_dim, "the width of a head"))?;
        if c.rope_dims != c.head_dim || !c.rope_dims.is_multiple_of(2) {
            let what = format!("{} rotated dimensions; this graph needs the head's width {}", c.rope_dims, c.head_dim);
            return Err(reader.error("rope.dimension_count", format!("{what}, and that even")));
        }
        c.vocab = match tokens(gguf)? {
            Some(tokens) => reader.count_or("vocab_size", MAX_VOCAB, tokens)?,
            None => reader.count("vocab_size", MAX_VOCAB, "the number of tokens")?,
        };
        let hint = "the most tokens it was trained on (max_position_embeddings in its config.json)";
        c.context = reader.count("context_length", MAX_CONTEXT, hint)?;
        c.layers = reader.count("block_count", MAX_LAYERS, said(blocks(gguf), "the number of blocks"))?;
        let rows = said(rows_or_columns(gguf, "blk.0.ffn_up.weight", 1), "the rows of blk.0.ffn_up.weight");
        c.ffn = reader.count("feed_forward_length", MAX_DIM, rows)?;
        let eps_key = "attention.layer_norm_rms_epsilon";
        let next = "write the epsilon of its RMS norms (rms_norm_eps in its config.json, 1e-5 in BitNet 2B-4T)";
        c.rms_eps = reader.positive(eps_key)?.ok_or_else(|| gguf.missing(&reader.key(eps_key), next))?;
        let base = reader.positive("rope.freq_base")?;
        c.rope_theta = base.unwrap_or_else(|| reader.assume("rope.freq_base", ROPE_BASE, "the format's default"));
        c.assumed = reader.assumed;
        Ok(c)
    }
}

/// A shard has a part of the tensors, and all but the first have no other metadata.
fn refuse_shard(gguf: &Gguf) -> Result<()> {
    let Some(count) = gguf.optional_u32("split.count")?.filter(|&count| count > 1) else { return Ok(()) };
    let number = u64::from(gguf.optional_u32("split.no")?.unwrap_or(0)) + 1;
    // The first shard by name, where the files are called as the splitting tool calls them.
    let ending = format!("-{number:05}-of-{count:05}.gguf");
    let file = gguf.path.file_name().unwrap_or_default().to_string_lossy();
    let (first, whole) = match file.strip_suffix(&ending) {
        Some(stem) => (format!("{stem}-00001-of-{count:05}.gguf"), format!("{stem}.gguf")),
        None => ("FIRST_SHARD".into(), "WHOLE.gguf".into()),
    };
    let what = format!("shard {number} of {count}; merge them (llama-gguf-split --merge {first} {whole}) and name the");
    Err(gguf.key_error("split.count", format!("{what} whole file")))
}

/// Number of tokens, and where it was found.
fn tokens(gguf: &Gguf) -> Result<Option<(usize, &'static str)>> {
    if let Some((tokens, _)) = gguf.optional_strings("tokenizer.ggml.tokens")? {
        return Ok(Some((tokens, "the number of tokens")));
    }
    let rows = rows_or_columns(gguf, "token_embd.weight", 1).and_then(|rows| usize::try_from(rows).ok());
    Ok(rows.map(|rows| (rows, "the rows of token_embd.weight")))
}

/// A dimension of a tensor, if the file has it.
fn rows_or_columns(gguf: &Gguf, tensor: &str, dimension: usize) -> Option<u64> {
    gguf.find_tensor(tensor)?.dims.get(dimension).copied()
}

/// One more than the highest number of a block.
fn blocks(gguf: &Gguf) -> Option<u64> {
    gguf.tensors.iter().filter_map(|tensor| graph::in_block(&tensor.name)).map(|(n, _)| u64::from(n) + 1).max()
}

/// A value to write, as far as the tensors say it, and what it is.
fn said(value: Option<u64>, what: &str) -> String {
    value.map_or(what.to_string(), |value| format!("{value}, {what}"))
}

fn refuse_other_graphs(gguf: &Gguf, architecture: &str) -> Result<()> {
    if SUPPORTED.contains(&architecture) {
        return Ok(());
    }
    let supported = SUPPORTED.join(", ");
    let what = match architecture {
        "bitnet" => "\"bitnet\" is the older SiLU graph, a different model that would give wrong text here".to_string(),
        other => format!("architecture {} is not supported", quoted(other)),
    };
    Err(gguf.key_error("general.architecture", format!("{what}; supported: {supported}")))
}

struct Reader<'a> {
    gguf: &'a Gguf,
    architecture: String,
    assumed: Vec<String>,
}

impl Reader<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn error(&self, key: &str, what: String) -> Error {
        self.gguf.key_error(&self.key(key), what)
    }

    /// Notes that the file leaves `key` out and what is taken instead.
    fn assume<T: std::fmt::Display>(&mut self, key: &str, value: T, why: &str) -> T {
        self.assumed.push(left_out(&self.key(key), format!("{value} is assumed, {why}")));
        value
    }

    /// A count from 1 to `limit`, if the key is there. Blocks of different sizes are refused.
    fn optional_count(&self, key: &str, limit: u32) -> Result<Option<usize>> {
        let full = self.key(key);
        let one = match self.gguf.entry(&full) {
            Some(entry) if matches!(entry.value, Value::Array(_)) => {
                let found = self.gguf.numbers(entry).unwrap_or_default();
                let same = found.first().filter(|&first| found.iter().all(|x| x == first)).copied();
                let Some(n) = same.filter(|n| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n)) else {
                    let found = entry.value.summary(entry.kind);
                    let what = format!("expected one number for all blocks, found {found}: blocks of different sizes");
                    return Err(self.error(key, format!("{what} do not run here")));
                };
                Some(n as u32)
            }
            _ => self.gguf.optional_u32(&full)?,
        };
        match one {
            Some(n) if (1..=limit).contains(&n) => Ok(Some(n as usize)),
            Some(n) => Err(self.error(key, format!("{n} is not between 1 and {limit}"))),
            None => Ok(None),
        }
    }

    /// A count that only the file can say; `hint` is what to write where it does not.
    fn count(&self, key: &str, limit: u32, hint: impl std::fmt::Display) -> Result<usize> {
        let missing = || self.gguf.missing(&self.key(key), format!("write {hint}"));
        self.optional_count(key, limit)?.ok_or_else(missing)
    }

    /// A count with a default and its reason.
    fn count_or(&mut self, key: &str, limit: u32, (value, why): (usize, &str)) -> Result<usize> {
        if let Some(n) = self.optional_count(key, limit)? {
            return Ok(n);
        }
        if !(1..=limit as usize).contains(&value) {
            let what = format!("{why} would stand for it, but {value} is not between 1 and {limit}");
            return Err(self.gguf.missing(&self.key(key), what));
        }
        Ok(self.assume(key, value, why))
    }

    fn positive(&self, key: &str) -> Result<Option<f32>> {
        let found = self.gguf.optional_f32(&self.key(key))?;
        match found.filter(|x| !(x.is_finite() && *x > 0.0)) {
            Some(x) => Err(self.error(key, format!("{x} is not a finite number above zero"))),
            None => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::Builder;
    use crate::small_model::{assert_refused, check, metadata, whole};

    const ARCH: &str = "bitnet-25";

    fn key(key: &str) -> String {
        format!("{ARCH}.{key}")
    }

    fn config(builder: &Builder) -> Result<ModelConfig> {
        ModelConfig::from_gguf(&Gguf::from_bytes("m", builder.build())?)
    }

    #[test]
    fn the_builtin_model_and_small_ones_have_their_shape() {
        let gguf = crate::builtin::open().unwrap();
        let c = ModelConfig::from_gguf(&gguf).unwrap();
        assert_eq!((c.vocab, c.context, c.dim, c.layers, c.ffn), (1024, 512, 512, 3, 1024));
        assert_eq!((c.heads, c.kv_heads, c.head_dim, c.rope_dims), (8, 2, 64, 64));
        assert!(c.assumed.is_empty());
        SUPPORTED.iter().for_each(|arch| check(whole(arch)).unwrap());
    }

    #[test]
    fn inconsistent_metadata_is_named() {
        let swap = |key: &str, value: u32| whole(ARCH).without_key(&self::key(key)).u32(&self::key(key), value);
        assert_refused(swap("attention.head_count_kv", 3), &["head_count_kv", "at byte", "do not divide 4"]);
        assert_refused(swap("rope.dimension_count", 16), &["rope.dimension_count", "head's width 32"]);
        assert_refused(swap("embedding_length", 0), &["embedding_length", "not between 1 and"]);
        assert_refused(swap("block_count", u32::MAX), &["block_count", "not between 1 and"]);
        assert_refused(swap("block_count", 2), &["\"blk.1.attn_norm.weight\" is missing", "10 more tensors"]);
        assert_refused(swap("vocab_size", 9), &["token_embd.weight", "[128, 8]", "[128, 9]"]);
        let key = "bitnet-25.attention.key_length";
        assert_refused(whole("bitnet-25").u32(key, 64), &[key, "head's width 32"]);
    }

    /// The format's defaults, and what follows from other keys.
    #[test]
    fn optional_keys_have_defaults_that_are_said() {
        for (left_out, value) in [
            ("vocab_size", "8 is assumed, the rows of token_embd.weight"),
            ("rope.freq_base", "10000 is assumed, the format's default"),
            ("rope.dimension_count", "32 is assumed, the width of a head"),
            ("attention.head_count_kv", "4 is assumed, as many as heads"),
        ] {
            let found = config(&whole(ARCH).without_key(&key(left_out))).unwrap();
            assert_eq!(found.assumed, [format!("\"{}\" is not in the file: {value}", key(left_out))]);
            let kv_heads = if left_out == "attention.head_count_kv" { 4 } else { 2 };
            let stated = config(&whole(ARCH)).unwrap();
            assert_eq!(found, ModelConfig { kv_heads, assumed: found.assumed.clone(), ..stated });
        }
        let tokens = metadata(ARCH).without_key(&key("vocab_size")).strings("tokenizer.ggml.tokens", &["a", "b"]);
        let found = config(&tokens).unwrap();
        assert_eq!(found.vocab, 2);
        assert!(found.assumed[0].contains("2 is assumed, the number of tokens"), "{:?}", found.assumed);
    }

    #[test]
    fn keys_without_a_default_say_what_to_write() {
        let refused = |left_out: &str, parts: &[&str]| {
            let parts = [&["is missing; write", left_out], parts].concat();
            assert_refused(whole(ARCH).without_key(&key(left_out)), &parts);
        };
        refused("embedding_length", &["write 128, the width of token_embd.weight"]);
        refused("feed_forward_length", &["write 256, the rows of blk.0.ffn_up.weight"]);
        refused("block_count", &["write 1, the number of blocks"]);
        refused("context_length", &["max_position_embeddings"]);
        refused("attention.head_count", &["num_attention_heads"]);
        refused("attention.layer_norm_rms_epsilon", &["rms_norm_eps", "1e-5"]);
        assert_refused(metadata(ARCH).without_key("general.architecture"), &["is missing; write bitnet-b1.58"]);
        let empty = metadata(ARCH).without_key(&key("vocab_size")).strings::<&str>("tokenizer.ggml.tokens", &[]);
        assert_refused(empty, &["vocab_size", "0 is not between 1 and"]);
        assert_refused(metadata(ARCH).without_key(&key("vocab_size")), &["vocab_size", "write the number of tokens"]);
    }

    #[test]
    fn one_size_for_all_blocks_may_be_a_list() {
        let heads = |values: &[i32]| {
            let key = key("attention.head_count_kv");
            whole(ARCH).without_key(&key).i32s(&key, values)
        };
        assert_eq!(config(&heads(&[2, 2, 2])).unwrap().kv_heads, 2);
        for other in [&[2, 4][..], &[], &[-2]] {
            assert_refused(heads(other), &["head_count_kv", "expected one number for all blocks", "array of"]);
        }
    }

    #[test]
    fn shards_are_told_how_to_become_a_file() {
        let shard = |name: &str, builder: Builder| {
            let gguf = Gguf::from_bytes(name, builder.build()).unwrap();
            ModelConfig::from_gguf(&gguf).unwrap_err().to_string()
        };
        // The later ones have no other metadata.
        let second = Builder::new().u32("split.no", 1).u32("split.count", 2);
        let line = shard("a/m-00002-of-00002.gguf", second);
        assert!(line.contains("shard 2 of 2; merge them (llama-gguf-split --merge m-00001-of-00002.gguf m.gguf)"));
        let line = shard("renamed.gguf", whole(ARCH).u32("split.no", 0).u32("split.count", 3));
        assert!(line.contains("shard 1 of 3; merge them (llama-gguf-split --merge FIRST_SHARD"), "{line}");
        for whole_file in [0, 1] {
            config(&whole(ARCH).u32("split.no", 0).u32("split.count", whole_file)).unwrap();
        }
    }
}
