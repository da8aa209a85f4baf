//! A loaded model: shape, tokenizer, and its weights packed for the kernels that run it.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, i2s_codes, i2s_scale, types};
use crate::graph::{check_codes, check_tensors, required_tensors};
use crate::loading::Loading;
use crate::tokenizer::{Pre, Tokenizer};
use kernels::parallel::Team;
use kernels::{
    AlignedBuffer, CodeTable, CpuFeatures, HeadFormat, I2sTensor, KernelError, Layout, OutputHead, PackedWeights,
};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One block's weights in one packing: gains of the norms and ternary matrices, named as in the file.
pub struct Block {
    pub(crate) attn_norm: Vec<f32>,
    pub(crate) attn_sub_norm: Vec<f32>,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) ffn_sub_norm: Vec<f32>,
    pub(crate) q: PackedWeights,
    pub(crate) k: PackedWeights,
    pub(crate) v: PackedWeights,
    pub(crate) attn_output: PackedWeights,
    pub(crate) gate: PackedWeights,
    pub(crate) up: PackedWeights,
    pub(crate) down: PackedWeights,
}

impl Block {
    /// The block's seven ternary matrices: query, key, value, attention output, gate, up, down.
    pub fn matrices(&self) -> [&PackedWeights; 7] {
        [&self.q, &self.k, &self.v, &self.attn_output, &self.gate, &self.up, &self.down]
    }
}

/// All weights of a model: ternary matrices in one layout, read with one code table, and gains of the norms.
pub struct Weights {
    /// The layout that all ternary matrices are packed in.
    pub layout: &'static Layout,
    /// The model's blocks, first to last.
    pub blocks: Vec<Block>,
    /// Gains of the norm before the output head, one for each element.
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
    /// The open model file.
    pub gguf: Gguf,
    /// The model's shape: sizes and constants of its graph.
    pub config: ModelConfig,
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// Embedding and, tied to it, the output head: f16 bit patterns, vocab x dim. A copy, so that the file may go away.
    pub embedding: Arc<AlignedBuffer<u16>>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
}

/// A model file of which everything but the weights was read and checked.
pub struct Opened {
    /// The open model file.
    pub gguf: Gguf,
    /// The model's shape: sizes and constants of its graph.
    pub config: ModelConfig,
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
}

impl Opened {
    /// Checks a file's shape, tensors and tokenizer, in no time worth naming beside [`Opened::load`]. Errors are one
    /// line and name file, field and offset.
    pub fn new(gguf: Gguf, pre: Option<Pre>) -> Result<Self> {
        let config = ModelConfig::from_gguf(&gguf)?;
        check_tensors(&gguf, &config)?;
        let tokenizer = Tokenizer::from_gguf(&gguf, pre)?;
        let (file, tokens, rows) = (gguf.path.display(), tokenizer.facts.vocab, config.vocab);
        if tokens != rows {
            let what = format!("\"tokenizer.ggml.tokens\" has {tokens} tokens");
            return Err(Error::input(format!("{file}: {what}, the metadata and the embedding have {rows}")));
        }
        Ok(Self { gguf, config, tokenizer })
    }

    /// What is assumed for each metadata key that the file leaves out, in words.
    pub fn assumed(&self) -> impl Iterator<Item = &str> {
        self.config.assumed.iter().chain(&self.tokenizer.assumed).map(String::as_str)
    }

