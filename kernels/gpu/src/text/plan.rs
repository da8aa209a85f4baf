//! The dispatches of a text, from its shape and where its weights lie.

use super::PART;
use super::shape::{Activation, LayerWeights, Rows, TextShape, TextWeights};
use super::state::{Buffers, Rounded};
use super::weights::{Layer, Table, row_scales};
use crate::device::{Device, Dispatch, Part, Pipeline};
use crate::error::GpuError;
use crate::ladder::{GpuKernel, find};
use crate::matrix::Matrix;
use crate::product::Places;
use crate::shaders::{self, Shader};

/// Everything that a text needs on the device.
pub(super) struct Graph<'s> {
    shape: &'s TextShape,
    layers: Vec<Layer>,
    embedding: Table,
    head: Option<Table>,
    output_norm: wgpu::Buffer,
    kernel: &'static GpuKernel,
    bytes_per_token: u64,
}

/// A constant that is a choice.
fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Constants of a pipeline.
type Constants<'c> = &'c [(&'static str, f64)];

impl<'s> Graph<'s> {
    pub(super) fn new(
        device: &Device,
        shape: &'s TextShape,
        layers: &[LayerWeights<'_>],
        weights: &TextWeights<'_>,
    ) -> Result<Self, GpuError> {
        shape.check()?;
        let kernel = find("gpu-dp4a-tile32").ok_or_else(|| GpuError::Operands("no kernel for texts".into()))?;
        let mut made: Vec<Layer> = Vec::with_capacity(layers.len());
        for (i, layer) in layers.iter().enumerate() {
            let before = i.checked_sub(1).map(|before| layers[before].matrices[6]);
            made.push(Layer::new(device, shape, layer, before)?);
        }
        let mut last = weights.output_norm.to_vec();
        last.extend(layers.last().map_or(Ok(Vec::new()), |layer| row_scales(&[layer.matrices[6]]))?);
        let table = |rows| Table::new(device, rows, (shape.vocab, shape.dim));
        if weights.head.is_none() && matches!(weights.embedding, Rows::Floats(_)) {
            return Err(GpuError::Operands("an embedding of f32 is no output head".into()));
        }
        let products = made.iter().flat_map(|l| [&l.qkv, &l.output, &l.gate_up, &l.down]).map(Matrix::bytes);
        let bytes_per_token = products.sum::<u64>() + 2 * (shape.vocab * shape.dim) as u64;
        Ok(Self {
            shape,
            layers: made,
            embedding: table(weights.embedding)?,
            head: weights.head.map(|rows| table(Rows::Halves(rows))).transpose()?,
            output_norm: device.buffer(bytemuck::cast_slice(&last))?,
            kernel,
            bytes_per_token,
        })
    }

    pub(super) fn bytes_per_token(&self) -> u64 {
        self.bytes_per_token
    }

    /// Most sums of a token of a product.
    pub(super) fn widest(&self) -> usize {
        let rows = self.layers.iter().flat_map(|l| [&l.qkv, &l.output, &l.gate_up, &l.down]).map(Matrix::rows);
        rows.max().unwrap_or(0).next_multiple_of(64)
    }

    /// The dispatches from ids to the last norm, of one token or of up to so many.
    pub(super) fn body(&self, device: &Device, b: &Buffers, tokens: usize) -> Result<Vec<Dispatch>, GpuError> {
        let s = self.shape;
        let mut all = Vec::new();
        for &window in &self.embedding.windows {
            let mut constants = vec![("K", s.dim as f64), ("FIRST", window.0 as f64), ("ROWS", window.1 as f64)];
            constants.push(("WIDE", flag(self.embedding.wide)));
            let pipeline = device.pipeline(&shaders::EMBED, &constants)?;
            let buffers = [self.embedding.part(window), (&b.ids).into(), (&b.stream).into()];
            all.push(device.dispatch(&pipeline, &buffers, [1, 1, 1])?.per_token(0));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let before = i.checked_sub(1).map(|before| &self.layers[before]).map(|l| (&l.down, l.by_rows[3]));
            let gains = (&layer.attn_norm, &layer.scales[0], 3);
            all.push(self.norm((device, b), before, (&b.of_down, &b.of_qkv), gains)?);
            all.extend(self.product((device, b), &layer.qkv, &b.of_qkv, tokens)?);
            all.push(self.heads(device, b, layer)?);
            all.push(self.attention(device, b, layer)?);
            all.push(self.join(device, b, layer)?);
            all.extend(self.product((device, b), &layer.output, &b.of_output, tokens)?);
            let gains = (&layer.ffn_norm, &layer.scales[2], 2);
            all.push(self.norm(
                (device, b),
                Some((&layer.output, layer.by_rows[1])),
                (&b.of_output, &b.of_gate_up),
                gains,
            )?);
            all.extend(self.product((device, b), &layer.gate_up, &b.of_gate_up, tokens)?);
            all.push(self.gated(device, b, layer)?);
            all.extend(self.product((device, b), &layer.down, &b.of_down, tokens)?);
        }
        let last = self.layers.last().map(|layer| (&layer.down, layer.by_rows[3]));
        // Its rounding has no use: the head takes the normed numbers.
        let gains = (&self.output_norm, &b.nothing, 0);
        all.push(self.norm((device, b), last, (&b.of_down, &b.of_qkv), gains)?);
        Ok(all)
    }

    /// The dispatches of the head, of one token of the last batch.
    pub(super) fn logits(&self, device: &Device, b: &Buffers) -> Result<Vec<Dispatch>, GpuError> {
        let table = self.head.as_ref().unwrap_or(&self.embedding);
        let window = |&window: &(usize, usize)| {
            let constants = [("K", self.shape.dim as f64), ("FIRST", window.0 as f64), ("ROWS", window.1 as f64)];
            let pipeline = device.pipeline(&shaders::HEAD, &constants)?;
            let buffers = [table.part(window), (&b.scratch).into(), (&b.logits).into(), (&b.state).into()];
            device.dispatch(&pipeline, &buffers, [window.1.div_ceil(16) as u32, 1, 1])
        };
        table.windows.iter().map(window).collect()
    }

    /// The dispatches that make the likeliest token the next one.
    pub(super) fn next(&self, device: &Device, b: &Buffers) -> Result<Vec<Dispatch>, GpuError> {
        let argmax = device.pipeline(&shaders::ARGMAX, &[("VOCAB", self.shape.vocab as f64)])?;
        let advance = device.pipeline(&shaders::ADVANCE, &[])?;
        Ok(vec![
            device.dispatch(&argmax, &[(&b.logits).into(), (&b.best).into()], [64, 1, 1])?,
            device.dispatch(&advance, &[(&b.best).into(), (&b.ids).into(), (&b.state).into()], [1, 1, 1])?,
        ])
    }

    fn product(
        &self,
        (device, b): (&Device, &Buffers),
        matrix: &Matrix,
        of: &Rounded,
        tokens: usize,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let places = Places { rounded: &of.ints, sums: &of.numbers, floats: &b.nothing, result: &b.sums };
        self.kernel.dispatches(device, matrix, &places, tokens)
    }

    /// The dispatch of a shader that ends with norm and rounding.
    fn rounding(
        &self,
        device: &Device,
        (shader, constants): (&'static Shader, Constants<'_>),
        (to, scales, gains): (&Rounded, &wgpu::Buffer, &wgpu::Buffer),
        (b, own): (&Buffers, &[&wgpu::Buffer]),
    ) -> Result<Dispatch, GpuError> {
        let pipeline: Pipeline = device.pipeline(shader, constants)?;
        let shared = [&b.scratch, &to.ints, &to.numbers, scales, gains];
        let buffers: Vec<Part<'_>> = shared.into_iter().chain(own.iter().copied()).map(Part::from).collect();
        Ok(device.dispatch(&pipeline, &buffers, [1, 1, 1])?.per_token(0))
    }

    fn norm(
        &self,
        (device, b): (&Device, &Buffers),
        adds: Option<(&Matrix, bool)>,
        (from, to): (&Rounded, &Rounded),
        (gains, scales, count): (&wgpu::Buffer, &wgpu::Buffer, usize),
    ) -> Result<Dispatch, GpuError> {
        let s = self.shape;
        let constants = [
            ("K", s.dim as f64),
            ("EPS", f64::from(s.eps)),
            ("NORM", 1.0),
            ("SCALES", count as f64),
            ("RESIDUAL", flag(adds.is_some())),
            ("PITCH", adds.map_or(s.dim, |(matrix, _)| matrix.rows()) as f64),
            ("ROWS", flag(adds.is_some_and(|(_, by_rows)| by_rows))),
        ];
        let own = [&b.sums, &from.numbers, &b.stream];
        self.rounding(device, (&shaders::NORM, &constants), (to, scales, gains), (b, &own))
    }

    fn heads(&self, device: &Device, b: &Buffers, layer: &Layer) -> Result<Dispatch, GpuError> {
        let s = self.shape;
        let constants = [
            ("HEAD_DIM", s.head_dim as f64),
            ("HEADS", s.heads as f64),
            ("KV_HEADS", s.kv_heads as f64),
            ("K_AT", layer.k_at as f64),
            ("V_AT", layer.v_at as f64),
            ("PITCH", layer.qkv.rows() as f64),
            ("NEIGHBOURS", flag(s.neighbours)),
            ("NORM", flag(layer.qk_norms)),
            ("EPS", f64::from(s.eps)),
            ("ROWS", flag(layer.by_rows[0])),
        ];
        let pipeline = device.pipeline(&shaders::HEADS, &constants)?;
        let buffers = [
            &b.sums,
            &b.of_qkv.numbers,
            &b.angles,
            &layer.head_gains,
            &b.queries,
            &layer.keys,
            &layer.values,
            &b.state,
        ];
        let heads = (s.heads + 2 * s.kv_heads) as u32;
        Ok(device.dispatch(&pipeline, &buffers.map(Part::from), [heads, 1, 1])?.per_token(1))
    }

    fn attention(&self, device: &Device, b: &Buffers, layer: &Layer) -> Result<Dispatch, GpuError> {
        let s = self.shape;
        let parts = s.context.div_ceil(PART);
        let constants = [
            ("HEAD_DIM", s.head_dim as f64),
            ("HEADS", s.heads as f64),
            ("KV_HEADS", s.kv_heads as f64),
            ("PARTS", parts as f64),
            ("SCALE", f64::from(1.0 / (s.head_dim as f32).sqrt())),
        ];
        let pipeline = device.pipeline(&shaders::ATTENTION, &constants)?;
        let buffers = [&b.queries, &layer.keys, &layer.values, &b.parts, &b.state];
        let workgroups = [s.heads as u32, parts as u32, 1];
        Ok(device.dispatch(&pipeline, &buffers.map(Part::from), workgroups)?.per_token(2))
    }

    fn join(&self, device: &Device, b: &Buffers, layer: &Layer) -> Result<Dispatch, GpuError> {
        let s = self.shape;
        let constants = [
            ("K", s.q_dim() as f64),
            ("EPS", f64::from(s.eps)),
            ("NORM", flag(layer.attn_sub_norm.1)),
            ("SCALES", 1.0),
            ("HEAD_DIM", s.head_dim as f64),
            ("HEADS", s.heads as f64),
            ("PARTS", s.context.div_ceil(PART) as f64),
        ];
        let gains = &layer.attn_sub_norm.0;
        let own = [&b.parts, &b.state];
        self.rounding(device, (&shaders::JOIN, &constants), (&b.of_output, &layer.scales[1], gains), (b, &own))
    }

    fn gated(&self, device: &Device, b: &Buffers, layer: &Layer) -> Result<Dispatch, GpuError> {
        let s = self.shape;
        let constants = [
            ("K", s.ffn as f64),
            ("EPS", f64::from(s.eps)),
            ("NORM", flag(layer.ffn_sub_norm.1)),
            ("SCALES", 1.0),
            ("PITCH", layer.gate_up.rows() as f64),
            ("UP", layer.up_at as f64),
            ("ROWS", flag(layer.by_rows[2])),
            ("SILU", flag(s.activation == Activation::Silu)),
        ];
        let gains = &layer.ffn_sub_norm.0;
        let own = [&b.sums, &b.of_gate_up.numbers];
        self.rounding(device, (&shaders::GATED, &constants), (&b.of_down, &layer.scales[3], gains), (b, &own))
    }
}
