//! Where a token's time goes: nanoseconds by phase and by operation, summed over tokens.

use std::time::Instant;

/// Sums of nanoseconds. The clock is read about ten times a block, well under 1% of the fastest block.
#[derive(Clone, Copy, Debug, Default)]
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
        Self {
            embed: self.embed - earlier.embed,
            forward: self.forward - earlier.forward,
            logits: self.logits - earlier.logits,
            sample: self.sample - earlier.sample,
            stop_check: self.stop_check - earlier.stop_check,
            qkv: self.qkv - earlier.qkv,
            attention: self.attention - earlier.attention,
            attn_out: self.attn_out - earlier.attn_out,
            gate_up: self.gate_up - earlier.gate_up,
            down: self.down - earlier.down,
            norms: self.norms - earlier.norms,
            activation_quant: self.activation_quant - earlier.activation_quant,
        }
    }
}

/// A stop watch: each call returns the time since the last.
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
