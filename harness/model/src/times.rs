//! Where a token's time goes: nanoseconds by phase and by operation, summed over tokens.

use std::time::Instant;

/// Sums of nanoseconds. The clock is read about ten times a block, well under 1% of the fastest block.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Times {
    /// Embedding row.
    pub embed: u64,
    /// All blocks.
    pub forward: u64,
    /// Final norm and head.
    pub logits: u64,
    /// Picking the token.
    pub sample: u64,
    /// Stop rules and text.
    pub stop_check: u64,
    /// Query, key and value projections.
    pub qkv: u64,
    /// Rope, scores, softmax, values.
    pub attention: u64,
    /// Attention output projection.
    pub attn_out: u64,
    /// Gate and up projections.
    pub gate_up: u64,
    /// Down projection.
    pub down: u64,
    /// Norms, activation function, residual additions.
    pub norms: u64,
    /// Quantising activations.
    pub activation_quant: u64,
}

impl Times {
    /// What was added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let (now, earlier): ([u64; 12], [u64; 12]) = (bytemuck::cast(*self), bytemuck::cast(*earlier));
        bytemuck::cast::<[u64; 12], _>(std::array::from_fn(|i| now[i] - earlier[i]))
    }
}

/// A stop watch: each call adds the time since the last one to a sum.
pub struct Lap(Instant);

impl Lap {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Adds the time since the last call (or the start) to `total`.
    pub fn add_to(&mut self, total: &mut u64) {
        let now = Instant::now();
        *total += now.duration_since(self.0).as_nanos() as u64;
        self.0 = now;
    }
}
