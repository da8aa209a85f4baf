//! Synthetic models: files with the shape of a published model and random weights, for machines that lack the real one.
//!
//! Speed does not depend on what the weights are as long as about a third are zero and activations stay ordinary
//! numbers; text and perplexity of such a model mean nothing, and its metadata says so.

mod live_share;
mod shape;
mod vocab;

use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use half::f16;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::builtin;
use crate::config::ModelConfig;
use crate::error::Result;
use crate::gguf::writer::{HeaderWriter, padding};
use crate::gguf::{Gguf, Readable};
use crate::graph::required_tensors;
use live_share::{LiveShare, Part};
pub use shape::SynthShape;

/// Bytes made between two reports of progress.
const CHUNK: usize = 1 << 20;
/// Standard deviation of the embedding.
const EMBEDDING_STD: f32 = 0.02;

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct SynthSummary {
    /// `general.name`.
    pub name: String,
    /// Size of the file.
    pub bytes: u64,
    /// Blocks.
    pub layers: usize,
    /// Number of ternary weights.
    pub ternary_weights: u64,
    /// Seed of every random number in it.
    pub seed: u64,
    /// Share of positive gates, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_share: Option<f64>,
}

/// A tensor to be written: its place in the order (which is also its random stream), kind, dimensions, bytes.
struct Plan {
    header: Vec<u8>,
    data_bytes: u64,
    tensors: Vec<(Readable, Vec<usize>, u64, Part)>,
    live: Option<LiveShare>,
}

impl Plan {
    fn new(shape: &SynthShape, config: &ModelConfig, seed: u64, live: Option<LiveShare>) -> Result<Self> {
        let mut header = HeaderWriter::new();
        write_metadata(&mut header, shape, config, seed, live.as_ref())?;
        let mut tensors = Vec::new();
        for (name, kind, dims) in required_tensors(config) {
            let dims_u64: Vec<u64> = dims.iter().map(|&d| d as u64).collect();
            let size = header.tensor(&name, &dims_u64, type_code(kind))?;
            let part = Part::of(&name);
            tensors.push((kind, dims, size, part));
        }
        let data_bytes = header.data_bytes();
        Ok(Self { header: header.finish(), data_bytes, tensors, live })
    }

    fn bytes(&self) -> u64 {
        self.header.len() as u64 + self.data_bytes
    }
}

fn type_code(kind: Readable) -> u32 {
    match kind {
        Readable::F32 => 0,
        Readable::F16 => 1,
        Readable::I2S => 36,
    }
}

/// A synthetic model that is to be written. The same shape, layers, share and seed give the same bytes on every
/// machine.
pub struct SyntheticModel {
    plan: Plan,
    config: ModelConfig,
    seed: u64,
}

impl SyntheticModel {
    /// A model of this shape, or with another number of blocks. `live_share` is the share of positive gates; without it
    /// they are about half.
    pub fn new(shape: &SynthShape, layers: Option<usize>, live_share: Option<f64>, seed: u64) -> Result<Self> {
        let config = shape.with_layers(layers)?;
        let live = live_share.map(|share| LiveShare::new(share, &config, seed)).transpose()?;
        Ok(Self { plan: Plan::new(shape, &config, seed, live)?, config, seed })
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    /// What the file holds.
    pub fn summary(&self) -> SynthSummary {
        let ternary = self.plan.tensors.iter().filter(|t| t.0 == Readable::I2S);
        SynthSummary {
            name: self.config.name.clone(),
            bytes: self.bytes(),
            layers: self.config.layers,
            ternary_weights: ternary.map(|t| t.1.iter().map(|&d| d as u64).product::<u64>()).sum(),
            seed: self.seed,
            live_share: self.plan.live.as_ref().map(|live| live.share),
        }
    }

    /// Writes the file. `progress` is called with the bytes done since the last call. Memory stays at a few MiB besides
    /// the header.
    ///
    /// # Errors
    /// Those of `out`, and [`std::io::ErrorKind::Interrupted`] when `stop` is set.
    pub fn write(&self, out: impl Write, stop: &AtomicBool, progress: &(dyn Fn(u64) + Sync)) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(CHUNK, out);
        write_all(&mut out, &self.plan, self.seed, stop, progress)?;
        out.flush()
    }
}

fn write_metadata(
    out: &mut HeaderWriter,
    shape: &SynthShape,
    config: &ModelConfig,
    seed: u64,
    live: Option<&LiveShare>,
) -> Result<()> {
    let a = &config.architecture;
    out.string("general.architecture", a);
    out.string("general.name", &config.name);
    out.bool("tritbench.synthetic", true);
    out.u64("tritbench.synthetic.seed", seed);
    if let Some(live) = live {
        out.f32("tritbench.live_share", live.share as f32);
    }
    out.u32("general.file_type", 40);
    out.u32("general.quantization_version", 2);
    let counts = [
        ("vocab_size", config.vocab),
        ("context_length", config.context),
        ("embedding_length", config.dim),
        ("block_count", config.layers),
        ("feed_forward_length", config.ffn),
        ("rope.dimension_count", config.rope_dims),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
    ];
    // The values are the constants above and at most 1024 layers, so they fit.
    counts.iter().for_each(|(key, value)| out.u32(&format!("{a}.{key}"), *value as u32));
    out.f32(&format!("{a}.rope.freq_base"), config.rope_theta);
    out.f32(&format!("{a}.attention.layer_norm_rms_epsilon"), config.rms_eps);
    let base: Gguf = builtin::open()?;
    vocab::write_tokenizer(out, &base, config.vocab, shape.llama_specials)
}

