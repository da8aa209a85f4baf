//! A loaded model: shape, tokenizer, and its weights packed for the kernels that run it.

use crate::arch;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::graph::{EMBEDDING, OUTPUT, Role, check_codes, check_tensors, required_tensors};
use crate::loading::Loading;
use crate::matrix::{Matrix, settled};
use crate::rows::Rows;
use crate::tokenizer::{Pre, Tokenizer};
use kernels::parallel::Team;
use kernels::{
    ActivationRule, CodeTable, CpuFeatures, HeadFormat, KernelDescriptor, Layout, Needs, OutputHead, PackedWeights,
};
use sha2::{Digest, Sha256};
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

/// Gains of a block's norms, for whoever computes it elsewhere.
pub struct Gains<'a> {
    /// Before attention.
    pub attn_norm: &'a [f32],
    /// Behind it, where the architecture has it.
    pub attn_sub_norm: Option<&'a [f32]>,
    /// Before the feed-forward part.
    pub ffn_norm: &'a [f32],
    /// Within it, where the architecture has it.
    pub ffn_sub_norm: Option<&'a [f32]>,
    /// Of each head of queries and of keys, where the architecture has them.
    pub qk_norms: Option<(&'a [f32], &'a [f32])>,
}

impl Block {
    /// Gains of the block's norms.
    pub fn gains(&self) -> Gains<'_> {
        Gains {
            attn_norm: &self.attn_norm,
            attn_sub_norm: self.attn_sub_norm.as_deref(),
            ffn_norm: &self.ffn_norm,
            ffn_sub_norm: self.ffn_sub_norm.as_deref(),
            qk_norms: self.qk_norms.as_ref().map(|norms| (&norms.q[..], &norms.k[..])),
        }
    }

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
    /// The embedding, vocab x dim, where the file is mapped.
    pub embedding: Rows,
    /// Which activations share a scale: by the architecture, unless whoever loaded the model chooses another rule
    /// before anything is computed.
    pub activations: ActivationRule,
    /// What the output head is made of: the embedding where they are tied.
    output: Rows,
    /// Of the matrices alone.
    needs: OnceLock<Needs>,
    /// What the output head asks as the ternary matrix that it may be: found by looking at it.
    output_needs: OnceLock<Needs>,
    sha256: OnceLock<[u8; 32]>,
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
        let embedding = Rows::of(&gguf, EMBEDDING)?;
        let output = if config.tied { embedding.clone() } else { Rows::of(&gguf, OUTPUT)? };
        gguf.check_unchanged()?;
        let activations = arch::find(&config.architecture).map(arch::Architecture::rule).unwrap_or_default();
        let (needs, output_needs, sha256) = Default::default();
        Ok(Model { gguf, config, tokenizer, embedding, activations, output, needs, output_needs, sha256 })
    }
}

impl Model {
    /// Checks and loads a model file in one go: [`Opened::new`], then [`Opened::load`], then every weight.
    pub fn load(gguf: Gguf, pre: Option<Pre>, loading: &mut Loading<'_>) -> Result<Self> {
        let model = Opened::new(gguf, pre)?.load()?;
        model.check_weights(loading)?;
        Ok(model)
    }

    /// Reads every weight once and refuses what no model has: a code that its encoding lacks, elements and scales that
    /// are not finite. Bytes done are the read ones.
    pub fn check_weights(&self, loading: &mut Loading<'_>) -> Result<()> {
        let needs = check_codes(&self.gguf, loading)?;
        // The first answer stays: both are of the same bytes.
        let _ = self.needs.set(needs);
        self.embedding.check(&mut loading.team, loading.progress)?;
        if self.config.tied { Ok(()) } else { self.output.check(&mut loading.team, loading.progress) }
    }

    /// What the model's matrices and activations ask of a kernel. Reads weights where their encoding alone does not
    /// tell and [`Self::check_weights`] has not: as many as it takes.
    ///
    /// # Errors
    /// Those of [`Self::check_weights`], as far as it reads.
    pub fn needs(&self, team: &mut Team) -> Result<Needs> {
        if let Some(known) = self.needs.get() {
            return Ok(Needs { rule: self.activations, ..*known });
        }
        let mut needs = Needs::NONE;
        for (name, ..) in required_tensors(&self.config).filter(|(_, role, _)| *role == Role::Matrix) {
            let tensor = self.gguf.tensor(&name)?;
            let matrix = Matrix::of(&self.gguf, tensor)?;
            if tensor.kind.encoding.is_some_and(|encoding| settled(needs, encoding)) {
                needs.half_scales &= matrix.half_scales();
            } else {
                needs = needs.and(matrix.check(team, &|_| {})?);
            }
        }
        Ok(Needs { rule: self.activations, ..*self.needs.get_or_init(|| needs) })
    }

