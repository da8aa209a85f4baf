//! Where a token's time goes: nanoseconds by phase and by operation, summed over tokens.

use std::time::Instant;

/// Nanoseconds by phase and operation, summed. The clock is read about ten times a block, under 1% of the fastest
/// block.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Times {
    /// Nanoseconds for looking up embedding rows.
    pub embed: u64,
    /// Nanoseconds in all blocks together.
    pub forward: u64,
    /// Nanoseconds for the final norm and the output head.
    pub logits: u64,
    /// Nanoseconds for picking tokens.
    pub sample: u64,
    /// Nanoseconds for stop rules and text.
    pub stop_check: u64,
    /// Nanoseconds for the query, key and value projections.
    pub qkv: u64,
    /// Nanoseconds for attention: rope, scores, softmax, values.
    pub attention: u64,
    /// Nanoseconds for the attention output projection.
    pub attn_out: u64,
    /// Nanoseconds for the gate and up projections.
    pub gate_up: u64,
    /// Nanoseconds for the down projection.
    pub down: u64,
    /// Nanoseconds for norms, activation function and residual additions.
    pub norms: u64,
    /// Nanoseconds for quantising activations.
    pub activation_quant: u64,
}

impl Times {
    /// The times that were added since the copy `earlier` was taken.
    pub fn since(&self, earlier: &Self) -> Self {
        let (now, earlier): ([u64; 12], [u64; 12]) = (bytemuck::cast(*self), bytemuck::cast(*earlier));
        bytemuck::cast::<[u64; 12], _>(std::array::from_fn(|i| now[i] - earlier[i]))
    }
}

/// A stop watch: each call adds the time since the last one to a sum.
pub struct Lap(Instant);

impl Lap {
    /// A stop watch that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Adds the nanoseconds since the last call (or the start) to `total`.
    pub fn add_to(&mut self, total: &mut u64) {
        let now = Instant::now();
        *total += now.duration_since(self.0).as_nanos() as u64;
        self.0 = now;
    }
}