/// How each 16 random bits become 16 bits of a tensor.
type Table = Box<[[u8; 2]]>;

/// 16 random bits -> 8 ternary codes. 65,536 / 6,561 is not whole, so a few combinations are 1 in 10 rarer: harmless
/// here.
fn code_table() -> Table {
    let byte = |mut n: u32| {
        (0..4).fold(0u8, |byte, _| {
            let code = (n % 3) as u8;
            n /= 3;
            byte << 2 | code
        })
    };
    (0..=u16::MAX)
        .map(|r| {
            let n = (u32::from(r) * 6561) >> 16;
            [byte(n / 81), byte(n % 81)]
        })
        .collect()
}

/// 16 random bits -> an f16 uniform in +-sqrt(3) * std. Uniform rather than normal because it needs no logarithm,
/// whose last bit differs between platforms.
fn embedding_table() -> Table {
    let half_width = 3f32.sqrt() * EMBEDDING_STD;
    let value = |r: u16| f16::from_f32(((f32::from(r) + 0.5) / 32768.0 - 1.0) * half_width);
    (0..=u16::MAX).map(|r| value(r).to_le_bytes()).collect()
}

/// Why activations keep ordinary sizes: every matrix sees an input of mean square 1 (an RMS norm with weights 1 comes
/// before it), a ternary weight has mean square 2/3, so scale sqrt(3 / (2 K)) gives outputs of mean square 1 again. The
/// residual stream then grows by 1 in mean square at each of its 2 additions a block (about 60 for 30 blocks), the
/// ReLU-squared product is normalised before `ffn_down`, and logits have standard deviation 0.02 * sqrt(dim), about 1.
fn ternary_scale(inputs: usize) -> f32 {
    (1.5 / inputs as f32).sqrt()
}

