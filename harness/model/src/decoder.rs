//! The forward pass with any kernel, for one token or a batch of consecutive ones: one graph for all architectures,
//! which differ by what their row of `arch` says. All buffers are made once; a step allocates nothing. Results do not
//! depend on the batch or the number of threads.

use crate::attention::Attention;
use crate::error::{Error, Result};
use crate::ffn;
use crate::head::Head;
use crate::kernel_weights::KernelWeights;
use crate::rope::Rope;
use crate::sparse_ffn::{Probe, SparseFfn, Sparsity};
use crate::sparse_probe;
use crate::step::{FfnBuffers, Step};
use crate::times::{Lap, Times};
use crate::unrounded::{Inputs, Unrounded};
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::{
    ATTENTION_TOKENS, AlignedBuffer, CpuFeatures, F32Ops, HeadInput, KernelError, LinearInput, Norm, Product,
};
use std::sync::{Arc, Mutex};

/// Prompt tokens that kernels with a gemm process at once: enough that unpacking the weights costs little beside the
/// products. Swept on an AMD EPYC (family 25 model 17), 130 and 514 tokens of the 2B shape: 24 to 130 at once differ by
/// 2% with one thread and by 1% with two.
pub const BATCH: usize = 128;

/// A second kernel that computes batches of prompt tokens, and from which size of batch on.
#[derive(Clone)]
pub struct Prefill {
    /// An exact int8 kernel with a gemm, and weights for it.
    pub weights: KernelWeights,
    /// Smallest batch, in tokens, that this kernel computes.
    pub from_tokens: usize,
}

/// Settings of a decoder that is not made yet. Unless it is told: one thread, this CPU's features, room for the
/// model's context, every element computed, the same kernel for batches.
pub struct Builder<'m> {
    model: &'m Model,
    weights: KernelWeights,
    head: Arc<Head>,
    team: Team,
    features: CpuFeatures,
    ops: Option<F32Ops>,
    context: usize,
    sparsity: Sparsity,
    prefill: Option<Prefill>,
    inputs: Inputs,
}

/// Computes the logits after each token of one sequence: a model, a kernel, and the sequence's keys and values.
pub struct Decoder<'m> {
    of: Builder<'m>,
    /// Skipping, if it is on.
    sparse: Option<Box<SparseFfn>>,
    /// What was measured of skipping, also where it is off.
    sparse_probe: Option<Probe>,
    ops: F32Ops,
    rope: Rope,
    /// Keys and values, f16 bit patterns: layer x context x kv_dim.
    keys: Vec<u16>,
    values: Vec<u16>,
    position: usize,
    /// Tokens of the last [`Decoder::forward`].
    tokens: usize,
    batch: usize,
    buffers: Buffers,
    /// Time by phase and operation since the last [`Decoder::reset`].
    pub times: Times,
}

/// Buffers of `batch` tokens, one token after the other. They begin at cache lines, so that no vector load touches two;
/// the large ones are in huge pages.
struct Buffers {
    /// Residual stream.
    x: AlignedBuffer<f32>,
    /// Its normalised copy, or that of `attended`; later the results of the output projections.
    h: AlignedBuffer<f32>,
    q: AlignedBuffer<f32>,
    /// Keys and values of the batch before they are rounded for the cache.
    k: AlignedBuffer<f32>,
    v: AlignedBuffer<f32>,
    attended: AlignedBuffer<f32>,
    gate: AlignedBuffer<f32>,
    up: AlignedBuffer<f32>,
    gated: AlignedBuffer<f32>,
    /// One for each thread, for a group of heads; no thread waits for another's.
    scores: Vec<Mutex<Vec<f32>>>,
    logits: AlignedBuffer<f32>,
    integers: AlignedBuffer<i32>,
    input: LinearInput,
    /// What takes the kernel's place where activations stay as they are.
    unrounded: Option<Unrounded>,
    head_input: HeadInput,
}

