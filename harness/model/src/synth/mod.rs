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
use crate::error::{Error, Result};
use crate::gguf::TypeInfo;
use crate::gguf::types;
use crate::gguf::writer::{HeaderWriter, padding};
use crate::graph::{in_block, required_tensors};
use live_share::LiveShare;
pub use shape::SynthShape;

/// Bytes made between two reports of progress.
const CHUNK: usize = 1 << 20;
/// Standard deviation of the embedding.
const EMBEDDING_STD: f32 = 0.02;

/// Name, size and seed of a synthetic model, as `model synth` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct SynthSummary {
    /// Name of the model, from the key `general.name`.
    pub name: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Number of blocks (layers).
    pub layers: usize,
    /// Number of ternary weights.
    pub ternary_weights: u64,
    /// Seed of every random number in the model.
    pub seed: u64,
    /// Share of positive gates, from 0 to 1, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_share: Option<f64>,
}

/// A synthetic model that is to be written. The same shape, layers, share and seed give the same bytes on every
/// machine.
pub struct SyntheticModel {
    config: ModelConfig,
    seed: u64,
    live: Option<LiveShare>,
    header: Vec<u8>,
    data_bytes: u64,
    /// Name, type, dimensions and bytes, in the order of the file, which is also that of the random streams.
    tensors: Vec<(String, TypeInfo, Vec<usize>, u64)>,
}

impl SyntheticModel {
    /// Describes a model of this shape, or with another number of blocks (1 to 1024). `live_share` is the share of
    /// positive gates; without it they are about half.
    pub fn new(shape: &SynthShape, layers: Option<usize>, live_share: Option<f64>, seed: u64) -> Result<Self> {
        let config = ModelConfig { layers: layers.unwrap_or(shape.config.layers), ..shape.config.clone() };
        if !(1..=1024).contains(&config.layers) {
            return Err(Error::input(format!("--layers {} is not between 1 and 1024", config.layers)));
        }
        let live = live_share.map(|share| LiveShare::new(share, &config, seed)).transpose()?;
        let (header, base) = (metadata(&config, seed, live_share), builtin::open()?);
        let mut header = vocab::write_tokenizer(header, &base, config.vocab, shape.llama_specials)?;
        let mut tensors = Vec::new();
        for (name, kind, dims) in required_tensors(&config) {
            let size = header.tensor(&name, &dims.iter().map(|&d| d as u64).collect::<Vec<_>>(), kind.code)?;
            tensors.push((name, kind, dims, size));
        }
        Ok(Self { header: header.finish(), data_bytes: header.data_bytes(), tensors, config, seed, live })
    }

    /// Size of the file to be written, in bytes.
    pub fn bytes(&self) -> u64 {
        self.header.len() as u64 + self.data_bytes
    }

    /// Name, size and seed of the model, for printing.
    pub fn summary(&self) -> SynthSummary {
        let ternary = self.tensors.iter().filter(|(_, kind, ..)| *kind == types::I2S);
        SynthSummary {
            name: self.config.name.clone(),
            bytes: self.bytes(),
            layers: self.config.layers,
            ternary_weights: ternary.map(|(_, _, dims, _)| dims.iter().product::<usize>() as u64).sum(),
            seed: self.seed,
            live_share: self.live.as_ref().map(|live| live.share),
        }
    }

