//! A text's shape and weights, and the dispatches that follow from them.

use super::PART;
use super::state::{Buffers, Rounded};
use crate::device::{Device, Dispatch, Part, Pipeline};
use crate::error::GpuError;
use crate::ladder::{GpuKernel, find};
use crate::matrix::Matrix;
use crate::product::Places;
use crate::shaders::{self, Shader};
use kernels::PackedWeights;

/// What lies between gate and up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// relu(gate)^2 * up.
    ReluSquared,
    /// silu(gate) * up.
    Silu,
}

/// Sizes and constants of a model's graph.
#[derive(Clone, Debug, PartialEq)]
pub struct TextShape {
    /// Elements of the residual stream, a multiple of 8.
    pub dim: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, a divisor of `heads`.
    pub kv_heads: usize,
    /// Elements of a head, a multiple of 8 up to 256.
    pub head_dim: usize,
    /// Elements of the feed-forward blocks, a multiple of 4.
    pub ffn: usize,
    /// Rows of the embedding and the head.
    pub vocab: usize,
    /// Positions that there is room for.
    pub context: usize,
    /// What is added to the mean square in norms.
    pub eps: f32,
    /// Of the feed-forward blocks.
    pub activation: Activation,
    /// Whether elements 2i and 2i + 1 of a head are rotated together, and not i and i + half.
    pub neighbours: bool,
}

/// Weights of a block.
pub struct LayerWeights<'a> {
    /// Gains of the norm before attention.
    pub attn_norm: &'a [f32],
    /// Gains of the norm behind attention, where there is one.
    pub attn_sub_norm: Option<&'a [f32]>,
    /// Gains of the norm before the feed-forward block.
    pub ffn_norm: &'a [f32],
    /// Gains of the norm within it, where there is one.
    pub ffn_sub_norm: Option<&'a [f32]>,
    /// Gains of the norms of each head of queries and of keys, where there are.
    pub qk_norms: Option<(&'a [f32], &'a [f32])>,
    /// Query, key, value, attention output, gate, up, down; in the layout [`kernels::layouts::TILE32`].
    pub matrices: [&'a PackedWeights; 7],
}

/// Weights that no block has.
pub struct TextWeights<'a> {
    /// Gains of the last norm.
    pub output_norm: &'a [f32],
    /// The embedding as f16, vocab x dim.
    pub embedding: &'a [u16],
    /// The output head as f16; the embedding where they are one.
    pub head: Option<&'a [u16]>,
    /// For each position head_dim / 2 cosines, then as many sines.
    pub angles: &'a [f32],
}

impl TextShape {
    fn q_dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Refuses what the shaders do not compute.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        let wrong = |what: String| Err(GpuError::Operands(what));
        if self.head_dim > 256 || !self.head_dim.is_multiple_of(8) {
            return wrong(format!("heads of {} elements; multiples of 8 up to 256 are computed", self.head_dim));
        }
        if !self.dim.is_multiple_of(8) || !self.ffn.is_multiple_of(4) {
            return wrong(format!("a width of {} x {}; multiples of 8 are computed", self.dim, self.ffn));
        }
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return wrong(format!("{} heads share {} of keys", self.heads, self.kv_heads));
        }
        Ok(())
    }
}

/// A block's weights on the device.
struct Layer {
    qkv: Matrix,
    output: Matrix,
    gate_up: Matrix,
    down: Matrix,
    /// Scales of the matrices, in the order above.
    scales: [wgpu::Buffer; 4],
    attn_norm: wgpu::Buffer,
    attn_sub_norm: Option<wgpu::Buffer>,
    ffn_norm: wgpu::Buffer,
    ffn_sub_norm: Option<wgpu::Buffer>,
    qk_norms: Option<wgpu::Buffer>,
    keys: wgpu::Buffer,
    values: wgpu::Buffer,
    /// Where keys, values and up begin among the rows of what they are stacked with.
    k_at: usize,
    v_at: usize,
    up_at: usize,
}

/// A table of f16 rows on the device, in windows.
struct Table {
    buffer: wgpu::Buffer,
    /// First row and rows of each.
    windows: Vec<(usize, usize)>,
    row_bytes: u64,
}

