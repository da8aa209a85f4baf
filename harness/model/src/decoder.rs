//! The forward pass of the 2B-4T graph with any kernel, for one token or a batch of consecutive ones. All buffers are
//! made once; a step allocates nothing. Results do not depend on the batch or the number of threads.

use crate::attention::Attention;
use crate::error::{Error, Result};
use crate::rope::Rope;
use crate::sparse_ffn::{SparseFfn, Sparsity, Step};
use crate::times::{Lap, Times};
use crate::weights::{Model, Weights};
use kernels::parallel::Team;
use kernels::{AlignedBuffer, CpuFeatures, F32Ops, HeadInput, Kernel, KernelError, LinearInput, OutputHead, Product};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Prompt tokens that kernels with a gemm process at once: enough that unpacking the weights costs little beside the
/// products.
const BATCH: usize = 128;

/// Another kernel for batches, with weights in its packing.
#[derive(Clone)]
pub struct PrefillKernel {
    /// An exact int8 kernel with a gemm.
    pub kernel: Kernel,
    /// The model's weights in its packing.
    pub weights: Arc<Weights>,
    /// Smallest batch that this kernel computes.
    pub from_tokens: usize,
}

/// A model, a kernel and the state of one sequence.
pub struct Decoder<'m> {
    model: &'m Model,
    weights: Arc<Weights>,
    kernel: Kernel,
    head: Arc<OutputHead>,
    ops: F32Ops,
    team: Team,
    rope: Rope,
    /// Keys and values, f16 bit patterns: layer x capacity x kv_dim.
    keys: Vec<u16>,
    values: Vec<u16>,
    capacity: usize,
    position: usize,
    /// Tokens of the last [`Decoder::forward`].
    tokens: usize,
    batch: usize,
    buffers: Buffers,
    sparse: Option<SparseFfn>,
    prefill: Option<PrefillKernel>,
    /// Time by phase and operation since the last [`Decoder::reset`].
    pub times: Times,
}

/// Buffers of `batch` tokens, one token after the other. They begin at cache lines, so that no vector load touches two;
/// the large ones are in huge pages.
struct Buffers {
    /// Residual stream.
    x: AlignedBuffer<f32>,
    /// Its normalised copy; later the results of the output projections.
    h: AlignedBuffer<f32>,
    q: AlignedBuffer<f32>,
    /// Keys and values of the batch before they are rounded for the cache.
    k: AlignedBuffer<f32>,
    v: AlignedBuffer<f32>,
    attended: AlignedBuffer<f32>,
    gate: AlignedBuffer<f32>,
    up: AlignedBuffer<f32>,
    normed_ffn: AlignedBuffer<f32>,
    /// One for each thread, for a group of heads; no thread waits for another's.
    scores: Vec<Mutex<Vec<f32>>>,
    logits: AlignedBuffer<f32>,
    integers: AlignedBuffer<i32>,
    input: LinearInput,
    head_input: HeadInput,
}

impl<'m> Decoder<'m> {
    /// Room for `capacity` tokens. `weights` must be in the kernel's packing; `features` choose the operations between
    /// the products; `head` is the model's embedding in some format.
    pub fn new(
        model: &'m Model,
        weights: Arc<Weights>,
        kernel: Kernel,
        head: Arc<OutputHead>,
        team: Team,
        features: CpuFeatures,
        capacity: usize,
    ) -> Result<Self> {
        Self::with_prefill(model, weights, kernel, None, head, team, features, capacity)
    }

