//! A loaded model: shape, tokenizer, and its weights packed for the kernels that run it.

use super::config::{ModelConfig, check_codes, check_tensors};
use super::gguf::{Gguf, i2s_scale};
use super::tokenizer::{Pre, Tokenizer};
use crate::error::{Error, Result};
use kernels::parallel::Team;
use kernels::{AlignedBuffer, CodeTable, CpuFeatures, HeadFormat, KernelError, OutputHead, PackedWeights, Packing};
use std::path::Path;
use std::sync::Arc;

/// One block's weights in one packing.
pub struct Block {
    pub attn_norm: Vec<f32>,
    pub attn_sub_norm: Vec<f32>,
    pub ffn_norm: Vec<f32>,
    pub ffn_sub_norm: Vec<f32>,
    pub q: PackedWeights,
    pub k: PackedWeights,
    pub v: PackedWeights,
    pub attn_output: PackedWeights,
    pub gate: PackedWeights,
    pub up: PackedWeights,
    pub down: PackedWeights,
}

impl Block {
    fn matrices(&self) -> [&PackedWeights; 7] {
        [&self.q, &self.k, &self.v, &self.attn_output, &self.gate, &self.up, &self.down]
    }
}

/// All ternary weights in one packing, read with one code table.
pub struct Weights {
    pub packing: Packing,
    pub blocks: Vec<Block>,
    pub output_norm: Vec<f32>,
}

impl Weights {
    /// Bytes of packed weights (codes and block scales): what one token reads of them.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().flat_map(|b| b.matrices()).map(|w| w.bytes() as u64).sum()
    }
}

/// A model file, checked, with everything that does not depend on the kernel.
pub struct Model {
    pub gguf: Gguf,
    pub config: ModelConfig,
    pub tokenizer: Tokenizer,
    /// f16 bit patterns, vocab x dim: embedding and, tied to it, the output head. A copy, so that the file may go away.
    pub embedding: Arc<AlignedBuffer<u16>>,
}

impl Model {
    /// Checks shape, tensors, codes and tokenizer. Errors are one line and name file, field and offset.
    pub fn load(gguf: Gguf, pre: Option<Pre>) -> Result<Self> {
        let config = ModelConfig::from_gguf(&gguf)?;
        check_tensors(&gguf, &config)?;
        check_codes(&gguf)?;
        let tokenizer = Tokenizer::from_gguf(&gguf, pre)?;
        if tokenizer.vocab() != config.vocab {
            return Err(Error::input(format!(
                "{}: \"tokenizer.ggml.tokens\" has {} tokens, the metadata and the embedding have {}",
                gguf.path().display(),
                tokenizer.vocab(),
                config.vocab
            )));
        }
        let rows = gguf.f16s(gguf.tensor("token_embd.weight")?)?;
        let mut embedding = AlignedBuffer::zeroed(rows.len());
        embedding.copy_from_slice(bytemuck::cast_slice(rows));
        Ok(Self { gguf, config, tokenizer, embedding: Arc::new(embedding) })
    }

    /// Packs all ternary tensors for kernels that read `packing`. `table` is what the codes are taken for.
    pub fn weights(&self, packing: Packing, table: CodeTable) -> Result<Weights> {
        let blocks = (0..self.config.layers).map(|layer| self.block(layer, packing, table)).collect::<Result<_>>()?;
        let output_norm = self.vector("output_norm.weight")?;
        Ok(Weights { packing, blocks, output_norm })
    }

    fn block(&self, layer: usize, packing: Packing, table: CodeTable) -> Result<Block> {
        let vector = |name: &str| self.vector(&format!("blk.{layer}.{name}.weight"));
        let matrix = |name: &str| self.matrix(&format!("blk.{layer}.{name}.weight"), packing, table);
        Ok(Block {
            attn_norm: vector("attn_norm")?,
            attn_sub_norm: vector("attn_sub_norm")?,
            ffn_norm: vector("ffn_norm")?,
            ffn_sub_norm: vector("ffn_sub_norm")?,
            q: matrix("attn_q")?,
            k: matrix("attn_k")?,
            v: matrix("attn_v")?,
            attn_output: matrix("attn_output")?,
            gate: matrix("ffn_gate")?,
            up: matrix("ffn_up")?,
            down: matrix("ffn_down")?,
        })
    }

    fn vector(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.gguf.f32s(self.gguf.tensor(name)?)?.to_vec())
    }

    /// The output head in `format`; rows are quantised in parallel.
    pub fn head(&self, format: HeadFormat, features: CpuFeatures, team: &mut Team) -> Result<OutputHead> {
        OutputHead::new(format, &self.embedding, self.config.dim, features, team).map_err(|e| {
            let (path, format) = (self.path().display(), format.name());
            Error::input(format!("{path}: tensor \"token_embd.weight\" as a {format} head: {e}"))
        })
    }

    /// One ternary tensor of the file as `packing` stores it.
    pub fn matrix(&self, name: &str, packing: Packing, table: CodeTable) -> Result<PackedWeights> {
        let tensor = self.gguf.tensor(name)?;
        let bytes = self.gguf.bytes(tensor);
        // `check_tensors` made sure of two dimensions and a scale.
        let (k, rows) = match tensor.dims[..] {
            [k, rows] => (k as usize, rows as usize),
            _ => return Err(self.gguf.tensor_error(tensor, format!("has {} dimensions, not 2", tensor.dims.len()))),
        };
        let refused = |e: KernelError| self.gguf.tensor_error(tensor, e);
        let scale = i2s_scale(bytes).unwrap_or(f32::NAN);
        let codes = bytes.get(..rows * k / 4).unwrap_or(&[]);
        let weights = PackedWeights::from_i2s_bytes(rows, k, codes, scale).map_err(refused)?;
        let weights = if packing == Packing::I2s { weights } else { weights.repack(packing).map_err(refused)? };
        Ok(weights.with_table(table))
    }

    /// The file's name as the user gave it.
    pub fn path(&self) -> &Path {
        self.gguf.path()
    }

    /// Weights in ternary tensors.
    pub fn ternary_weights(&self) -> u64 {
        let c = &self.config;
        let block = 2 * c.dim * c.dim + 2 * c.dim * c.kv_dim() + 3 * c.dim * c.ffn;
        (block * c.layers) as u64
    }
}
