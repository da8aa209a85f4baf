//! Whole texts on a device: a model's weights there, and the sequence that `model` generates and scores with.

use super::open::of_device;
use crate::choose::able;
use crate::error::{Error, Result};
use crate::machine::{Machine, memory};
use crate::measure::bench::packed;
use half::f16;
use kernels::layouts::TILE32;
use kernels::{ActivationRule, CodeTable, PackedWeights, ScaleUnit};
use kernels_gpu::text::{Activation, LayerWeights, TextDecoder, TextShape, TextWeights};
use kernels_gpu::{Device, GpuError};
use model::arch::{self, Pairing};
use model::rope::Rope;
use model::rows::Rows;
use model::sequence::Sequence;
use model::times::{Lap, Times};
use model::weights::Model;
use std::borrow::Cow;

/// A sequence that a device computes.
pub struct GpuSequence<'d> {
    model: &'d Model,
    decoder: TextDecoder<'d>,
    times: Times,
}

impl<'d> GpuSequence<'d> {
    /// Copies a model's weights to the device and makes room for so many positions.
    ///
    /// # Errors
    /// A model that the device's kernels do not compute (exit 5), memory that is not there.
    pub fn new(device: &'d Device, model: &'d Model, machine: &Machine, context: usize) -> Result<Self> {
        refuse_what_is_not_computed(model, machine)?;
        memory::require_memory(model.packed_bytes(&TILE32), "the model's weights on their way to the GPU")?;
        let c = &model.config;
        let shape = TextShape {
            dim: c.dim,
            layers: c.layers,
            heads: c.heads,
            kv_heads: c.kv_heads,
            head_dim: c.head_dim,
            ffn: c.ffn,
            vocab: c.vocab,
            context,
            eps: c.rms_eps,
            activation: match c.activation {
                arch::Activation::ReluSquared => Activation::ReluSquared,
                arch::Activation::Silu => Activation::Silu,
            },
            neighbours: c.pairing == Pairing::Neighbours,
        };
        let weights = packed(model, machine, &TILE32, CodeTable::TERNARY)?;
        let layers: Vec<LayerWeights<'_>> = weights
            .blocks
            .iter()
            .map(|block| {
                let (gains, matrices): (_, [&PackedWeights; 7]) = (block.gains(), block.matrices());
                LayerWeights {
                    attn_norm: gains.attn_norm,
                    attn_sub_norm: gains.attn_sub_norm,
                    ffn_norm: gains.ffn_norm,
                    ffn_sub_norm: gains.ffn_sub_norm,
                    qk_norms: gains.qk_norms,
                    matrices,
                }
            })
            .collect();
        let embedding = Table::of(&model.embedding);
        // A head is f16, as it is on the CPU; an embedding of another type is rounded for it.
        let head = match &embedding {
            Table::Halves(_) if c.tied => None,
            _ => Some(halves(model.output_rows())?),
        };
        let angles = Rope::new(c, context).table();
        let of_model = TextWeights {
            output_norm: &weights.output_norm,
            embedding: embedding.rows(),
            head: head.as_deref(),
            angles: &angles,
        };
        let decoder = TextDecoder::new(device, &shape, &layers, &of_model).map_err(|error| of_device(&error))?;
        Ok(Self { model, decoder, times: Times::default() })
    }

    /// Bytes of weights that a decoded token reads.
    pub fn bytes_per_token(&self) -> u64 {
        self.decoder.bytes_per_token()
    }

    /// Dispatches of a decoded token.
    pub fn dispatches_per_token(&self) -> usize {
        self.decoder.dispatches_per_token()
    }
}

/// The device multiplies with one scale a tensor or a row, and activations with one a token.
fn refuse_what_is_not_computed(model: &Model, machine: &Machine) -> Result<()> {
    let file = model.gguf.path().display();
    let refused = |what: String| Err(Error::unsupported(format!("{file}: {what}; leave --device out")));
    let needs = able::needs(model, machine)?;
    if matches!(needs.scales, ScaleUnit::Group(_)) {
        return refused(format!("its matrices have {}; the GPU's kernels take one a tensor or a row", needs.scales));
    }
    if needs.rule != ActivationRule::Token {
        return refused(format!("activations by {}; the GPU's kernels take one scale a token", needs.rule));
    }
    Ok(())
}

/// An embedding, as f16 where that loses nothing.
enum Table<'a> {
    Halves(Cow<'a, [u16]>),
    Floats(Vec<f32>),
}

impl<'a> Table<'a> {
    fn of(rows: &'a Rows) -> Self {
        let stored: &[u16] = rows.as_ref();
        if !stored.is_empty() {
            return Self::Halves(stored.into());
        }
        let mut all = vec![0.0f32; rows.rows() * rows.k()];
        all.chunks_exact_mut(rows.k()).enumerate().for_each(|(number, row)| rows.decode(number, row));
        let same = |value: &f32| f16::from_f32(*value).to_f32() == *value;
        match all.iter().all(same) {
            true => Self::Halves(all.into_iter().map(|value| f16::from_f32(value).to_bits()).collect()),
            false => Self::Floats(all),
        }
    }

    fn rows(&self) -> kernels_gpu::text::Rows<'_> {
        match self {
            Self::Halves(rows) => kernels_gpu::text::Rows::Halves(rows),
            Self::Floats(rows) => kernels_gpu::text::Rows::Floats(rows),
        }
    }
}

/// Rows of an output head as f16, rounded where they are of another type.
fn halves(rows: &Rows) -> Result<Cow<'_, [u16]>> {
    let stored: &[u16] = rows.as_ref();
    if !stored.is_empty() {
        return Ok(stored.into());
    }
    let mut all = Vec::with_capacity(rows.rows() * rows.k());
    let mut row = vec![0.0f32; rows.k()];
    for number in 0..rows.rows() {
        rows.decode(number, &mut row);
        for &value in &row {
            let half = f16::from_f32(value);
            if !half.is_finite() {
                let what = format!("row {number} has {value:e}, which an f16 head does not hold; leave --device out");
                return Err(Error::unsupported(format!("tensor \"{}\": {what}", rows.name())));
            }
            all.push(half.to_bits());
        }
    }
    Ok(all.into())
}

/// An error of the device within a text.
fn of_text(error: &GpuError) -> model::Error {
    model::Error::failed(error.to_string())
}

impl Sequence for GpuSequence<'_> {
    fn model(&self) -> &Model {
        self.model
    }

    fn reset(&mut self) {
        self.decoder.reset();
        self.times = Times::default();
    }

    fn batch(&self) -> usize {
        self.decoder.batch()
    }

    fn forward(&mut self, tokens: &[u32]) -> model::Result<()> {
        let mut lap = Lap::start();
        self.decoder.forward(tokens).map_err(|error| of_text(&error))?;
        lap.add_to(&mut self.times.forward);
        Ok(())
    }

    fn predict(&mut self) -> model::Result<()> {
        // It is a part of every submission.
        Ok(())
    }

    fn predicted(&mut self) -> model::Result<&[f32]> {
        let mut lap = Lap::start();
        let logits = self.decoder.logits().map_err(|error| of_text(&error))?;
        lap.add_to(&mut self.times.logits);
        Ok(logits)
    }

    fn logits_behind(&mut self, token: usize) -> model::Result<&[f32]> {
        self.decoder.logits_of(token).map_err(|error| of_text(&error))
    }

    fn likeliest(&mut self) -> model::Result<Option<u32>> {
        self.decoder.likeliest().map(Some).map_err(|error| of_text(&error))
    }

    fn times(&mut self) -> &mut Times {
        &mut self.times
    }
}