impl Table {
    fn new(device: &Device, rows: &[u16], (vocab, dim): (usize, usize)) -> Result<Self, GpuError> {
        if rows.len() != vocab * dim {
            return Err(GpuError::Operands(format!("{} elements for {vocab} rows of {dim}", rows.len())));
        }
        let row_bytes = 2 * dim as u64;
        let (most, alignment) = (device.settings().binding_bytes, u64::from(device.facts().offset_alignment));
        // As few rows as begin where a binding may, and as many of these as it holds.
        let step = (1..=alignment).find(|&n| (n * row_bytes).is_multiple_of(alignment)).unwrap_or(alignment);
        let whole = vocab as u64 * row_bytes <= most;
        let at_once = if whole { vocab } else { (most / row_bytes / step * step) as usize };
        if at_once == 0 {
            let why = format!("{step} rows pass the binding limit {most}");
            return Err(GpuError::TooLarge { rows: vocab, k: dim, why });
        }
        let windows = (0..vocab).step_by(at_once).map(|first| (first, at_once.min(vocab - first))).collect();
        let bytes = bytemuck::cast_slice(rows);
        if bytes.len() as u64 > device.facts().max_buffer_bytes {
            let why = format!("{} bytes, and a buffer holds {}", bytes.len(), device.facts().max_buffer_bytes);
            return Err(GpuError::TooLarge { rows: vocab, k: dim, why });
        }
        Ok(Self { buffer: device.buffer(bytes)?, windows, row_bytes })
    }

    fn part(&self, (first, rows): (usize, usize)) -> Part<'_> {
        let (offset, size) = (first as u64 * self.row_bytes, rows as u64 * self.row_bytes);
        Part { buffer: &self.buffer, offset, size: Some(size) }
    }
}

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
        let made: Vec<Layer> = layers.iter().map(|layer| Layer::new(device, shape, layer)).collect::<Result<_, _>>()?;
        let table = |rows| Table::new(device, rows, (shape.vocab, shape.dim));
        let products = made.iter().flat_map(|l| [&l.qkv, &l.output, &l.gate_up, &l.down]).map(Matrix::bytes);
        let bytes_per_token = products.sum::<u64>() + 2 * (shape.vocab * shape.dim) as u64;
        Ok(Self {
            shape,
            layers: made,
            embedding: table(weights.embedding)?,
            head: weights.head.map(table).transpose()?,
            output_norm: device.buffer(bytemuck::cast_slice(weights.output_norm))?,
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
            let constants = [("K", s.dim as f64), ("FIRST", window.0 as f64), ("ROWS", window.1 as f64)];
            let pipeline = device.pipeline(&shaders::EMBED, &constants)?;
            let buffers = [self.embedding.part(window), (&b.ids).into(), (&b.stream).into()];
            all.push(device.dispatch(&pipeline, &buffers, [1, 1, 1])?.per_token(0));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let before = i.checked_sub(1).map(|before| &self.layers[before].down);
            let gains = (&layer.attn_norm, &layer.scales[0], 3);
            all.push(self.norm(device, b, before, (&b.of_down, &b.of_qkv), gains)?);
            all.extend(self.product(device, &layer.qkv, &b.of_qkv, b, tokens)?);
            all.push(self.heads(device, b, layer)?);
            all.push(self.attention(device, b, layer)?);
            all.push(self.join(device, b, layer)?);
            all.extend(self.product(device, &layer.output, &b.of_output, b, tokens)?);
            let gains = (&layer.ffn_norm, &layer.scales[2], 2);
            all.push(self.norm(device, b, Some(&layer.output), (&b.of_output, &b.of_gate_up), gains)?);
            all.extend(self.product(device, &layer.gate_up, &b.of_gate_up, b, tokens)?);
            all.push(self.gated(device, b, layer)?);
            all.extend(self.product(device, &layer.down, &b.of_down, b, tokens)?);
        }
        let last = self.layers.last().map(|layer| &layer.down);
        // Its rounding has no use: the head takes the normed numbers.
        let gains = (&self.output_norm, &b.nothing, 0);
        all.push(self.norm(device, b, last, (&b.of_down, &b.of_qkv), gains)?);
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
        device: &Device,
        matrix: &Matrix,
        of: &Rounded,
        b: &Buffers,
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
        device: &Device,
        b: &Buffers,
        adds: Option<&Matrix>,
        (from, to): (&Rounded, &Rounded),
        (gains, scales, count): (&wgpu::Buffer, &wgpu::Buffer, usize),
    ) -> Result<Dispatch, GpuError> {
        let s = self.shape;
        let constants = [
            ("K", s.dim as f64),
            ("EPS", f64::from(s.eps)),
            ("NORM", 1.0),
            ("SCALES", count as f64),
            ("RESIDUAL", f64::from(u8::from(adds.is_some()))),
            ("PITCH", adds.map_or(s.dim, Matrix::rows) as f64),
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
            ("NEIGHBOURS", f64::from(u8::from(s.neighbours))),
            ("NORM", f64::from(u8::from(layer.qk_norms.is_some()))),
            ("EPS", f64::from(s.eps)),
        ];
        let pipeline = device.pipeline(&shaders::HEADS, &constants)?;
        let gains = layer.qk_norms.as_ref().unwrap_or(&b.nothing);
        let buffers = [&b.sums, &b.of_qkv.numbers, &b.angles, gains, &b.queries, &layer.keys, &layer.values, &b.state];
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
            ("NORM", f64::from(u8::from(layer.attn_sub_norm.is_some()))),
            ("SCALES", 1.0),
            ("HEAD_DIM", s.head_dim as f64),
            ("HEADS", s.heads as f64),
            ("PARTS", s.context.div_ceil(PART) as f64),
        ];
        let gains = layer.attn_sub_norm.as_ref().unwrap_or(&b.nothing);
        let own = [&b.parts, &b.state];
        self.rounding(device, (&shaders::JOIN, &constants), (&b.of_output, &layer.scales[1], gains), (b, &own))
    }

    fn gated(&self, device: &Device, b: &Buffers, layer: &Layer) -> Result<Dispatch, GpuError> {
        let s = self.shape;
        let constants = [
            ("K", s.ffn as f64),
            ("EPS", f64::from(s.eps)),
            ("NORM", f64::from(u8::from(layer.ffn_sub_norm.is_some()))),
            ("SCALES", 1.0),
            ("PITCH", layer.gate_up.rows() as f64),
            ("UP", layer.up_at as f64),
            ("SILU", f64::from(u8::from(s.activation == Activation::Silu))),
        ];
        let gains = layer.ffn_sub_norm.as_ref().unwrap_or(&b.nothing);
        let own = [&b.sums, &b.of_gate_up.numbers];
        self.rounding(device, (&shaders::GATED, &constants), (&b.of_down, &layer.scales[3], gains), (b, &own))
    }
}

