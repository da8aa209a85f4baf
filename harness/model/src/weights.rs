//! A loaded model: shape, tokenizer, and its weights packed for the kernels that run it.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, TensorInfo, check_i2s_codes, i2s_codes, i2s_scale, types};
use crate::graph::{EMBEDDING, OUTPUT, Role, check_codes, check_tensors, factor_beside, required_tensors};
use crate::loading::Loading;
use crate::tokenizer::{Pre, Tokenizer};
use kernels::parallel::{Team, row_range};
use kernels::{
    CodeTable, CpuFeatures, HalfRows, HeadFormat, I2sTensor, KernelError, Layout, OutputHead, PackedWeights,
};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// One block's weights in one packing: gains of the norms and ternary matrices, named as in the file.
pub struct Block {
    pub(crate) attn_norm: Vec<f32>,
    /// Where the architecture has it.
    pub(crate) attn_sub_norm: Option<Vec<f32>>,
    pub(crate) ffn_norm: Vec<f32>,
    /// Where the architecture has it.
    pub(crate) ffn_sub_norm: Option<Vec<f32>>,
    /// Where the architecture has them.
    pub(crate) qk_norms: Option<QkNorms>,
    pub(crate) q: PackedWeights,
    pub(crate) k: PackedWeights,
    pub(crate) v: PackedWeights,
    pub(crate) attn_output: PackedWeights,
    pub(crate) gate: PackedWeights,
    pub(crate) up: PackedWeights,
    pub(crate) down: PackedWeights,
}

/// Gains of the norms of each head of queries and keys, as wide as a head.
pub struct QkNorms {
    pub(crate) q: Vec<f32>,
    pub(crate) k: Vec<f32>,
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
    pub gguf: Arc<Gguf>,
    /// The model's shape: sizes and constants of its graph.
    pub config: ModelConfig,
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// Embedding and, where it is tied to it, the output head: f16 bit patterns, vocab x dim, where the file is mapped.
    pub embedding: HalfRows,
    /// The output head, where it is a tensor of its own: like the embedding.
    pub output: Option<HalfRows>,
    sha256: OnceLock<[u8; 32]>,
}

/// The f16 rows of an open file.
struct MappedRows {
    gguf: Arc<Gguf>,
    /// Number of the tensor in the file, whose type and alignment were checked.
    tensor: usize,
}

impl AsRef<[u16]> for MappedRows {
    fn as_ref(&self) -> &[u16] {
        bytemuck::cast_slice(self.gguf.bytes(&self.gguf.tensors[self.tensor]))
    }
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

    /// The model, none of whose weights was read yet. Ternary tensors are checked when they are packed, the embedding
    /// when a head is made of it, and the hash is computed when it is asked for: each byte is read when it is needed.
    pub fn load(self) -> Result<Model> {
        let Self { gguf, config, tokenizer } = self;
        let gguf = Arc::new(gguf);
        let rows = |name: &str| -> Result<HalfRows> {
            let tensor = gguf.tensors.iter().position(|t| t.name == name).unwrap_or(0);
            gguf.f16s(&gguf.tensors[tensor])?;
            Ok(Arc::new(MappedRows { gguf: Arc::clone(&gguf), tensor }))
        };
        let embedding = rows(EMBEDDING)?;
        let output = (!config.tied).then(|| rows(OUTPUT)).transpose()?;
        gguf.check_unchanged()?;
        Ok(Model { gguf, config, tokenizer, embedding, output, sha256: OnceLock::new() })
    }
}

impl Model {
    /// Checks and loads a model file in one go: [`Opened::new`], then [`Opened::load`], then every weight.
    pub fn load(gguf: Gguf, pre: Option<Pre>, loading: &mut Loading<'_>) -> Result<Self> {
        let model = Opened::new(gguf, pre)?.load()?;
        model.check_weights(loading)?;
        Ok(model)
    }

    /// Reads every weight once and refuses what no model has: code 3, elements that are not finite.
    pub fn check_weights(&self, loading: &mut Loading<'_>) -> Result<()> {
        check_codes(&self.gguf, loading)?;
        self.check_rows((EMBEDDING, &self.embedding), &mut loading.team, loading.progress)?;
        let mut output = self.output.iter();
        output.try_for_each(|rows| self.check_rows((OUTPUT, rows), &mut loading.team, loading.progress))
    }

    /// Refuses an embedding or a head with an element that is not finite, which would make every logit NaN. Bytes done
    /// are the read ones.
    fn check_rows(
        &self,
        (name, rows): (&str, &HalfRows),
        team: &mut Team,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let rows: &[u16] = (**rows).as_ref();
        // All exponent bits of an f16 set: infinity or NaN.
        let infinite = |bits: u16| bits & 0x7C00 == 0x7C00;
        let (threads, found) = (team.threads(), AtomicBool::new(false));
        team.run(&|number| {
            for piece in rows[row_range(rows.len(), 1, threads, number)].chunks(1 << 20) {
                // Without a way out of the loop, which would keep it from being vectorised.
                found.fetch_or(piece.iter().fold(false, |seen, &bits| seen | infinite(bits)), Ordering::Relaxed);
                progress(2 * piece.len() as u64);
            }
        });
        if !found.into_inner() {
            return Ok(());
        }
        let tensor = self.gguf.tensor(name)?;
        let i = rows.iter().position(|&bits| infinite(bits)).unwrap_or(0);
        let at = tensor.offset + 2 * i as u64;
        Err(self.gguf.tensor_error(tensor, format!("element {i} at byte {at} is not a finite number")))
    }