    /// As [`Decoder::new`], with another kernel for batches of prompt tokens. Both must be exact on int8 activations,
    /// so that results do not depend on which of them computes a batch.
    #[allow(clippy::too_many_arguments)]
    pub fn with_prefill(
        model: &'m Model,
        weights: Arc<Weights>,
        kernel: Kernel,
        prefill: Option<PrefillKernel>,
        head: Arc<OutputHead>,
        team: Team,
        features: CpuFeatures,
        capacity: usize,
    ) -> Result<Self> {
        let c = &model.config;
        check_packing(&kernel, &weights)?;
        if let Some(prefill) = &prefill {
            check_packing(&prefill.kernel, &prefill.weights)?;
            for kernel in [&kernel, &prefill.kernel] {
                if !kernel.descriptor().exact() {
                    let id = kernel.id();
                    return Err(Error::failed(format!(
                        "{id} is not exact on int8: no other kernel may prefill for it"
                    )));
                }
            }
        }
        check_head(model, &head)?;
        let cache = c.layers.checked_mul(capacity).and_then(|n| n.checked_mul(c.kv_dim()));
        let cache = cache.filter(|n| *n < isize::MAX as usize / 4).ok_or_else(|| {
            Error::input(format!("a cache of {capacity} tokens does not fit in memory; ask for fewer tokens"))
        })?;
        // Without a gemm a batch is no faster, and a time limit would be checked less often.
        let gemm = prefill.as_ref().map_or(kernel, |p| p.kernel).descriptor().operations.gemm;
        let batch = if gemm.is_some() { BATCH.min(capacity.max(1)) } else { 1 };
        let widest = (c.dim + 2 * c.kv_dim()).max(2 * c.ffn).max(c.dim);
        let scores = capacity.saturating_mul(c.heads / c.kv_heads);
        let buffers = Buffers {
            x: AlignedBuffer::zeroed(batch * c.dim),
            h: AlignedBuffer::zeroed(batch * c.dim),
            q: AlignedBuffer::zeroed(batch * c.dim),
            k: AlignedBuffer::zeroed(batch * c.kv_dim()),
            v: AlignedBuffer::zeroed(batch * c.kv_dim()),
            attended: AlignedBuffer::zeroed(batch * c.dim),
            gate: AlignedBuffer::zeroed(batch * c.ffn),
            up: AlignedBuffer::zeroed(batch * c.ffn),
            normed_ffn: AlignedBuffer::zeroed(batch * c.ffn),
            scores: (0..team.threads()).map(|_| Mutex::new(vec![0.0; scores])).collect(),
            logits: AlignedBuffer::zeroed(c.vocab),
            integers: AlignedBuffer::zeroed(batch * widest),
            input: LinearInput::new(batch, c.dim.max(c.ffn)),
            head_input: HeadInput::new(c.dim),
        };
        Ok(Self {
            model,
            weights,
            kernel,
            head,
            ops: F32Ops::select(features),
            team,
            rope: Rope::new(c.head_dim, c.rope_theta, capacity),
            keys: vec![0; cache],
            values: vec![0; cache],
            capacity,
            position: 0,
            tokens: 0,
            batch,
            buffers,
            sparse: None,
            prefill,
            times: Times::default(),
        })
    }

    /// Starts a new sequence and sets the times to 0.
    pub fn reset(&mut self) {
        self.position = 0;
        self.times = Times::default();
        if let Some(sparse) = &mut self.sparse {
            sparse.reset();
        }
    }

    /// Goes back to after the first `position` tokens of the sequence, as if no others had come.
    pub fn rewind(&mut self, position: usize) -> Result<()> {
        if position > self.position {
            return Err(Error::failed(format!("cannot go back to {position} from {}", self.position)));
        }
        self.position = position;
        Ok(())
    }

    /// Turns skipping of zero gates on or off, for single tokens. It packs a second copy of `up` and `down`. Without
    /// effect for a kernel that is not exact on int8 activations. Logits stay the same, bit for bit.
    pub fn set_sparsity(&mut self, mode: Sparsity, features: CpuFeatures) -> Result<Option<&SparseFfn>> {
        self.sparse = SparseFfn::new(mode, self.model, &self.weights, &self.kernel, &mut self.team, features)?;
        Ok(self.sparse.as_ref())
    }

    /// Skipping and its counters since the last [`Decoder::reset`], if it is on.
    pub fn sparse(&self) -> Option<&SparseFfn> {
        self.sparse.as_ref()
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Most tokens that one [`Decoder::forward`] takes.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Bytes of keys and values that a decoded token reads for each position before it, beside
    /// [`Decoder::bytes_per_token`].
    pub fn kv_bytes_per_position(&self) -> u64 {
        let c = &self.model.config;
        (2 * c.layers * c.kv_dim() * size_of::<u16>()) as u64
    }

    /// Bytes of weights, scales and head that one decoded token reads; with sparsity, the mean since the last
    /// [`Decoder::reset`].
    pub fn bytes_per_token(&self) -> u64 {
        let dense = self.weights.bytes() + self.head.bytes() as u64;
        let saved = self.sparse.as_ref().map_or(0, SparseFfn::saved_bytes_per_token);
        dense.saturating_add_signed(-saved)
    }

    /// The output head.
    pub fn head(&self) -> &Arc<OutputHead> {
        &self.head
    }

    /// Computes logits with another head from now on.
    pub fn set_head(&mut self, head: Arc<OutputHead>) -> Result<()> {
        check_head(self.model, &head)?;
        self.head = head;
        Ok(())
    }

    /// Appends tokens (1 to [`Decoder::batch`]) to the sequence. Call [`Decoder::logits`] for what comes next.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<()> {
        if self.position + tokens.len() > self.capacity {
            return Err(Error::input(format!("the sequence is full at {} tokens", self.capacity)));
        }
        if tokens.is_empty() || tokens.len() > self.batch {
            return Err(Error::failed(format!(
                "{} tokens at once, the engine takes 1 to {}",
                tokens.len(),
                self.batch
            )));
        }
        self.tokens = tokens.len();
        let mut phase = Lap::start();
        self.embed(tokens)?;
        phase.add_to(&mut self.times.embed);
        for layer in 0..self.model.config.layers {
            self.block(layer).map_err(|error| {
                let (path, position) = (self.model.path().display(), self.position);
                Error::failed(format!("{path}: block {layer} at position {position}: {error}"))
            })?;
        }
        phase.add_to(&mut self.times.forward);
        self.position += tokens.len();
        Ok(())
    }