impl Layer {
    fn new(device: &Device, shape: &TextShape, w: &LayerWeights<'_>) -> Result<Self, GpuError> {
        let [q, k, v, output, gate, up, down] = w.matrices;
        let floats = |numbers: &[f32]| device.buffer(bytemuck::cast_slice(numbers));
        let some = |numbers: Option<&[f32]>| numbers.map(floats).transpose();
        let scale = |weights: &PackedWeights| {
            let one = "a matrix has several scales; on the GPU one a tensor is multiplied";
            weights.tensor_scale().ok_or_else(|| GpuError::Operands(one.into()))
        };
        let scales = |of: &[&PackedWeights]| {
            let mut scales = of.iter().map(|&weights| scale(weights)).collect::<Result<Vec<f32>, _>>()?;
            scales.resize(4, 1.0);
            floats(&scales)
        };
        let cache = || device.empty((2 * shape.context * shape.kv_heads * shape.head_dim) as u64);
        let qk_norms = w.qk_norms.map(|(q, k)| floats(&[q, k].concat())).transpose()?;
        Ok(Self {
            qkv: Matrix::stacked(device, &[q, k, v])?,
            output: Matrix::new(device, output)?,
            gate_up: Matrix::stacked(device, &[gate, up])?,
            down: Matrix::new(device, down)?,
            scales: [scales(&[q, k, v])?, scales(&[output])?, scales(&[gate, up])?, scales(&[down])?],
            attn_norm: floats(w.attn_norm)?,
            attn_sub_norm: some(w.attn_sub_norm)?,
            ffn_norm: floats(w.ffn_norm)?,
            ffn_sub_norm: some(w.ffn_sub_norm)?,
            qk_norms,
            keys: cache()?,
            values: cache()?,
            k_at: Matrix::padded(q),
            v_at: Matrix::padded(q) + Matrix::padded(k),
            up_at: Matrix::padded(gate),
        })
    }
}
