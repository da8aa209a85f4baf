//! A text's weights on the device.

use super::shape::{LayerWeights, Rows, TextShape};
use crate::device::{Device, Part};
use crate::error::GpuError;
use crate::matrix::Matrix;
use kernels::PackedWeights;

/// A block's weights on the device.
pub(super) struct Layer {
    pub(super) qkv: Matrix,
    pub(super) output: Matrix,
    pub(super) gate_up: Matrix,
    pub(super) down: Matrix,
    /// Scales of the matrices, in the order above.
    pub(super) scales: [wgpu::Buffer; 4],
    /// Whether each row of these has a scale of its own, which then lie behind the gains of whoever takes the sums.
    pub(super) by_rows: [bool; 4],
    pub(super) attn_norm: wgpu::Buffer,
    /// Gains, and whether there are some; likewise below.
    pub(super) attn_sub_norm: (wgpu::Buffer, bool),
    pub(super) ffn_norm: wgpu::Buffer,
    pub(super) ffn_sub_norm: (wgpu::Buffer, bool),
    /// Of queries and keys.
    pub(super) head_gains: wgpu::Buffer,
    pub(super) qk_norms: bool,
    pub(super) keys: wgpu::Buffer,
    pub(super) values: wgpu::Buffer,
    /// Where keys, values and up begin among the rows of what they are stacked with.
    pub(super) k_at: usize,
    pub(super) v_at: usize,
    pub(super) up_at: usize,
}

/// A table of f16 rows on the device, in windows.
pub(super) struct Table {
    pub(super) buffer: wgpu::Buffer,
    /// First row and rows of each.
    pub(super) windows: Vec<(usize, usize)>,
    pub(super) row_bytes: u64,
    /// Whether they are f32.
    pub(super) wide: bool,
}

impl Table {
    pub(super) fn new(device: &Device, rows: Rows<'_>, (vocab, dim): (usize, usize)) -> Result<Self, GpuError> {
        let (bytes, width): (&[u8], u64) = match rows {
            Rows::Halves(rows) => (bytemuck::cast_slice(rows), 2),
            Rows::Floats(rows) => (bytemuck::cast_slice(rows), 4),
        };
        let row_bytes = width * dim as u64;
        if bytes.len() as u64 != vocab as u64 * row_bytes {
            return Err(GpuError::Operands(format!("{} bytes for {vocab} rows of {dim}", bytes.len())));
        }
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
        if bytes.len() as u64 > device.facts().max_buffer_bytes {
            let why = format!("{} bytes, and a buffer holds {}", bytes.len(), device.facts().max_buffer_bytes);
            return Err(GpuError::TooLarge { rows: vocab, k: dim, why });
        }
        Ok(Self { buffer: device.buffer(bytes)?, windows, row_bytes, wide: width == 4 })
    }

    pub(super) fn part(&self, (first, rows): (usize, usize)) -> Part<'_> {
        let (offset, size) = (first as u64 * self.row_bytes, rows as u64 * self.row_bytes);
        Part { buffer: &self.buffer, offset, size: Some(size) }
    }
}

impl Layer {
    /// `before` are the weights of the product whose sums the block's first norm adds.
    pub(super) fn new(
        device: &Device,
        shape: &TextShape,
        w: &LayerWeights<'_>,
        before: Option<&PackedWeights>,
    ) -> Result<Self, GpuError> {
        let [q, k, v, output, gate, up, down] = w.matrices;
        let floats = |numbers: &[f32]| device.buffer(bytemuck::cast_slice(numbers));
        let scales = |of: &[&PackedWeights]| {
            let mut scales: Vec<f32> = of.iter().map(|weights| weights.tensor_scale().unwrap_or(1.0)).collect();
            scales.resize(4, 1.0);
            floats(&scales)
        };
        let of_rows = |of: &[&PackedWeights]| of.iter().any(|weights| weights.row_scales().is_some());
        let by_rows = [of_rows(&[q, k, v]), of_rows(&[output]), of_rows(&[gate, up]), of_rows(&[down])];
        let cache = || device.empty((2 * shape.context * shape.kv_heads * shape.head_dim) as u64);
        // Gains of so many elements, ones where there are none, then the scales of rows.
        let gains = |gains: Option<&[f32]>, elements: usize, of: &[&PackedWeights]| {
            let mut all = gains.unwrap_or_default().to_vec();
            all.resize(elements, 1.0);
            all.extend(row_scales(of)?);
            floats(&all)
        };
        let qk = w.qk_norms.map(|(q, k)| [q, k].concat());
        let before: Vec<&PackedWeights> = before.into_iter().collect();
        Ok(Self {
            qkv: Matrix::stacked(device, &[q, k, v])?,
            output: Matrix::new(device, output)?,
            gate_up: Matrix::stacked(device, &[gate, up])?,
            down: Matrix::new(device, down)?,
            scales: [scales(&[q, k, v])?, scales(&[output])?, scales(&[gate, up])?, scales(&[down])?],
            by_rows,
            attn_norm: gains(Some(w.attn_norm), shape.dim, &before)?,
            attn_sub_norm: (gains(w.attn_sub_norm, shape.q_dim(), &[])?, w.attn_sub_norm.is_some()),
            ffn_norm: gains(Some(w.ffn_norm), shape.dim, &[output])?,
            ffn_sub_norm: (gains(w.ffn_sub_norm, shape.ffn, &[gate, up])?, w.ffn_sub_norm.is_some()),
            qk_norms: qk.is_some(),
            head_gains: gains(qk.as_deref(), 2 * shape.head_dim, &[q, k, v])?,
            keys: cache()?,
            values: cache()?,
            k_at: Matrix::padded(q),
            v_at: Matrix::padded(q) + Matrix::padded(k),
            up_at: Matrix::padded(gate),
        })
    }
}

/// The scales of the rows of stacked matrices, padding included; none where no row has one.
pub(super) fn row_scales(of: &[&PackedWeights]) -> Result<Vec<f32>, GpuError> {
    if of.iter().any(|weights| weights.tensor_scale().is_none() && weights.row_scales().is_none()) {
        let what = "a matrix has scales of groups; on the GPU one a tensor or a row is multiplied";
        return Err(GpuError::Operands(what.into()));
    }
    if of.iter().all(|weights| weights.row_scales().is_none()) {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for weights in of {
        let end = all.len() + Matrix::padded(weights);
        match weights.row_scales() {
            Some(scales) => all.extend_from_slice(scales),
            None => all.resize(all.len() + weights.rows(), weights.tensor_scale().unwrap_or(1.0)),
        }
        all.resize(end, 0.0);
    }
    Ok(all)
}