    /// Writes the model as a GGUF file. `progress` gets the bytes done since the last call. Memory stays at a few MiB
    /// besides the header.
    ///
    /// # Errors
    /// Those of `out`, and [`std::io::ErrorKind::Interrupted`] when `stop` is set.
    pub fn write(&self, out: impl Write, stop: &AtomicBool, progress: &dyn Fn(u64)) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(CHUNK, out);
        let (codes, embedding) = (code_table(), embedding_table());
        let mut random = vec![0u8; CHUNK];
        out.write_all(&self.header)?;
        progress(self.header.len() as u64);
        for (stream, (name, kind, dims, size)) in self.tensors.iter().enumerate() {
            // A stream for each tensor: the first blocks are the same however many follow.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(stream as u64);
            let place = in_block(name).unwrap_or((0, name));
            let mut fill = |table: &Table, bytes: u64| -> std::io::Result<()> {
                for offset in (0..bytes).step_by(CHUNK) {
                    if stop.load(Ordering::Relaxed) {
                        return Err(std::io::ErrorKind::Interrupted.into());
                    }
                    let piece = &mut random[..(bytes - offset).min(CHUNK as u64) as usize];
                    rng.fill_bytes(piece);
                    // Sizes are even: two bytes an f16, 32 bytes a block of codes.
                    let pairs = piece.as_chunks_mut::<2>().0;
                    pairs.iter_mut().for_each(|pair| *pair = table[u16::from_le_bytes(*pair) as usize]);
                    if let Some(live) = &self.live {
                        live.edit(place, dims, offset as usize, piece);
                    }
                    out.write_all(piece)?;
                    progress(piece.len() as u64);
                }
                Ok(())
            };
            match kind {
                kind if *kind == types::F16 => fill(&embedding, *size)?,
                kind if *kind == types::I2S => {
                    fill(&codes, *size - types::I2S_TAIL)?;
                    out.write_all(&ternary_scale(dims[0]).to_le_bytes())?;
                    out.write_all(&[0; 28])?;
                    progress(types::I2S_TAIL);
                }
                _ => {
                    let gain = |i| self.live.as_ref().map_or(1.0, |live| live.gain(place, i));
                    (0..dims[0]).try_for_each(|i| out.write_all(&gain(i).to_le_bytes()))?;
                    progress(*size);
                }
            }
            out.write_all(padding(*size))?;
            progress(padding(*size).len() as u64);
        }
        out.flush()
    }
}

/// The keys of the architecture and of the file.
fn metadata(config: &ModelConfig, seed: u64, live_share: Option<f64>) -> HeaderWriter {
    let a = &config.architecture;
    let mut out = HeaderWriter::new().string("general.architecture", a).string("general.name", &config.name);
    out = out.bool("tritbench.synthetic", true).u64("tritbench.synthetic.seed", seed);
    if let Some(share) = live_share {
        out = out.f32("tritbench.live_share", share as f32);
    }
    out = out.u32("general.file_type", 40).u32("general.quantization_version", 2);
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
    // The values are the shape's and at most 1024 layers, so they fit.
    out = counts.iter().fold(out, |out, (key, value)| out.u32(&format!("{a}.{key}"), *value as u32));
    out = out.f32(&format!("{a}.rope.freq_base"), config.rope_theta);
    out.f32(&format!("{a}.attention.layer_norm_rms_epsilon"), config.rms_eps)
}

/// How each 16 random bits become 16 bits of a tensor.
type Table = Box<[[u8; 2]]>;

/// 16 random bits -> 8 ternary codes. 65,536 / 6,561 is not whole, so a few combinations are 1 in 10 rarer: harmless
/// here.
fn code_table() -> Table {
    let byte = |n: u32| [1, 3, 9, 27].iter().fold(0u8, |byte, place| byte << 2 | (n / place % 3) as u8);
    let all = (0..=u16::MAX).map(|r| (u32::from(r) * 6561) >> 16);
    all.map(|n| [byte(n / 81), byte(n % 81)]).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{CodeCounts, Gguf};
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
        assert!(gguf.synthetic());
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
        let model = SyntheticModel::new(SynthShape::by_name("2b-4t").unwrap(), Some(1), None, 0).unwrap();
        // The header alone, over a sparse file of the right size: the data is not needed to check it.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, &model.header).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(model.bytes()).unwrap();
        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(ModelConfig::from_gguf(&gguf).unwrap(), model.config);
        let tokenizer = Tokenizer::from_gguf(&gguf, None).unwrap();
        let facts = &tokenizer.facts;
        assert_eq!((facts.vocab, facts.bos, facts.eos), (128_256, Some(128_000), Some(128_001)));
        assert_eq!((&facts.extra_stop_ids[..], facts.pre), (&[128_009][..], "default"));
        let ids = tokenizer.encode("the king<|eot_id|>", None).unwrap();
        assert_eq!((ids[0], ids.last()), (128_000, Some(&128_009)));
        assert_eq!(tokenizer.decode(&ids), "the king");
        assert_eq!(tokenizer.piece(5000), b"<fill_5000>");
    }

    #[test]
    fn size_of_the_whole_2b_4t_is_that_of_the_published_file() {
        // The published file has 280,147 merges and a real vocabulary in its header; the data is the same size.
        let model = SyntheticModel::new(SynthShape::by_name("2b-4t").unwrap(), None, None, 0).unwrap();
        assert_eq!(model.tensors.len(), 332);
        assert!((1_170_000_000..1_187_801_280).contains(&model.bytes()), "{}", model.bytes());
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
