//! The forward pass of the 2B-4T graph, one token at a time, with any kernel. All buffers are made once; a step allocates nothing.

use super::ops::{Rope, add_scaled, dot, relu_squared_gate, rms_norm, softmax};
use super::times::{Lap, Times};
use super::weights::{Model, Weights};
use crate::error::{Error, Result};
use kernels::parallel::Team;
use kernels::{HeadF16, Kernel, KernelError, LinearInput};
use std::sync::Arc;

/// A model, a kernel and the state of one sequence.
pub struct Engine<'m> {
    model: &'m Model,
    weights: Arc<Weights>,
    kernel: Kernel,
    head: HeadF16,
    team: Team,
    rope: Rope,
    /// Keys and values: layer x capacity x kv_dim.
    keys: Vec<f32>,
    values: Vec<f32>,
    capacity: usize,
    position: usize,
    buffers: Buffers,
    /// Time by phase and operation since the last [`Engine::reset`].
    pub times: Times,
}

struct Buffers {
    /// Residual stream.
    x: Vec<f32>,
    /// A normalised copy of it, and the attention's output.
    h: Vec<f32>,
    q: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    normed_ffn: Vec<f32>,
    scores: Vec<f32>,
    logits: Vec<f32>,
    integers: Vec<i32>,
    input: LinearInput,
}

impl<'m> Engine<'m> {
    /// Room for `capacity` tokens. `weights` must be in the kernel's packing.
    pub fn new(
        model: &'m Model,
        weights: Arc<Weights>,
        kernel: Kernel,
        head: HeadF16,
        team: Team,
        capacity: usize,
    ) -> Result<Self> {
        let c = &model.config;
        if weights.packing != kernel.descriptor().packing {
            let (id, wants, has) = (kernel.id(), kernel.descriptor().packing, weights.packing);
            return Err(Error::failed(format!("kernel {id} reads packing {wants}, the weights are packed as {has}")));
        }
        let cache = c.layers.checked_mul(capacity).and_then(|n| n.checked_mul(c.kv_dim()));
        let cache = cache.filter(|n| *n < isize::MAX as usize / 8).ok_or_else(|| {
            Error::input(format!("a cache of {capacity} tokens does not fit in memory; ask for fewer tokens"))
        })?;
        let widest = c.dim.max(c.ffn);
        let buffers = Buffers {
            x: vec![0.0; c.dim],
            h: vec![0.0; c.dim],
            q: vec![0.0; c.dim],
            attended: vec![0.0; c.dim],
            gate: vec![0.0; c.ffn],
            up: vec![0.0; c.ffn],
            normed_ffn: vec![0.0; c.ffn],
            scores: vec![0.0; capacity],
            logits: vec![0.0; c.vocab],
            integers: vec![0; widest],
            input: LinearInput::new(widest),
        };
        Ok(Self {
            model,
            weights,
            kernel,
            head,
            team,
            rope: Rope::new(c.head_dim, c.rope_theta, capacity),
            keys: vec![0.0; cache],
            values: vec![0.0; cache],
            capacity,
            position: 0,
            buffers,
            times: Times::default(),
        })
    }