    /// Total bytes that [`Self::check_weights`] reports as progress.
    pub fn weight_bytes(gguf: &Gguf) -> u64 {
        let read = |t: &&TensorInfo| t.name == EMBEDDING || t.name == OUTPUT || t.kind == types::I2S;
        gguf.tensors.iter().filter(read).map(|t| gguf.bytes(t).len() as u64).sum()
    }

    /// SHA-256 of the file: computed when it is first asked for, which takes a second a GiB or so. `progress` is called
    /// with the bytes done since its last call.
    ///
    /// # Errors
    /// A file that was written to since it was opened.
    pub fn sha256(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<[u8; 32]> {
        let hash = *self.sha256.get_or_init(|| {
            let mut hash = Sha256::new();
            for chunk in self.gguf.file_bytes().chunks(1 << 20) {
                hash.update(chunk);
                progress(chunk.len() as u64);
            }
            hash.finalize().into()
        });
        self.gguf.check_unchanged()?;
        Ok(hash)
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
        let ternary = required_tensors(&self.config).filter(|(_, role, _)| *role == Role::Matrix);
        ternary.map(|(_, _, dims)| layout.code_bytes(dims[1], dims[0]).unwrap_or(0) as u64).sum()
    }

    /// About the bytes that one decoded token reads: the ternary tensors as the file has them, and an f16 head.
    pub fn bytes_per_token(&self) -> u64 {
        self.packed_bytes(&kernels::layouts::I2S) + 2 * (self.config.vocab * self.config.dim) as u64
    }

    fn block(&self, layer: usize, matrix: &mut dyn FnMut(&str) -> Result<PackedWeights>) -> Result<Block> {
        let vector = |name: &str| self.vector(&format!("blk.{layer}.{name}.weight"));
        let mut matrix = |name: &str| matrix(&format!("blk.{layer}.{name}.weight"));
        let c = &self.config;
        let sub_norm = |name: &str| c.sub_norms.then(|| vector(name)).transpose();
        let qk_norms = || Ok(QkNorms { q: vector("attn_q_norm")?, k: vector("attn_k_norm")? });
        Ok(Block {
            attn_norm: vector("attn_norm")?,
            attn_sub_norm: sub_norm("attn_sub_norm")?,
            ffn_norm: vector("ffn_norm")?,
            ffn_sub_norm: sub_norm("ffn_sub_norm")?,
            qk_norms: c.qk_norms.then(qk_norms).transpose()?,
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
        let (name, rows) = self.output.as_ref().map_or((EMBEDDING, &self.embedding), |rows| (OUTPUT, rows));
        // Quantising looks at each element anyway.
        if format == HeadFormat::F16 {
            self.check_rows((name, rows), team, &|_| {})?;
        }
        OutputHead::new(format, rows, self.config.dim, features, team).map_err(|e| {
            let (path, format) = (self.gguf.path.display(), format.name());
            Error::input(format!("{path}: tensor \"{name}\" as a {format} head: {e}"))
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
        // `check_tensors` made sure of two dimensions and a scale.
        let (k, rows) = match tensor.dims[..] {
            [k, rows] => (k as usize, rows as usize),
            _ => return Err(self.gguf.tensor_error(tensor, format!("has {} dimensions, not 2", tensor.dims.len()))),
        };
        let refused = |e: KernelError| self.gguf.tensor_error(tensor, &e).caused_by(&e);
        let scale = i2s_scale(bytes).unwrap_or(f32::NAN) * factor_beside(&self.gguf, name)?;
        let codes = i2s_codes(bytes);
        let threads = team.threads();
        let found = AtomicBool::new(false);
        team.run(&|number| {
            let own = &codes[row_range(codes.len(), CHECKED_AT_ONCE, threads, number)];
            found.fetch_or(I2sTensor::find_code_3(own).is_some(), Ordering::Relaxed);
        });
        if found.into_inner() {
            check_i2s_codes(&self.gguf, tensor)?;
        }
        let source = I2sTensor::assume_valid(rows, k, codes).map_err(refused)?;
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
        let ternary = required_tensors(&self.config).filter(|(_, role, _)| *role == Role::Matrix);
        ternary.map(|(_, _, dims)| dims.iter().product::<usize>() as u64).sum()
    }
}

/// Bytes of codes that a thread's part is a multiple of when they are checked.
const CHECKED_AT_ONCE: usize = 4096;

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
        assert!((*model.embedding).as_ref() == (*other.embedding).as_ref());
        assert_eq!(model.sha256(&|_| {}).expect("unchanged")[..], Sha256::digest(builtin::bytes())[..]);
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
