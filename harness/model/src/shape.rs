//! The shape of a model, read from metadata.

use crate::arch::{self, Architecture, Head, Pairing};
use crate::config::{ModelConfig, Yarn};
use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value, left_out, quoted};
use crate::graph;
use crate::keys;

/// Upper bounds. The product of any two fits 64 bits, and a damaged or hostile file cannot ask for terabytes of buffers
/// before its tensors are checked.
const MAX_VOCAB: u32 = 1 << 22;
const MAX_CONTEXT: u32 = 1 << 22;
const MAX_DIM: u32 = 1 << 18;
const MAX_LAYERS: u32 = 1 << 10;
const MAX_HEADS: u32 = 1 << 12;
/// Base of the rotary angles where a file does not say.
const ROPE_BASE: f32 = 10_000.0;
/// YaRN's turns over the original context, where a file does not say: those of its paper and of existing engines.
const BETA_FAST: f32 = 32.0;
const BETA_SLOW: f32 = 1.0;

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
            let next = "write bitnet-b1.58 if the model is one, or name another file";
            return Err(gguf.missing("general.architecture", next));
        };
        let row = graph_of(gguf, &architecture)?;
        let name = gguf.optional_string("general.name")?.unwrap_or(&architecture).to_string();
        let mut c = Self { architecture: architecture.clone(), name, ..Self::of(row) };
        // Rows of q and k lie as they do in a checkpoint: nobody permuted them for neighbours.
        if gguf.optional_string("tritbench.rope")? == Some("neox") {
            c.pairing = Pairing::Halves;
        }
        c.tied = row.head == Head::Tied || gguf.find_tensor(graph::OUTPUT).is_none();
        let mut reader = Reader { gguf, architecture, assumed: Vec::new() };
        let width = said(rows_or_columns(gguf, "token_embd.weight", 0), "the width of token_embd.weight");
        c.dim = reader.count("embedding_length", MAX_DIM, width)?;
        let hint = "the number of attention heads (num_attention_heads in its config.json)";
        c.heads = reader.count("attention.head_count", MAX_HEADS, hint)?;
        c.head_dim = match reader.optional_count("attention.key_length", MAX_DIM)? {
            Some(width) => width,
            None if c.dim.is_multiple_of(c.heads) => c.dim / c.heads,
            None => {
                let what = format!("{} heads do not divide the width {}", c.heads, c.dim);
                return Err(reader.error("attention.head_count", what));
            }
        };
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
        c.yarn = reader.yarn(c.context)?;
        c.assumed = reader.assumed;
        Ok(c)
    }

    /// A shape of this architecture that has no sizes yet.
    pub(crate) fn of(row: &Architecture) -> Self {
        Self {
            activation: row.activation,
            sub_norms: row.sub_norms,
            qk_norms: row.qk_norms,
            pairing: row.pairing,
            ..Self::default()
        }
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

/// The forward pass of an architecture, or what this program lacks for it.
fn graph_of(gguf: &Gguf, architecture: &str) -> Result<&'static Architecture> {
    arch::find(architecture).ok_or_else(|| {
        let mut what = format!("architecture {} is not supported", quoted(architecture));
        if let Some(missing) = arch::missing(architecture) {
            what = format!("{what}: {missing}");
        }
        if let Some(rotated) = gguf.metadata.iter().find(|entry| keys::of_hadamard(&entry.key)) {
            what = format!("{what}; {} at byte {}: {}", quoted(&rotated.key), rotated.at, keys::HADAMARD);
        }
        let supported = arch::names().collect::<Vec<_>>().join(", ");
        gguf.key_error("general.architecture", format!("{what}; supported: {supported}"))
    })
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

    /// How YaRN stretches the angles; `None` for a file without it. Other kinds of scaling are for the table of keys.
    fn yarn(&mut self, context: usize) -> Result<Option<Yarn>> {
        let kind = self.gguf.optional_string(&self.key("rope.scaling.type"));
        if kind.ok().flatten() != Some("yarn") {
            return Ok(None);
        }
        let key = "rope.scaling.factor";
        let next = "write by how much YaRN stretches the context (factor of rope_scaling in its config.json)";
        let factor = self.positive(key)?.ok_or_else(|| self.gguf.missing(&self.key(key), next))?;
        if factor < 1.0 {
            return Err(self.error(key, format!("{factor} is below 1, and YaRN stretches")));
        }
        let original = "rope.scaling.original_context_length";
        let original_context =
            self.count_or(original, MAX_CONTEXT, (context, "the context, as in existing engines"))?;
        let beta_fast = self.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(BETA_FAST);
        let beta_slow = self.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(BETA_SLOW);
        Ok(Some(Yarn { factor, original_context, beta_fast, beta_slow }))
    }
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
