//! What choices are made on: the model's own matrices, packed for each candidate, and where a decoded token finds them.

use crate::error::{Error, Result};
use crate::machine::{Machine, host};
use kernels::conformance::{Expected, compare};
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    ActivationRule, CodeTable, F32Ops, Family, Kernel, KernelError, Layout, LinearInput, PackedWeights, Product,
    reference, stream,
};
use model::weights::Model;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most tokens of a batch that is probed: from here on, what a token costs does not change.
pub const MOST_TOKENS: usize = 24;
/// Packed bytes of a model in cache that are probed at most.
const MOST_BYTES: u64 = 4 << 20;

/// Matrices of one shape (`blk.N.ffn_gate.weight`), packed on first use in each layout, and the threads that will work.
pub struct Operands<'a> {
    model: &'a Model,
    pub team: Team,
    /// How many blocks' matrices a call goes through.
    blocks: usize,
    /// Whether a token's weights come from memory; else they stay in the caches.
    pub cold: bool,
    packed: HashMap<&'static Layout, Vec<PackedWeights>>,
    /// What packing took, a weight, by layout.
    pack_ns: HashMap<&'static Layout, f64>,
    x: Vec<f32>,
    input: LinearInput,
    tokens: usize,
    y: Vec<f32>,
    integers: Vec<i32>,
}

/// Whether the weights of one token leave the caches before they are read again: all packed matrices and the
/// head against the last-level cache that the system reports.
fn from_memory(model: &Model) -> bool {
    !host::fits_last_level(model.bytes_per_token())
}

impl<'a> Operands<'a> {
    /// Nothing is packed yet; activations will share scales by this rule.
    pub fn new(model: &'a Model, machine: &Machine, rule: ActivationRule) -> Result<Self> {
        let (c, cold) = (&model.config, from_memory(model));
        let matrix = (c.dim * c.ffn / 4) as u64;
        // From memory, each call's bytes are taken out of the caches first, so that one matrix does.
        let blocks = if cold { 1 } else { (MOST_BYTES / matrix.max(1)).clamp(1, c.layers as u64) as usize };
        let mut random = SplitMix64::new(1);
        Ok(Self {
            model,
            team: machine.team()?,
            blocks,
            cold,
            packed: HashMap::new(),
            pack_ns: HashMap::new(),
            x: (0..MOST_TOKENS * c.dim).map(|_| random.signed_unit()).collect(),
            input: LinearInput::by_rule(MOST_TOKENS, c.dim, rule, F32Ops::select(machine.features)),
            tokens: 0,
            y: vec![0.0; MOST_TOKENS * c.ffn],
            integers: vec![0; MOST_TOKENS * c.ffn],
        })
    }

    /// Packs what these kernels read, and makes so many tokens the input of the next calls.
    pub fn prepare(&mut self, kernels: &[Kernel], tokens: usize) -> Result<()> {
        for kernel in kernels {
            let layout = kernel.descriptor().layout;
            if self.packed.contains_key(layout) {
                continue;
            }
            let begun = Instant::now();
            let matrix = |block| {
                let name = format!("blk.{block}.ffn_gate.weight");
                self.model.matrix(&name, layout, CodeTable::TERNARY, &mut self.team)
            };
            let packed = (0..self.blocks).map(matrix).collect::<model::Result<Vec<_>>>()?;
            let weights = (self.blocks * self.model.config.dim * self.model.config.ffn) as f64;
            self.pack_ns.insert(layout, begun.elapsed().as_nanos() as f64 / weights.max(1.0));
            self.packed.insert(layout, packed);
        }
        let (Some(kernel), k) = (kernels.first(), self.model.config.dim) else { return Ok(()) };
        self.tokens = tokens;
        self.input.prepare(&mut self.team, kernel, k, &self.x[..tokens * k]).map_err(failed)
    }

    /// About how long packing the whole model in this layout takes, by what was packed of it for the probe.
    pub fn packing_time(&self, layout: &'static Layout) -> Duration {
        let ns = self.pack_ns.get(layout).copied().unwrap_or(0.0);
        Duration::from_nanos((ns * self.model.ternary_weights() as f64) as u64)
    }

    /// Part of a token's products that one call makes.
    pub fn share_of_model(&self) -> f64 {
        let call = self.blocks * self.model.config.dim * self.model.config.ffn;
        call as f64 / (self.model.ternary_weights() as f64).max(1.0)
    }

    /// Which activations share a scale.
    pub fn rule(&self) -> ActivationRule {
        self.input.rule()
    }

    /// The probed shape in words.
    pub fn shape(&self) -> String {
        let (c, where_) = (&self.model.config, if self.cold { "from memory" } else { "in cache" });
        format!("{}x{} {where_}", c.ffn, c.dim)
    }

    /// Takes the weights that this kernel reads out of the caches, where a token finds them in memory.
    pub fn ready(&mut self, kernel: &Kernel) {
        if self.cold {
            for weights in &self.packed[kernel.descriptor().layout] {
                stream::evict(&mut self.team, weights.code_bytes());
            }
        }
    }

    /// One product of each matrix with the input.
    pub fn call(&mut self, kernel: &Kernel) -> Result<()> {
        for weights in &self.packed[kernel.descriptor().layout] {
            let product = [Product { weights, y: &mut self.y[..self.tokens * weights.rows()] }];
            kernel.linear(&mut self.team, product, &self.input, &mut self.integers).map_err(failed)?;
        }
        Ok(())
    }

    /// Compares what the last call left of the last matrix with the oracle: nothing that is wrong is timed.
    pub fn check(&self, kernel: &Kernel) -> Result<()> {
        let Some(weights) = self.packed[kernel.descriptor().layout].last() else { return Ok(()) };
        // Three rows of the first and the last token: an oracle takes its time.
        let (m, grouped) = (weights.rows(), kernel.descriptor().family() == Family::W2gA8);
        let rows = [0, m / 3, m.saturating_sub(1)];
        for token in [0, self.tokens.saturating_sub(1)] {
            let x = &self.input.quantized[token];
            let got = rows.map(|row| self.y[token * m + row]);
            let want = |i: usize| {
                if grouped {
                    return Expected::exactly(reference::row_groups(weights, rows[i], x) * (1.0 / x.scale()));
                }
                let sum = Expected::integer(reference::row_i64(weights, rows[i], x.values()));
                // As the kernels do: one multiplication of the exact sum.
                Expected { value: f64::from(sum.value as f32 * (weights.scale_at(rows[i], 0) / x.scale())), ..sum }
            };
            compare(&got, 0.0, want).map_err(|mismatch| {
                Error::failed(format!("probe: {}: row {} is {mismatch}", kernel.id(), rows[mismatch.index]))
            })?;
        }
        Ok(())
    }
}

fn failed(e: KernelError) -> Error {
    Error::failed(format!("probe: {e}"))
}