impl Buffers {
    fn new(of: &Builder<'_>, batch: usize, ops: F32Ops) -> Self {
        let (c, capacity, threads) = (&of.model.config, of.context, of.team.threads());
        let widest = (c.q_dim() + 2 * c.kv_dim()).max(2 * c.ffn).max(c.dim);
        let wider = c.dim.max(c.q_dim());
        let scores = capacity.saturating_mul(c.heads / c.kv_heads).saturating_mul(batch.min(ATTENTION_TOKENS));
        Self {
            x: AlignedBuffer::zeroed(batch * c.dim),
            h: AlignedBuffer::zeroed(batch * wider),
            q: AlignedBuffer::zeroed(batch * c.q_dim()),
            k: AlignedBuffer::zeroed(batch * c.kv_dim()),
            v: AlignedBuffer::zeroed(batch * c.kv_dim()),
            attended: AlignedBuffer::zeroed(batch * c.q_dim()),
            gate: AlignedBuffer::zeroed(batch * c.ffn),
            up: AlignedBuffer::zeroed(batch * c.ffn),
            gated: AlignedBuffer::zeroed(batch * c.ffn),
            scores: (0..threads).map(|_| Mutex::new(vec![0.0; scores])).collect(),
            logits: AlignedBuffer::zeroed(c.vocab),
            integers: AlignedBuffer::zeroed((batch * widest).max(c.vocab)),
            input: LinearInput::by_rule(batch, wider.max(c.ffn), of.inputs.rule(), ops),
            unrounded: (of.inputs == Inputs::Whole).then(Unrounded::default),
            head_input: HeadInput::new(c.dim),
        }
    }
}

impl<'m> Builder<'m> {
    /// Sets the threads that the decoder computes with.
    pub fn team(self, team: Team) -> Self {
        Self { team, ..self }
    }

    /// Sets the CPU features that the operations between the matrix products may use.
    pub fn features(self, features: CpuFeatures) -> Self {
        Self { features, ..self }
    }

    /// Sets what computes the operations between the matrix products; unless it is told, the widest of the features.
    pub fn ops(self, ops: F32Ops) -> Self {
        Self { ops: Some(ops), ..self }
    }

    /// Sets the longest sequence, in tokens; memory for its keys and values is reserved.
    pub fn context(self, tokens: usize) -> Self {
        Self { context: tokens, ..self }
    }

    /// Sets whether single tokens skip zero gates, which needs a second copy of `up` and `down`. Without effect for a
    /// kernel that is not exact on int8 activations. Logits stay the same, bit for bit.
    pub fn sparse(self, sparsity: Sparsity) -> Self {
        Self { sparsity, ..self }
    }

    /// Sets another kernel for batches of prompt tokens. Both must be exact and of one family, so that results do not
    /// depend on which of them computes a batch.
    pub fn prefill(self, prefill: Option<Prefill>) -> Self {
        Self { prefill, ..self }
    }

    /// Sets what the ternary products get of the activations; unless it is told, int8 by the model's rule. Skipping is
    /// of the model's own rule: with other inputs every element is computed.
    pub fn inputs(self, inputs: Inputs) -> Self {
        Self { inputs, ..self }
    }

    /// Makes the decoder with these settings and allocates all its buffers.
    ///
    /// # Errors
    /// A head of another shape than the model's, a prefill kernel that would change results, or a context that does not
    /// fit in memory.
    pub fn build(mut self) -> Result<Decoder<'m>> {
        let (c, tokens) = (&self.model.config, self.context);
        if let Some(prefill) = &self.prefill {
            let [own, other] = [&self.weights, &prefill.weights].map(|weights| weights.kernel().descriptor());
            if !own.exact() || !other.exact() || own.family() != other.family() {
                let why = "both must be exact and of one family, or results would depend on the batch";
                return Err(Error::failed(format!("{} cannot prefill for {}: {why}", other.id, own.id)));
            }
        }
        check_head(self.model, &self.head)?;
        let cache = c.layers.checked_mul(tokens).and_then(|n| n.checked_mul(c.kv_dim()));
        let Some(cache) = cache.filter(|n| *n < isize::MAX as usize / 4) else {
            let what = format!("a cache of {tokens} tokens does not fit in memory; ask for fewer tokens");
            return Err(Error::input(what));
        };
        // Without a gemm a batch is no faster, and a time limit would be checked less often.
        let gemm = self.prefill.as_ref().map_or(&self.weights, |p| &p.weights).kernel().descriptor().gemm;
        // A row that is made f32 for one token is there for all of a batch.
        let batched = gemm.is_some() || self.inputs == Inputs::Whole;
        let batch = if batched { BATCH.min(tokens.max(1)) } else { 1 };
        let ops = self.ops.unwrap_or_else(|| F32Ops::select(self.features));
        let of = (self.model, &self.weights);
        let own = self.inputs == Inputs::Rounded(self.model.activations);
        let sparsity = if own { self.sparsity } else { Sparsity::Dense };
        let (sparse, probe) = sparse_probe::prepare(sparsity, of, self.features, ops, &mut self.team)?;
        Ok(Decoder {
            buffers: Buffers::new(&self, batch, ops),
            sparse: sparse.map(Box::new),
            sparse_probe: probe,
            ops,
            rope: Rope::new(c, tokens),
            keys: vec![0; cache],
            values: vec![0; cache],
            position: 0,
            tokens: 0,
            batch,
            times: Times::default(),
            of: self,
        })
    }
}