    /// Logits after the last token, one a vocabulary entry.
    pub fn logits(&mut self) -> Result<&[f32]> {
        self.logits_of(self.tokens.saturating_sub(1))
    }

    /// Logits after one token of the last [`Decoder::forward`].
    pub fn logits_of(&mut self, token: usize) -> Result<&[f32]> {
        let head = Arc::clone(&self.head);
        self.logits_with(&head, token)
    }

    /// As [`Decoder::logits_of`], with another head of the same model.
    pub fn logits_with(&mut self, head: &OutputHead, token: usize) -> Result<&[f32]> {
        let mut phase = Lap::start();
        let Self { weights, buffers: b, model, team, ops, .. } = self;
        let dim = model.config.dim;
        let x = &b.x[token * dim..(token + 1) * dim];
        ops.rms_norm(x, &weights.output_norm, model.config.rms_eps, &mut b.h[..dim]);
        head.gemv(team, &b.h[..dim], &mut b.head_input, &mut b.logits)
            .map_err(|e| Error::failed(format!("output head: {e}")))?;
        phase.add_to(&mut self.times.logits);
        Ok(&self.buffers.logits)
    }

    /// Logits that [`Decoder::logits`] computed last.
    pub fn last_logits(&self) -> &[f32] {
        &self.buffers.logits
    }

    fn embed(&mut self, tokens: &[u32]) -> Result<()> {
        let dim = self.model.config.dim;
        for (&token, x) in tokens.iter().zip(self.buffers.x.chunks_exact_mut(dim)) {
            let row = (token as usize).checked_mul(dim).and_then(|at| self.model.embedding.get(at..at + dim));
            let Some(row) = row else {
                let vocab = self.model.config.vocab;
                return Err(Error::input(format!("token id {token} is outside the vocabulary of {vocab}")));
            };
            for (x, &bits) in x.iter_mut().zip(row) {
                *x = half::f16::from_bits(bits).to_f32();
            }
        }
        Ok(())
    }