    /// Loads the model: checks the codes and hashes the file meanwhile. Bytes done are those hashed and those checked:
    /// see [`Model::load_bytes`].
    pub fn load(self, loading: &mut Loading<'_>) -> Result<Model> {
        let Self { gguf, config, tokenizer } = self;
        let given_up = AtomicBool::new(false);
        let (loaded, sha256) = std::thread::scope(|scope| {
            let (progress, given_up, bytes) = (loading.progress, &given_up, gguf.file_bytes());
            let hash = scope.spawn(move || sha256_unless(given_up, bytes, progress));
            let loaded = Model::contents(&gguf, loading);
            // Nobody waits for the hash of a file that is refused.
            given_up.store(loaded.is_err(), Ordering::Relaxed);
            (loaded, hash.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let embedding = Arc::new(loaded?);
        gguf.check_unchanged()?;
        Ok(Model { gguf, config, tokenizer, embedding, sha256 })
    }
}

impl Model {
    /// Checks and loads a model file in one go: [`Opened::new`], then [`Opened::load`].
    pub fn load(gguf: Gguf, pre: Option<Pre>, loading: &mut Loading<'_>) -> Result<Self> {
        Opened::new(gguf, pre)?.load(loading)
    }

    /// Total bytes that [`Model::load`] reports as progress: those of the file and those of ternary tensors once more.
    pub fn load_bytes(gguf: &Gguf) -> u64 {
        let ternary = gguf.tensors.iter().filter(|t| t.kind == types::I2S);
        gguf.file_bytes().len() as u64 + ternary.map(|t| gguf.bytes(t).len() as u64).sum::<u64>()
    }

    /// The embedding, when the codes are checked.
    fn contents(gguf: &Gguf, loading: &mut Loading<'_>) -> Result<AlignedBuffer<u16>> {
        check_codes(gguf, loading)?;
        let tensor = gguf.tensor("token_embd.weight")?;
        let rows: &[u16] = bytemuck::cast_slice(gguf.f16s(tensor)?);
        let mut embedding = AlignedBuffer::zeroed(rows.len());
        // All exponent bits of an f16 set: infinity or NaN, which would make every logit NaN.
        let infinite = |bits: u16| bits & 0x7C00 == 0x7C00;
        let copy = |range: Range<usize>, piece: &mut [u16]| {
            piece.copy_from_slice(&rows[range]);
            // Without a way out of the loop, which would keep it from being vectorised.
            if piece.iter().fold(false, |seen, &bits| seen | infinite(bits)) { Err(()) } else { Ok(()) }
        };
        if loading.team.split_rows(1, &mut embedding, copy).is_err() {
            let i = rows.iter().position(|&bits| infinite(bits)).unwrap_or(0);
            let at = tensor.offset + 2 * i as u64;
            return Err(gguf.tensor_error(tensor, format!("element {i} at byte {at} is not a finite number")));
        }
        Ok(embedding)
    }

    /// Packs all ternary tensors for kernels that read `layout`. `table` is what the codes are taken for. Bytes done
    /// are the packed ones.
    pub fn weights(&self, layout: &'static Layout, table: CodeTable, loading: &mut Loading<'_>) -> Result<Weights> {
        let mut matrix = |name: &str| {
            let weights = self.matrix(name, layout, table, &mut loading.team)?;
            (loading.progress)(weights.code_bytes().len() as u64);
            Ok(weights)
        };
        let blocks = (0..self.config.layers).map(|layer| self.block(layer, &mut matrix)).collect::<Result<_>>()?;
        let output_norm = self.vector("output_norm.weight")?;
        Ok(Weights { layout, blocks, output_norm })
    }

    /// Bytes that all ternary tensors take in `layout`, without block scales.
    pub fn packed_bytes(&self, layout: &'static Layout) -> u64 {
        let ternary = required_tensors(&self.config).filter(|(_, kind, _)| *kind == types::I2S);
        ternary.map(|(_, _, dims)| layout.code_bytes(dims[1], dims[0]).unwrap_or(0) as u64).sum()
    }

    fn block(&self, layer: usize, matrix: &mut dyn FnMut(&str) -> Result<PackedWeights>) -> Result<Block> {
        let vector = |name: &str| self.vector(&format!("blk.{layer}.{name}.weight"));
        let mut matrix = |name: &str| matrix(&format!("blk.{layer}.{name}.weight"));
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

    /// Makes the model's output head in `format`; rows are quantised in parallel.
    pub fn head(&self, format: HeadFormat, features: CpuFeatures, team: &mut Team) -> Result<OutputHead> {
        OutputHead::new(format, &self.embedding, self.config.dim, features, team).map_err(|e| {
            let (path, format) = (self.gguf.path.display(), format.name());
            Error::input(format!("{path}: tensor \"token_embd.weight\" as a {format} head: {e}"))
        })
    }

    /// Packs one ternary tensor of the file in `layout`.
    pub fn matrix(
        &self,
        name: &str,
        layout: &'static Layout,
        table: CodeTable,
        team: &mut Team,
    ) -> Result<PackedWeights> {
        let tensor = self.gguf.tensor(name)?;
        let bytes = self.gguf.bytes(tensor);
        // `check_tensors` made sure of two dimensions and a scale, `check_codes` of the codes.
        let (k, rows) = match tensor.dims[..] {
            [k, rows] => (k as usize, rows as usize),
            _ => return Err(self.gguf.tensor_error(tensor, format!("has {} dimensions, not 2", tensor.dims.len()))),
        };
        let refused = |e: KernelError| self.gguf.tensor_error(tensor, e);
        let scale = i2s_scale(bytes).unwrap_or(f32::NAN);
        let source = I2sTensor::assume_valid(rows, k, i2s_codes(bytes)).map_err(refused)?;
        let weights = PackedWeights::from_i2s(layout, source, scale, team).map_err(refused)?;
        // Packed weights are a copy; from here on the file may change.
        self.gguf.check_unchanged()?;
        if layout.ternary_only && !table.is_ternary() {
            return Err(refused(KernelError::TernaryOnly { layout, table: table.0 }));
        }
        Ok(weights.with_table(table))
    }

    /// Number of weights in all ternary tensors.
    pub fn ternary_weights(&self) -> u64 {
        let ternary = required_tensors(&self.config).filter(|(_, kind, _)| *kind == types::I2S);
        ternary.map(|(_, _, dims)| dims.iter().product::<usize>() as u64).sum()
    }
}

/// The hash of `bytes`, or of some of them when `given_up` is set meanwhile.
fn sha256_unless(given_up: &AtomicBool, bytes: &[u8], progress: &dyn Fn(u64)) -> [u8; 32] {
    let mut hash = Sha256::new();
    for chunk in bytes.chunks(1 << 20).take_while(|_| !given_up.load(Ordering::Relaxed)) {
        hash.update(chunk);
        progress(chunk.len() as u64);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use kernels::layouts;

    fn loading(threads: usize) -> Loading<'static> {
        Loading { team: Team::new(threads, |_| {}).expect("threads start"), ..Loading::alone() }
    }

    #[test]
    fn loading_with_more_threads_gives_the_same_bytes() {
        let load = |threads| Model::load(builtin::open().expect("built in"), None, &mut loading(threads));
        let [model, other] = [1, 5].map(|threads| load(threads).expect("a valid model"));
        assert!(model.embedding[..] == other.embedding[..] && model.sha256 == other.sha256);
        assert_eq!(model.sha256[..], Sha256::digest(builtin::bytes())[..]);
        for &layout in layouts::ALL {
            let pack = |threads| model.weights(layout, CodeTable::TERNARY, &mut loading(threads));
            let [one, five] = [1, 5].map(|threads| pack(threads).expect("packs"));
            for (one, five) in one.blocks.iter().zip(&five.blocks) {
                let mut both = one.matrices().into_iter().zip(five.matrices());
                assert!(both.all(|(one, five)| one.code_bytes() == five.code_bytes()), "{layout}");
            }
        }
    }
}