fn write_all(
    out: &mut dyn Write,
    plan: &Plan,
    seed: u64,
    stop: &AtomicBool,
    progress: &dyn Fn(u64),
) -> std::io::Result<()> {
    let (codes, embedding) = (code_table(), embedding_table());
    let mut random = vec![0u8; CHUNK];
    out.write_all(&plan.header)?;
    progress(plan.header.len() as u64);
    for (stream, (kind, dims, size, part)) in plan.tensors.iter().enumerate() {
        // A stream for each tensor: the first blocks are the same however many follow.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        let mut fill = |out: &mut dyn Write, table: &Table, mut left: u64| -> std::io::Result<()> {
            let mut offset = 0;
            while left > 0 {
                if stop.load(Ordering::Relaxed) {
                    return Err(std::io::ErrorKind::Interrupted.into());
                }
                let n = left.min(CHUNK as u64) as usize;
                rng.fill_bytes(&mut random[..n]);
                // Sizes are even: two bytes an f16, 32 bytes a block of codes.
                random[..n].as_chunks_mut::<2>().0.iter_mut().for_each(|b| *b = table[u16::from_le_bytes(*b) as usize]);
                if let Some(live) = &plan.live {
                    live.edit(*part, dims, offset, &mut random[..n]);
                }
                offset += n;
                out.write_all(&random[..n])?;
                left -= n as u64;
                progress(n as u64);
            }
            Ok(())
        };
        match kind {
            Readable::F16 => fill(out, &embedding, *size)?,
            Readable::I2S => {
                fill(out, &codes, *size - 32)?;
                out.write_all(&ternary_scale(dims[0]).to_le_bytes())?;
                out.write_all(&[0; 28])?;
                progress(32);
            }
            Readable::F32 => {
                let gain = |i| plan.live.as_ref().map_or(1.0, |live| live.gain(*part, i));
                (0..dims[0]).try_for_each(|i| out.write_all(&gain(i).to_le_bytes()))?;
                progress(*size);
            }
        }
        out.write_all(padding(*size))?;
        progress(padding(*size).len() as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::CodeCounts;
    use crate::graph::{check_codes, check_tensors};
    use crate::loading::Loading;
    use crate::tokenizer::Tokenizer;
    use std::sync::atomic::AtomicU64;

    fn write(shape: &str, layers: Option<usize>, seed: u64) -> Vec<u8> {
        let model = SyntheticModel::new(SynthShape::by_name(shape).unwrap(), layers, None, seed).unwrap();
        let (mut bytes, done, calls) = (Vec::new(), AtomicU64::new(0), AtomicU64::new(0));
        let progress = |more: u64| {
            done.fetch_add(more, Ordering::Relaxed);
            calls.fetch_add(1, Ordering::Relaxed);
        };
        model.write(&mut bytes, &AtomicBool::new(false), &progress).unwrap();
        assert_eq!((model.bytes(), model.summary().bytes), (bytes.len() as u64, bytes.len() as u64));
        assert!(calls.into_inner() > 2 && done.into_inner() == bytes.len() as u64);
        bytes
    }

    #[test]
    fn tiny_is_a_valid_model_of_the_builtin_shape() {
        let bytes = write("tiny", None, 1);
        let gguf = Gguf::from_bytes("m", bytes.clone()).unwrap();
        let config = ModelConfig::from_gguf(&gguf).unwrap();
        check_tensors(&gguf, &config).unwrap();
        check_codes(&gguf, &mut Loading::alone()).unwrap();
        let builtin = ModelConfig::from_gguf(&builtin::open().unwrap()).unwrap();
        assert_eq!(ModelConfig { name: builtin.name.clone(), ..config.clone() }, builtin);
        assert!(gguf.optional_bool("tritbench.synthetic").unwrap().unwrap());
        let counts = CodeCounts::of(gguf.bytes(gguf.tensor("blk.0.ffn_up.weight").unwrap()));
        let n = (512 * 1024) as f64;
        for count in [counts.minus, counts.zero, counts.plus] {
            assert!((count as f64 / n - 1.0 / 3.0).abs() < 0.01, "{counts:?}");
        }
        let embedding = gguf.f16s(gguf.tensor("token_embd.weight").unwrap()).unwrap();
        let square: f64 = embedding.iter().map(|x| f64::from(x.to_f32()).powi(2)).sum();
        assert!(((square / embedding.len() as f64).sqrt() - 0.02).abs() < 1e-4);
        let own = Tokenizer::from_gguf(&gguf, None).unwrap();
        let base = Tokenizer::from_gguf(&builtin::open().unwrap(), None).unwrap();
        assert_eq!(own.encode("Before we proceed", None).unwrap(), base.encode("Before we proceed", None).unwrap());
        assert_eq!(bytes, write("tiny", None, 1), "same seed, same bytes");
        assert_ne!(bytes, write("tiny", None, 2));
    }

    #[test]
    fn one_block_of_2b_4t_has_the_published_metadata() {
        let shape = SynthShape::by_name("2b-4t").unwrap();
        let config = shape.with_layers(Some(1)).unwrap();
        let plan = Plan::new(shape, &config, 0, None).unwrap();
        // The header alone, over a sparse file of the right size: the data is not needed to check it.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, &plan.header).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(plan.bytes()).unwrap();
        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(ModelConfig::from_gguf(&gguf).unwrap(), config);
        let tokenizer = Tokenizer::from_gguf(&gguf, None).unwrap();
        assert_eq!((tokenizer.vocab(), tokenizer.bos(), tokenizer.eos()), (128_256, Some(128_000), Some(128_001)));
        assert_eq!((tokenizer.extra_stop_ids(), tokenizer.pre_name()), (&[128_009u32][..], "default"));
        let ids = tokenizer.encode("the king<|eot_id|>", None).unwrap();
        assert_eq!((ids[0], ids.last()), (128_000, Some(&128_009)));
        assert_eq!(tokenizer.decode(&ids), "the king");
        assert_eq!(tokenizer.piece(5000), b"<fill_5000>");
    }

    #[test]
    fn size_of_the_whole_2b_4t_is_that_of_the_published_file() {
        // The published file has 280,147 merges and a real vocabulary in its header; the data is the same size.
        let shape = SynthShape::by_name("2b-4t").unwrap();
        let plan = Plan::new(shape, &shape.with_layers(None).unwrap(), 0, None).unwrap();
        assert_eq!(plan.tensors.len(), 332);
        assert!((1_170_000_000..1_187_801_280).contains(&plan.bytes()), "{}", plan.bytes());
    }

    #[test]
    #[ignore = "makes 1.2 GB"]
    fn whole_2b_4t() {
        let bytes = write("2b-4t", None, 0);
        let gguf = Gguf::from_bytes("m", bytes).unwrap();
        check_tensors(&gguf, &ModelConfig::from_gguf(&gguf).unwrap()).unwrap();
        check_codes(&gguf, &mut Loading::alone()).unwrap();
        Tokenizer::from_gguf(&gguf, None).unwrap();
    }

    #[test]
    fn bad_requests_are_one_line() {
        assert!(SynthShape::by_name("7b").unwrap_err().to_string().contains("known: 2b-4t, tiny"));
        let shape = SynthShape::by_name("tiny").unwrap();
        let refused = SyntheticModel::new(shape, Some(0), None, 0).err().unwrap();
        assert!(refused.to_string().contains("--layers 0"));
    }

    #[test]
    fn the_flag_stops_it() {
        let model = SyntheticModel::new(SynthShape::by_name("tiny").unwrap(), None, None, 0).unwrap();
        let mut bytes = Vec::new();
        let stopped = model.write(&mut bytes, &AtomicBool::new(true), &|_| {}).unwrap_err();
        assert_eq!(stopped.kind(), std::io::ErrorKind::Interrupted);
        assert!((bytes.len() as u64) < model.bytes());
    }
}