impl<'m> Decoder<'m> {
    /// Begins a decoder from what each one needs; `head` is the model's output head in some format.
    pub fn of(model: &'m Model, weights: KernelWeights, head: Arc<Head>) -> Builder<'m> {
        Builder {
            model,
            weights,
            head,
            team: Team::single(),
            features: CpuFeatures::detect(),
            ops: None,
            context: model.config.context,
            sparsity: Sparsity::Dense,
            prefill: None,
            inputs: Inputs::Rounded(model.activations),
        }
    }

    /// Starts a new sequence and sets the times to 0.
    pub fn reset(&mut self) {
        self.position = 0;
        self.times = Times::default();
        if let Some(sparse) = &mut self.sparse {
            sparse.reset();
        }
    }

    /// Goes on where another decoder of the model, with as much room, has come to: takes its keys and values, which
    /// then are this one's old ones, and its times. What follows has the same bits if both compute with exact kernels.
    ///
    /// # Errors
    /// Another model, or other room.
    pub fn take_over(&mut self, other: &mut Self) -> Result<()> {
        if !std::ptr::eq(self.of.model, other.of.model) || self.of.context != other.of.context {
            return Err(Error::failed("a decoder takes over from one of the same model with as much room alone"));
        }
        std::mem::swap(&mut self.keys, &mut other.keys);
        std::mem::swap(&mut self.values, &mut other.values);
        (self.position, self.times) = (other.position, other.times);
        Ok(())
    }

    /// Goes back to after the first `position` tokens of the sequence, as if no others had come.
    pub fn rewind(&mut self, position: usize) -> Result<()> {
        if position > self.position {
            return Err(Error::failed(format!("cannot go back to {position} from {}", self.position)));
        }
        self.position = position;
        Ok(())
    }

    /// The part that skips zeros, with its counters since the last [`Decoder::reset`]; `None` where skipping is off.
    pub fn sparse(&self) -> Option<&SparseFfn> {
        self.sparse.as_deref()
    }

    /// What was measured of skipping zeros, also where it is off; `None` where nothing was.
    pub fn sparse_probe(&self) -> Option<&Probe> {
        self.sparse_probe.as_ref()
    }

    /// The model that this decoder runs.
    pub fn model(&self) -> &'m Model {
        self.of.model
    }

    /// Largest number of tokens that one [`Decoder::forward`] takes.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Bytes of keys and values that a decoded token reads for each position before it, beside
    /// [`Decoder::bytes_per_token`].
    pub fn kv_bytes_per_position(&self) -> u64 {
        let c = &self.of.model.config;
        (2 * c.layers * c.kv_dim() * size_of::<u16>()) as u64
    }

    /// Bytes of weights, scales and head that one decoded token reads; with sparsity, the mean since the last
    /// [`Decoder::reset`].
    pub fn bytes_per_token(&self) -> u64 {
        let dense = self.of.weights.weights().bytes() + self.of.head.bytes() as u64;
        let saved = self.sparse().map_or(0, SparseFfn::saved_bytes_per_token);
        dense.saturating_add_signed(-saved)
    }

    /// The output head that turns hidden states into logits.
    pub fn head(&self) -> &Arc<Head> {
        &self.of.head
    }

