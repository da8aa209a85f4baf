//! Buffers of a text: what its dispatches hand to each other.

use super::shape::TextShape;
use super::{BATCH, PART};
use crate::device::Device;
use crate::error::GpuError;
use crate::product::TOKEN_WORDS;

/// A token's activations as int8 and their numbers, of a batch.
pub(super) struct Rounded {
    pub(super) ints: wgpu::Buffer,
    pub(super) numbers: wgpu::Buffer,
}

impl Rounded {
    fn new(device: &Device, k: usize) -> Result<Self, GpuError> {
        let ints = device.empty((BATCH * k.next_multiple_of(64)) as u64)?;
        let numbers = device.empty((4 * TOKEN_WORDS * BATCH) as u64)?;
        Ok(Self { ints, numbers })
    }
}

/// The buffers that all layers share, each of a batch of tokens.
pub(super) struct Buffers {
    pub(super) ids: wgpu::Buffer,
    /// Position, tokens of the batch, the token whose logits are computed.
    pub(super) state: wgpu::Buffer,
    pub(super) stream: wgpu::Buffer,
    /// Normed numbers before they are rounded; at the end the head's input.
    pub(super) scratch: wgpu::Buffer,
    pub(super) sums: wgpu::Buffer,
    pub(super) queries: wgpu::Buffer,
    pub(super) parts: wgpu::Buffer,
    /// Inputs of the four products of a layer.
    pub(super) of_qkv: Rounded,
    pub(super) of_output: Rounded,
    pub(super) of_gate_up: Rounded,
    pub(super) of_down: Rounded,
    pub(super) angles: wgpu::Buffer,
    pub(super) logits: wgpu::Buffer,
    pub(super) best: wgpu::Buffer,
    /// What a binding points to that its shader does not use.
    pub(super) nothing: wgpu::Buffer,
}

impl Buffers {
    pub(super) fn new(device: &Device, shape: &TextShape, angles: &[f32], widest: usize) -> Result<Self, GpuError> {
        let floats = |elements: usize| device.empty(4 * elements as u64);
        let q_dim = shape.heads * shape.head_dim;
        let longest = shape.dim.max(q_dim).max(shape.ffn);
        Ok(Self {
            ids: floats(BATCH)?,
            state: floats(4)?,
            stream: floats(BATCH * shape.dim)?,
            scratch: floats(BATCH * longest)?,
            sums: floats(BATCH * widest)?,
            queries: floats(BATCH * q_dim)?,
            parts: floats(BATCH * shape.heads * shape.context.div_ceil(PART) * (shape.head_dim + 2))?,
            of_qkv: Rounded::new(device, shape.dim)?,
            of_output: Rounded::new(device, q_dim)?,
            of_gate_up: Rounded::new(device, shape.dim)?,
            of_down: Rounded::new(device, shape.ffn)?,
            angles: device.buffer(bytemuck::cast_slice(angles))?,
            logits: floats(shape.vocab)?,
            best: floats(2 * 64)?,
            nothing: floats(longest)?,
        })
    }
}