    fn block(&mut self, layer: usize) -> std::result::Result<(), KernelError> {
        let Self {
            model,
            weights,
            kernel,
            team,
            rope,
            ops,
            buffers: b,
            times,
            capacity,
            position,
            tokens,
            sparse,
            prefill,
            ..
        } = self;
        let (kernel, weights) = match prefill {
            Some(p) if *tokens > 1 && *tokens >= p.from_tokens => (&p.kernel, &p.weights),
            _ => (&*kernel, &*weights),
        };
        let (c, block, ops, n, position) = (&model.config, &weights.blocks[layer], *ops, *tokens, *position);
        let (dim, ffn, kv_dim, eps) = (c.dim, c.ffn, c.kv_dim(), c.rms_eps);
        let cache = layer * *capacity * kv_dim..(layer + 1) * *capacity * kv_dim;
        let (keys, values) = (&mut self.keys[cache.clone()], &mut self.values[cache]);
        let here = position * kv_dim..(position + n) * kv_dim;
        let (x, h, q) = (&mut b.x[..n * dim], &mut b.h[..n * dim], &mut b.q[..n * dim]);
        let (k, v) = (&mut b.k[..n * kv_dim], &mut b.v[..n * kv_dim]);
        let attended = &mut b.attended[..n * dim];
        let (gate, up, normed) = (&mut b.gate[..n * ffn], &mut b.up[..n * ffn], &mut b.normed_ffn[..n * ffn]);
        let mut lap = Lap::start();

        each_token(team, h, dim, |t, h| ops.rms_norm(&x[t * dim..][..dim], &block.attn_norm, eps, h));
        lap.add_to(&mut times.norms);
        b.input.prepare(team, kernel, ops, dim, h)?;
        lap.add_to(&mut times.activation_quant);
        let qkv = [
            Product { weights: &block.q, y: &mut *q },
            Product { weights: &block.k, y: &mut *k },
            Product { weights: &block.v, y: &mut *v },
        ];
        kernel.linear_group(team, ops, qkv, &b.input, &mut b.integers)?;
        lap.add_to(&mut times.qkv);

        each_token(team, q, dim, |t, q| rope.rotate(ops, q, dim, position + t));
        each_token(team, k, kv_dim, |t, k| rope.rotate(ops, k, kv_dim, position + t));
        try_each_token(team, &mut keys[here.clone()], kv_dim, |t, key| {
            ops.narrow_to_f16(&k[t * kv_dim..][..kv_dim], key)
        })?;
        try_each_token(team, &mut values[here], kv_dim, |t, value| {
            ops.narrow_to_f16(&v[t * kv_dim..][..kv_dim], value)
        })?;
        let attention = Attention { ops, head_dim: c.head_dim, group: c.heads / c.kv_heads, kv_dim, dim, position };
        attention.run(team, q, keys, values, &b.scores, attended);
        lap.add_to(&mut times.attention);

        each_token(team, h, dim, |t, h| ops.rms_norm(&attended[t * dim..][..dim], &block.attn_sub_norm, eps, h));
        lap.add_to(&mut times.norms);
        b.input.prepare(team, kernel, ops, dim, h)?;
        lap.add_to(&mut times.activation_quant);
        kernel.linear(team, ops, &block.attn_output, &b.input, &mut b.integers, h)?;
        lap.add_to(&mut times.attn_out);
        each_token(team, x, dim, |t, x| ops.add_scaled(x, 1.0, &h[t * dim..][..dim]));

        each_token(team, h, dim, |t, h| ops.rms_norm(&x[t * dim..][..dim], &block.ffn_norm, eps, h));
        lap.add_to(&mut times.norms);
        b.input.prepare(team, kernel, ops, dim, h)?;
        lap.add_to(&mut times.activation_quant);
        if let (Some(sparse), 1) = (sparse, n) {
            let (input, integers, lap) = (&mut b.input, &mut b.integers[..], &mut lap);
            let step = Step {
                layer,
                block,
                kernel,
                team,
                ops,
                eps,
                input,
                integers,
                gate,
                up,
                normed,
                out: &mut *h,
                lap,
                times,
            };
            sparse.step(step)?;
        } else {
            let gate_up =
                [Product { weights: &block.gate, y: &mut *gate }, Product { weights: &block.up, y: &mut *up }];
            kernel.linear_group(team, ops, gate_up, &b.input, &mut b.integers)?;
            lap.add_to(&mut times.gate_up);
            let of = |t: usize| t * ffn..(t + 1) * ffn;
            let gain = &block.ffn_sub_norm;
            each_token(team, normed, ffn, |t, h| ops.gated_rms_norm(&gate[of(t)], &up[of(t)], gain, eps, h));
            lap.add_to(&mut times.norms);
            b.input.prepare(team, kernel, ops, ffn, normed)?;
            lap.add_to(&mut times.activation_quant);
            kernel.linear(team, ops, &block.down, &b.input, &mut b.integers, h)?;
            lap.add_to(&mut times.down);
        }
        each_token(team, x, dim, |t, x| ops.add_scaled(x, 1.0, &h[t * dim..][..dim]));
        lap.add_to(&mut times.norms);
        Ok(())
    }
}

fn check_packing(kernel: &Kernel, weights: &Weights) -> Result<()> {
    let (id, wants, has) = (kernel.id(), kernel.descriptor().packing, weights.packing);
    if wants == has {
        return Ok(());
    }
    Err(Error::failed(format!("kernel {id} reads packing {wants}, the weights are packed as {has}")))
}

fn check_head(model: &Model, head: &OutputHead) -> Result<()> {
    let c = &model.config;
    if (head.rows(), head.k()) == (c.vocab, c.dim) {
        return Ok(());
    }
    let (rows, k, vocab, dim) = (head.rows(), head.k(), c.vocab, c.dim);
    Err(Error::failed(format!("the output head is {rows} x {k}, the model needs {vocab} x {dim}")))
}

/// Calls `f(token, its part of out)` for every token: a batch on all threads, one token on the calling thread.
fn each_token<T: Send>(team: &mut Team, out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let done = try_each_token(team, out, width, |token, out| {
        f(token, out);
        Ok::<(), std::convert::Infallible>(())
    });
    match done {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// [`each_token`] for calls that can fail; returns one of the errors.
fn try_each_token<T: Send, E: Send>(
    team: &mut Team,
    out: &mut [T],
    width: usize,
    f: impl Fn(usize, &mut [T]) -> std::result::Result<(), E> + Sync,
) -> std::result::Result<(), E> {
    if out.len() == width {
        return f(0, out);
    }
    team.split_rows(width, out, |range: Range<usize>, piece: &mut [T]| {
        piece.chunks_exact_mut(width).enumerate().try_for_each(|(i, out)| f(range.start / width + i, out))
    })
}