    /// Replaces the output head: logits are computed with `head` from now on. It must have the model's shape.
    pub fn set_head(&mut self, head: Arc<Head>) -> Result<()> {
        check_head(self.of.model, &head)?;
        self.of.head = head;
        Ok(())
    }

    /// Appends tokens (1 to [`Decoder::batch`]) to the sequence. Call [`Decoder::logits`] for what comes next.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<()> {
        if self.position + tokens.len() > self.of.context {
            return Err(Error::input(format!("the sequence is full at {} tokens", self.of.context)));
        }
        if tokens.is_empty() || tokens.len() > self.batch {
            let (n, most) = (tokens.len(), self.batch);
            return Err(Error::failed(format!("{n} tokens at once, the engine takes 1 to {most}")));
        }
        self.tokens = tokens.len();
        let mut phase = Lap::start();
        self.embed(tokens)?;
        phase.add_to(&mut self.times.embed);
        for layer in 0..self.of.model.config.layers {
            self.block(layer).map_err(|error| {
                let (path, position) = (self.of.model.gguf.path.display(), self.position);
                of_file_or_kernel(format!("{path}: block {layer} at position {position}"), &error)
            })?;
        }
        phase.add_to(&mut self.times.forward);
        self.position += tokens.len();
        Ok(())
    }

    /// Computes the logits after the last token: one f32 for each vocabulary entry.
    pub fn logits(&mut self) -> Result<&[f32]> {
        self.logits_of(self.tokens.saturating_sub(1))
    }

    /// Computes the logits after token `token` (from 0) of the last [`Decoder::forward`].
    pub fn logits_of(&mut self, token: usize) -> Result<&[f32]> {
        let head = Arc::clone(&self.of.head);
        self.logits_with(&head, token)
    }

    /// Computes the logits after token `token` (from 0) of the last [`Decoder::forward`], with another head of the
    /// model.
    pub fn logits_with(&mut self, head: &Head, token: usize) -> Result<&[f32]> {
        let mut phase = Lap::start();
        let Self { of: Builder { weights, model, team, .. }, buffers: b, ops, .. } = self;
        let dim = model.config.dim;
        let x = &b.x[token * dim..(token + 1) * dim];
        let norm = Norm { gain: &weights.weights().output_norm, eps: model.config.rms_eps };
        ops.rms_norm(x, norm, &mut b.h[..dim]);
        let (x, y) = (&b.h[..dim], &mut b.logits[..]);
        let computed = match head {
            Head::Rows(head) => head.gemv(team, x, &mut b.head_input, y),
            Head::Ternary(head) => head.logits(team, x, (&mut b.input, &mut b.integers), y),
        };
        computed.map_err(|e| of_file_or_kernel(format!("{}: output head", model.gguf.path.display()), &e))?;
        phase.add_to(&mut self.times.logits);
        Ok(&self.buffers.logits)
    }

    /// The logits that were computed last: one f32 for each vocabulary entry.
    pub fn last_logits(&self) -> &[f32] {
        &self.buffers.logits
    }

    fn embed(&mut self, tokens: &[u32]) -> Result<()> {
        let embedding = &self.of.model.embedding;
        let (dim, vocab) = (embedding.k(), embedding.rows());
        for (&token, x) in tokens.iter().zip(self.buffers.x.chunks_exact_mut(dim)) {
            if token as usize >= vocab {
                return Err(Error::input(format!("token id {token} is outside the vocabulary of {vocab}")));
            }
            embedding.decode(token as usize, x);
        }
        Ok(())
    }

    fn block(&mut self, layer: usize) -> std::result::Result<(), KernelError> {
        let Self { of: Builder { model, weights, prefill, team, context, .. }, .. } = self;
        let Self { sparse, ops, rope, buffers: b, times, .. } = self;
        let (c, ops, n, position) = (&model.config, *ops, self.tokens, self.position);
        let weights = match prefill {
            Some(prefill) if n > 1 && n >= prefill.from_tokens => &prefill.weights,
            _ => &*weights,
        };
        let block = &weights.weights().blocks[layer];
        let (dim, wide, q_dim, kv_dim) = (c.dim, c.ffn, c.q_dim(), c.kv_dim());
        let cache = layer * *context * kv_dim..(layer + 1) * *context * kv_dim;
        let (keys, values) = (&mut self.keys[cache.clone()], &mut self.values[cache]);
        let here = position * kv_dim..(position + n) * kv_dim;
        let (x, q, attended) = (&mut b.x[..n * dim], &mut b.q[..n * q_dim], &mut b.attended[..n * q_dim]);
        let (k, v) = (&mut b.k[..n * kv_dim], &mut b.v[..n * kv_dim]);
        let (gate, up, gated) = (&mut b.gate[..n * wide], &mut b.up[..n * wide], &mut b.gated[..n * wide]);
        let (kernel, input, integers) = (weights.kernel(), &mut b.input, &mut b.integers[..]);
        let (eps, activation, lap) = (c.rms_eps, c.activation, Lap::start());
        let unrounded = b.unrounded.as_mut();
        let mut s = Step { kernel, team, ops, eps, activation, input, unrounded, integers, times, lap };

        let h = &mut b.h[..n * dim];
        s.norm(x, &block.attn_norm, h);
        s.quantise(h, dim)?;
        s.products([
            Product { weights: &block.q, y: &mut *q },
            Product { weights: &block.k, y: &mut *k },
            Product { weights: &block.v, y: &mut *v },
        ])?;
        s.took(|times| &mut times.qkv);

        if let Some(gains) = &block.qk_norms {
            s.head_norms(q, &gains.q, q_dim);
            s.head_norms(k, &gains.k, kv_dim);
        }
        s.each_token(q, q_dim, |t, q| rope.rotate(ops, q, q_dim, position + t));
        s.each_token(k, kv_dim, |t, k| rope.rotate(ops, k, kv_dim, position + t));
        s.try_each_token(&mut keys[here.clone()], kv_dim, |t, key| ops.narrow_to_f16(&k[t * kv_dim..][..kv_dim], key))?;
        s.try_each_token(&mut values[here], kv_dim, |t, value| ops.narrow_to_f16(&v[t * kv_dim..][..kv_dim], value))?;
        let (head_dim, group, scores) = (c.head_dim, c.heads / c.kv_heads, &b.scores[..]);
        let attention = Attention { ops, head_dim, group, kv_dim, q_dim, position, keys, values, scores };
        attention.run(s.team, q, attended);
        s.took(|times| &mut times.attention);

        if let Some(gain) = &block.attn_sub_norm {
            let normed = &mut b.h[..n * q_dim];
            s.norm(attended, gain, normed);
            s.quantise(normed, q_dim)?;
        } else {
            s.quantise(attended, q_dim)?;
        }
        let h = &mut b.h[..n * dim];
        s.product(&block.attn_output, h)?;
        s.took(|times| &mut times.attn_out);
        s.add(x, h, dim);

        s.norm(x, &block.ffn_norm, h);
        s.quantise(h, dim)?;
        ffn::run(sparse.as_deref_mut(), &mut s, block, layer, FfnBuffers { gate, up, gated, out: &mut *h })?;
        s.add(x, h, dim);
        Ok(())
    }
}

/// An error of a product at some place. Kernels are held to the oracle, so numbers that are none come from the file.
fn of_file_or_kernel(place: String, error: &KernelError) -> Error {
    match error {
        KernelError::NonFinite { .. } | KernelError::BeyondF16 { .. } => {
            let next = "its scales or gains are damaged or read wrongly; `model inspect` shows them";
            Error::input(format!("{place}: {error}: {next}"))
        }
        // Of a head whose rows nobody has looked at before.
        KernelError::NonFiniteWeight { .. } => {
            Error::input(format!("{place}: {error}; convert or download the model again"))
        }
        error => Error::failed(format!("{place}: {error}")).caused_by(error),
    }
}

fn check_head(model: &Model, head: &Head) -> Result<()> {
    let (rows, k, vocab, dim) = (head.rows(), head.k(), model.config.vocab, model.config.dim);
    if (rows, k) != (vocab, dim) {
        return Err(Error::failed(format!("the output head is {rows} x {k}, the model needs {vocab} x {dim}")));
    }
    Ok(())
}