    /// Whether single tokens may skip what zero gates multiply: by the graph ([`ModelConfig::skips`]), and with one
    /// scale for all activations of a token, by which the products that skip are multiplied.
    pub fn skips(&self) -> bool {
        self.config.skips() && self.activations == ActivationRule::Token
    }

    /// Total bytes that [`Self::check_weights`] reports as progress.
    pub fn weight_bytes(gguf: &Gguf) -> u64 {
        // All but the gains of norms, which have one dimension.
        gguf.tensors.iter().filter(|t| t.dims.len() > 1).map(|t| gguf.bytes(t).len() as u64).sum()
    }

    /// SHA-256 of the file, or of a folder's files one after another by name: computed when it is first asked for,
    /// which takes a second a GiB or so. `progress` is called with the bytes done since its last call.
    ///
    /// # Errors
    /// A file that was written to since it was opened.
    pub fn sha256(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<[u8; 32]> {
        let hash = *self.sha256.get_or_init(|| {
            let mut hash = Sha256::new();
            self.gguf.for_each_chunk(|chunk| {
                hash.update(chunk);
                progress(chunk.len() as u64);
            });
            hash.finalize().into()
        });
        self.gguf.check_unchanged()?;
        Ok(hash)
    }

    /// Packs all ternary tensors for kernels that read `layout`. `table` is what the codes are taken for. Bytes done
    /// are the packed ones.
    pub fn weights(&self, layout: &'static Layout, table: CodeTable, loading: &mut Loading<'_>) -> Result<Weights> {
        let needs = self.needs(&mut loading.team)?;
        let mut matrix = |name: &str| {
            let matrix = Matrix::of(&self.gguf, self.gguf.tensor(name)?)?;
            let weights = matrix.packed((layout, table), needs, &mut loading.team)?;
            (loading.progress)(weights.bytes() as u64);
            Ok(weights)
        };
        let blocks = (0..self.config.layers).map(|layer| self.block(layer, &mut matrix)).collect::<Result<_>>()?;
        let output_norm = self.vector("output_norm.weight")?;
        Ok(Weights { layout, blocks, output_norm })
    }

    /// Whether all ternary tensors of the blocks lie in the file as `layout` has them.
    pub fn lies_as(&self, layout: &Layout) -> bool {
        let mut matrices = required_tensors(&self.config).filter(|(_, role, _)| *role == Role::Matrix);
        matrices.all(|(name, ..)| {
            let matrix = self.gguf.tensor(&name).and_then(|tensor| Matrix::of(&self.gguf, tensor));
            matrix.is_ok_and(|matrix| matrix.lies_as(layout))
        })
    }

    /// The weights where the file is mapped, for kernels that read the layout in which they lie there
    /// ([`Self::lies_as`]): nothing is copied. Bytes done are the looked at ones.
    ///
    /// # Errors
    /// Tensors that are stored otherwise, or hold a code 3.
    pub fn weights_in_place(&self, loading: &mut Loading<'_>) -> Result<Weights> {
        let mut matrix = |name: &str| {
            let matrix = Matrix::of(&self.gguf, self.gguf.tensor(name)?)?.in_place(&self.gguf, &mut loading.team)?;
            (loading.progress)(matrix.bytes() as u64);
            Ok(matrix)
        };
        let blocks = (0..self.config.layers).map(|layer| self.block(layer, &mut matrix)).collect::<Result<_>>()?;
        let output_norm = self.vector("output_norm.weight")?;
        Ok(Weights { layout: &kernels::layouts::I2S, blocks, output_norm })
    }

    /// Bytes that all ternary tensors take in `layout`, its scales included.
    pub fn packed_bytes(&self, layout: &'static Layout) -> u64 {
        let ternary = required_tensors(&self.config).filter(|(_, role, _)| *role == Role::Matrix);
        let bytes = |rows, k| layout.code_bytes(rows, k).unwrap_or(0) as u64 + layout.scale_bytes(rows, k);
        ternary.map(|(_, _, dims)| bytes(dims[1], dims[0])).sum()
    }

    /// About the bytes that one decoded token reads: the ternary tensors as the file has them, a ternary head too, or
    /// an f16 head.
    pub fn bytes_per_token(&self) -> u64 {
        let halves = 2 * (self.config.vocab * self.config.dim) as u64;
        let head = if self.output.ternary() { self.output.bytes() } else { halves };
        self.packed_bytes(&kernels::layouts::I2S) + head
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
        self.gguf.vector(self.gguf.tensor(name)?)
    }

    /// What the output head is made of, where the file is mapped.
    pub fn output_rows(&self) -> &Rows {
        &self.output
    }

    /// Makes the model's output head in `format`; rows are decoded and quantised in parallel.
    pub fn head(&self, format: HeadFormat, features: CpuFeatures, team: &mut Team) -> Result<OutputHead> {
        self.output.head(format, features, team)
    }

    /// What the output head asks of `kernel` as a ternary matrix with activations by the rule of `needs`, those of the
    /// model's matrices; or why the kernel cannot multiply it so. Looks at weights only where the encoding asks too
    /// much.
    ///
    /// # Errors
    /// Those of [`Matrix::check`].
    pub fn ternary_head_needs(
        &self,
        kernel: &KernelDescriptor,
        needs: Needs,
        team: &mut Team,
    ) -> Result<std::result::Result<Needs, String>> {
        let Some(matrix) = self.output.matrix()? else {
            let (name, kind) = (self.output.name(), self.output.kind());
            return Ok(Err(format!("its output head, tensor \"{name}\", is no ternary matrix but {kind}")));
        };
        let rule = needs.rule;
        let most = Needs { rule, ..matrix.needs_at_most() };
        if kernel.can_run(most).is_ok() {
            return Ok(Ok(most));
        }
        let found = match self.output_needs.get() {
            Some(found) => *found,
            None => {
                let found = matrix.check(team, &|_| {})?;
                *self.output_needs.get_or_init(|| found)
            }
        };
        let found = Needs { rule, ..found };
        Ok(kernel.can_run(found).map(|()| found))
    }

    /// Packs the output head as a ternary matrix in `layout`; `needs` are those of [`Self::ternary_head_needs`].
    ///
    /// # Errors
    /// A head that is stored otherwise, and codes or scales that the layout does not hold.
    pub fn ternary_head(&self, layout: &'static Layout, needs: Needs, team: &mut Team) -> Result<PackedWeights> {
        let Some(matrix) = self.output.matrix()? else {
            let (file, name) = (self.gguf.path.display(), self.output.name());
            return Err(Error::input(format!("{file}: tensor \"{name}\" is no ternary matrix; take another --head")));
        };
        matrix.packed((layout, CodeTable::TERNARY), needs, team)
    }

    /// Bytes that the output head takes in `layout` as a ternary matrix; none if it is stored otherwise.
    pub fn ternary_head_bytes(&self, layout: &'static Layout) -> u64 {
        let (rows, k) = (self.output.rows(), self.output.k());
        let bytes = layout.code_bytes(rows, k).unwrap_or(0) as u64 + layout.scale_bytes(rows, k);
        if self.output.ternary() { bytes } else { 0 }
    }

    /// Packs one ternary tensor of the file in `layout`.
    pub fn matrix(
        &self,
        name: &str,
        layout: &'static Layout,
        table: CodeTable,
        team: &mut Team,
    ) -> Result<PackedWeights> {
        let needs = self.needs(team)?;
        Matrix::of(&self.gguf, self.gguf.tensor(name)?)?.packed((layout, table), needs, team)
    }

    /// Number of weights in all ternary tensors.
    pub fn ternary_weights(&self) -> u64 {
        let ternary = required_tensors(&self.config).filter(|(_, role, _)| *role == Role::Matrix);
        ternary.map(|(_, _, dims)| dims.iter().product::<usize>() as u64).sum()
    }
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
        assert!(model.embedding.as_ref() == other.embedding.as_ref());
        assert_eq!(model.sha256(&|_| {}).expect("unchanged")[..], Sha256::digest(builtin::bytes())[..]);
        let [there, packed] = [
            model.weights_in_place(&mut loading(2)).expect("an I2_S file"),
            model.weights(&layouts::I2S, CodeTable::TERNARY, &mut loading(2)).expect("packs"),
        ];
        assert!(there.layout == packed.layout && there.bytes() == packed.bytes());
        for (there, packed) in there.blocks.iter().zip(&packed.blocks) {
            for (there, packed) in there.matrices().into_iter().zip(packed.matrices()) {
                assert!(there.code_bytes() == packed.code_bytes() && there.tensor_scale() == packed.tensor_scale());
                assert_ne!(there.code_bytes().as_ptr(), packed.code_bytes().as_ptr());
            }
        }
        assert!(layouts::ALL.iter().all(|layout| model.lies_as(layout) == (*layout == &layouts::I2S)));
        // Scales of this model are no f16.
        for &layout in layouts::ALL.iter().filter(|layout| layout.half_scale.is_none()) {
            let pack = |threads| model.weights(layout, CodeTable::TERNARY, &mut loading(threads));
            let [one, five] = [1, 5].map(|threads| pack(threads).expect("packs"));
            for (one, five) in one.blocks.iter().zip(&five.blocks) {
                let mut both = one.matrices().into_iter().zip(five.matrices());
                assert!(both.all(|(one, five)| one.code_bytes() == five.code_bytes()), "{layout}");
            }
        }
    }
}
