//! Synthetic models: files with the shape of a published model and random weights, for machines that lack the real one.
//!
//! Speed does not depend on what the weights are as long as about a third are zero and activations stay ordinary
//! numbers; text and perplexity of such a model mean nothing, and its metadata says so.

mod fill;
mod live_share;
mod shape;
mod vocab;

use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::arch::Activation;
use crate::builtin;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::TypeInfo;
use crate::gguf::types;
use crate::gguf::writer::{HeaderWriter, padding};
use crate::graph::{Role, in_block, required_tensors};
use fill::{Fill, ROWS_STD};
use live_share::LiveShare;
pub use shape::SynthShape;

/// Bytes made between two reports of progress.
const CHUNK: usize = 1 << 20;

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
    /// In the order of the file, which is also that of the random streams.
    tensors: Vec<Tensor>,
}

/// A tensor that is to be written.
struct Tensor {
    name: String,
    role: Role,
    kind: TypeInfo,
    dims: Vec<usize>,
    bytes: u64,
}

impl SyntheticModel {
    /// Describes a model of this shape, or with another number of blocks (1 to 1024). `live_share` is the share of
    /// positive gates; without it they are about half.
    pub fn new(shape: &SynthShape, layers: Option<usize>, live_share: Option<f64>, seed: u64) -> Result<Self> {
        let config = ModelConfig { layers: layers.unwrap_or(shape.config.layers), ..shape.config.clone() };
        if !(1..=1024).contains(&config.layers) {
            return Err(Error::input(format!("--layers {} is not between 1 and 1024", config.layers)));
        }
        if live_share.is_some() && config.activation != Activation::ReluSquared {
            let what = "--live-share is about gates that a squared ReLU makes zero";
            return Err(Error::input(format!("{what}, and {} has another function", shape.name)));
        }
        let live = live_share.map(|share| LiveShare::new(share, &config, seed)).transpose()?;
        let (header, base) = (metadata(shape, &config, seed, live_share), builtin::open()?);
        let mut header = vocab::write_tokenizer(header, &base, config.vocab, shape.vocabulary)?;
        let mut tensors = Vec::new();
        for (name, role, dims) in required_tensors(&config) {
            let kind = shape.kind(role);
            let bytes = header.tensor(&name, &dims.iter().map(|&d| d as u64).collect::<Vec<_>>(), kind.code)?;
            tensors.push(Tensor { name, role, kind, dims, bytes });
        }
        Ok(Self { header: header.finish(), data_bytes: header.data_bytes(), tensors, config, seed, live })
    }

    /// Size of the file to be written, in bytes.
    pub fn bytes(&self) -> u64 {
        self.header.len() as u64 + self.data_bytes
    }

    /// Name, size and seed of the model, for printing.
    pub fn summary(&self) -> SynthSummary {
        let ternary = self.tensors.iter().filter(|t| [types::I2S, types::Q2_0].contains(&t.kind));
        SynthSummary {
            name: self.config.name.clone(),
            bytes: self.bytes(),
            layers: self.config.layers,
            ternary_weights: ternary.map(|t| t.dims.iter().product::<usize>() as u64).sum(),
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
        let mut out = Sink { out: BufWriter::with_capacity(CHUNK, out), stop, progress };
        out.put(&self.header)?;
        for (stream, tensor) in self.tensors.iter().enumerate() {
            // A stream for each tensor: the first blocks are the same however many follow.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(stream as u64);
            match Fill::of(tensor.kind, tensor.rms()) {
                Some(fill) => self.random(tensor, &fill, &mut rng, &mut out)?,
                None => {
                    let gain = |i| self.live.as_ref().map_or(1.0, |live| live.gain(tensor.place(), i));
                    let gains: Vec<u8> = (0..tensor.dims[0]).flat_map(|i| gain(i).to_le_bytes()).collect();
                    out.put(&gains)?;
                }
            }
            out.put(padding(tensor.bytes))?;
        }
        out.out.flush()
    }

    /// The data of a tensor of random weights.
    fn random<W: Write>(
        &self,
        tensor: &Tensor,
        fill: &Fill,
        rng: &mut ChaCha8Rng,
        out: &mut Sink<'_, W>,
    ) -> std::io::Result<()> {
        let tail = if tensor.kind == types::I2S { types::I2S_TAIL } else { 0 };
        let (bytes, chunk) = (tensor.bytes - tail, CHUNK / fill.unit() * fill.unit());
        let mut random = vec![0u8; chunk];
        for offset in (0..bytes).step_by(chunk) {
            let piece = &mut random[..(bytes - offset).min(chunk as u64) as usize];
            rng.fill_bytes(piece);
            fill.apply(piece);
            if let Some(live) = &self.live {
                live.edit(tensor.place(), &tensor.dims, offset as usize, piece);
            }
            out.put(piece)?;
        }
        if tail > 0 {
            out.put(&[&ternary_scale(tensor.dims[0]).to_le_bytes()[..], &[0; 28]].concat())?;
        }
        Ok(())
    }
}

impl Tensor {
    /// Block and name in there.
    fn place(&self) -> (u32, &str) {
        in_block(&self.name).unwrap_or((0, &self.name))
    }