    /// Forgets the sequence and the times.
    pub fn reset(&mut self) {
        self.position = 0;
        self.times = Times::default();
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Bytes of weights, scales and head that one decoded token reads.
    pub fn bytes_per_token(&self) -> u64 {
        self.weights.bytes() + self.model.head_bytes()
    }

    /// Appends one token to the sequence. Call [`Engine::logits`] for what comes next.
    pub fn forward(&mut self, token: u32) -> Result<()> {
        if self.position >= self.capacity {
            return Err(Error::input(format!("the sequence is full at {} tokens", self.capacity)));
        }
        let mut phase = Lap::start();
        self.embed(token)?;
        phase.add_to(&mut self.times.embed);
        for layer in 0..self.model.config.layers {
            self.block(layer).map_err(|error| {
                Error::failed(format!(
                    "{}: block {layer} at position {}: {error}",
                    self.model.path().display(),
                    self.position
                ))
            })?;
        }
        phase.add_to(&mut self.times.forward);
        self.position += 1;
        Ok(())
    }

    /// Logits after the last token, one a vocabulary entry.
    pub fn logits(&mut self) -> Result<&[f32]> {
        let mut phase = Lap::start();
        let Self { weights, buffers, model, team, head, .. } = self;
        rms_norm(&buffers.x, &weights.output_norm, model.config.rms_eps, &mut buffers.h);
        head.gemv(team, &model.embedding, &buffers.h, &mut buffers.logits)
            .map_err(|e| Error::failed(format!("output head: {e}")))?;
        phase.add_to(&mut self.times.logits);
        Ok(&self.buffers.logits)
    }

    /// Logits that [`Engine::logits`] computed last.
    pub fn last_logits(&self) -> &[f32] {
        &self.buffers.logits
    }

    fn embed(&mut self, token: u32) -> Result<()> {
        let dim = self.model.config.dim;
        let row = (token as usize).checked_mul(dim).and_then(|at| self.model.embedding.get(at..at + dim));
        let Some(row) = row else {
            return Err(Error::input(format!(
                "token id {token} is outside the vocabulary of {}",
                self.model.config.vocab
            )));
        };
        for (x, &bits) in self.buffers.x.iter_mut().zip(row) {
            *x = half::f16::from_bits(bits).to_f32();
        }
        Ok(())
    }

    fn block(&mut self, layer: usize) -> std::result::Result<(), KernelError> {
        let Self { model, weights, kernel, team, rope, buffers: b, times, capacity, position, .. } = self;
        let (c, block, position) = (&model.config, &weights.blocks[layer], *position);
        let kv_dim = c.kv_dim();
        let start = layer * *capacity * kv_dim;
        let (keys, values) =
            (&mut self.keys[start..][..*capacity * kv_dim], &mut self.values[start..][..*capacity * kv_dim]);
        let mut lap = Lap::start();

        rms_norm(&b.x, &block.attn_norm, c.rms_eps, &mut b.h);
        lap.add_to(&mut times.norms);
        b.input.prepare(kernel, &b.h)?;
        lap.add_to(&mut times.activation_quant);
        let here = position * kv_dim..(position + 1) * kv_dim;
        kernel.linear(team, &block.q, &b.input, &mut b.integers, &mut b.q)?;
        kernel.linear(team, &block.k, &b.input, &mut b.integers, &mut keys[here.clone()])?;
        kernel.linear(team, &block.v, &b.input, &mut b.integers, &mut values[here.clone()])?;
        lap.add_to(&mut times.qkv);

        rope.rotate(&mut b.q, position);
        rope.rotate(&mut keys[here], position);
        let (d, group) = (c.head_dim, c.heads / c.kv_heads);
        let factor = 1.0 / (d as f32).sqrt();
        let scores = &mut b.scores[..=position];
        b.attended.fill(0.0);
        for (head, (q, out)) in b.q.chunks_exact(d).zip(b.attended.chunks_exact_mut(d)).enumerate() {
            let at = head / group * d;
            for (score, key) in scores.iter_mut().zip(keys.chunks_exact(kv_dim)) {
                *score = dot(q, &key[at..at + d]) * factor;
            }
            softmax(scores);
            for (&score, value) in scores.iter().zip(values.chunks_exact(kv_dim)) {
                add_scaled(out, score, &value[at..at + d]);
            }
        }
        lap.add_to(&mut times.attention);

        rms_norm(&b.attended, &block.attn_sub_norm, c.rms_eps, &mut b.h);
        lap.add_to(&mut times.norms);
        b.input.prepare(kernel, &b.h)?;
        lap.add_to(&mut times.activation_quant);
        kernel.linear(team, &block.attn_output, &b.input, &mut b.integers, &mut b.h)?;
        lap.add_to(&mut times.attn_out);
        add_scaled(&mut b.x, 1.0, &b.h);

        rms_norm(&b.x, &block.ffn_norm, c.rms_eps, &mut b.h);
        lap.add_to(&mut times.norms);
        b.input.prepare(kernel, &b.h)?;
        lap.add_to(&mut times.activation_quant);
        kernel.linear(team, &block.gate, &b.input, &mut b.integers, &mut b.gate)?;
        kernel.linear(team, &block.up, &b.input, &mut b.integers, &mut b.up)?;
        lap.add_to(&mut times.gate_up);
        relu_squared_gate(&mut b.gate, &b.up);
        rms_norm(&b.gate, &block.ffn_sub_norm, c.rms_eps, &mut b.normed_ffn);
        lap.add_to(&mut times.norms);
        b.input.prepare(kernel, &b.normed_ffn)?;
        lap.add_to(&mut times.activation_quant);
        kernel.linear(team, &block.down, &b.input, &mut b.integers, &mut b.h)?;
        lap.add_to(&mut times.down);
        add_scaled(&mut b.x, 1.0, &b.h);
        lap.add_to(&mut times.norms);
        Ok(())
    }
}