    /// Root mean square of the weights: of a ternary matrix so that it keeps the size of its input, as its scale says.
    fn rms(&self) -> f32 {
        match self.role {
            Role::Rows => ROWS_STD,
            _ => ternary_scale(self.dims[0]) * (2f32 / 3.0).sqrt(),
        }
    }
}

/// Where a file goes, and who is told.
struct Sink<'a, W: Write> {
    out: BufWriter<W>,
    stop: &'a AtomicBool,
    progress: &'a dyn Fn(u64),
}

impl<W: Write> Sink<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        self.out.write_all(bytes)?;
        (self.progress)(bytes.len() as u64);
        Ok(())
    }
}

/// The keys of the architecture and of the file.
fn metadata(shape: &SynthShape, config: &ModelConfig, seed: u64, live_share: Option<f64>) -> HeaderWriter {
    let a = &config.architecture;
    let mut out = HeaderWriter::new().string("general.architecture", a).string("general.name", &config.name);
    out = out.bool("tritbench.synthetic", true).u64("tritbench.synthetic.seed", seed);
    if let Some(share) = live_share {
        out = out.f32("tritbench.live_share", share as f32);
    }
    if shape.kind(Role::Matrix) == types::I2S {
        out = out.u32("general.file_type", 40);
    }
    out = out.u32("general.quantization_version", 2);
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
    if !config.sub_norms {
        let width = config.head_dim as u32;
        out = out.u32(&format!("{a}.attention.key_length"), width).u32(&format!("{a}.attention.value_length"), width);
    }
    if let Some(yarn) = &config.yarn {
        let key = |key: &str| format!("{a}.rope.scaling.{key}");
        out = out.string(&key("type"), "yarn").f32(&key("factor"), yarn.factor);
        out = out.u32(&key("original_context_length"), yarn.original_context as u32);
    }
    out = out.f32(&format!("{a}.rope.freq_base"), config.rope_theta);
    out.f32(&format!("{a}.attention.layer_norm_rms_epsilon"), config.rms_eps)
}

/// Why activations keep ordinary sizes: every matrix sees an input of mean square 1 (an RMS norm with weights 1 comes
/// before it), a ternary weight has mean square 2/3, so scale sqrt(3 / (2 K)) gives outputs of mean square 1 again. The
/// residual stream then grows by 1 in mean square at each of its 2 additions a block (about 60 for 30 blocks), the
/// ReLU-squared product is normalised before `ffn_down`, and logits have standard deviation 0.02 * sqrt(dim), about 1.
/// Without sub-norms, what enters `attn_output` and `ffn_down` is smaller (SiLU of a normal number times another has
/// mean square 0.36), so the residual stream grows less.
fn ternary_scale(inputs: usize) -> f32 {
    (1.5 / inputs as f32).sqrt()
}

#[cfg(test)]
mod tests;
