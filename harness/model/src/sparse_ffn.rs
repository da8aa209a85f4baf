//! Skips zeros of the feed-forward block: where the gate is not positive the element is 0 whatever `up` gives, and a
//! column of `down` whose int8 activation is 0 adds nothing. Skipping both leaves every logit the same, bit for bit.
//!
//! So it is for a squared ReLU alone: SiLU is 0 nowhere but at 0. It was measured and tested with the norm that BitNet
//! has behind it, and a graph without one does not skip.
//!
//! It needs second copies of the weights: `up` by rows and `down` by columns. (Prompts are read in batches and use the
//! dense kernel.) Skipping reads less, but not in one stream, so it is faster only where few elements are live (not
//! zero). A probe at the start times both ways on the model's own matrices, and computes the live share at which they
//! take equal time, the crossover. Each block of each token is then skipped or not by its own live share. A text that
//! is too short to gain what the copies cost has none made.

use crate::error::{Error, Result};
use crate::kernel_weights::KernelWeights;
use crate::step::{FfnBuffers, Step};
use crate::weights::{Block, Model};
use kernels::parallel::Team;
use kernels::sparse::{ColumnWeights, LiveColumns, LiveRows, RowsProduct, SparseOps};
use kernels::{AlignedBuffer, CodeTable, Family, KernelError, PackedWeights, layouts, stream};

/// What a probe wants of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A call that is not timed, and a check of what it gave.
    Check,
    /// Whatever must be so before a timed call; not timed.
    Ready,
    /// A call that is timed.
    Timed,
}

/// Lets so many candidates take turns; each call has a [`Turn::Ready`] of its own where weights come from memory.
pub type Turns = fn(candidates: usize, from_memory: bool, call: &mut Call<'_>) -> Result<Timed>;

/// What turns measured.
#[derive(Clone, Debug)]
pub struct Timed {
    /// Each candidate's median microseconds a call.
    pub us: Vec<f64>,
    /// How many turns each had.
    pub passes: usize,
}

/// How choices are made at the start. They are the bench's: it has one way to make them, and says what a round is. What
/// is chosen between is in here, with the weights that only this crate has.
#[derive(Clone, Copy, Debug)]
pub struct Choosing {
    /// Lets candidates take turns.
    pub turns: Turns,
    /// Which of these times is taken; a tie goes to the first of those that tie.
    pub taken: fn(us: &[f64]) -> usize,
    /// Whether so many bytes stay in the caches until they are read again.
    pub fits_caches: fn(bytes: u64) -> bool,
    /// Most tokens that will be computed one by one: the copies are made only where so many may gain what making them
    /// costs. `None` makes them whatever they cost, for a run that is about skipping.
    pub tokens: Option<usize>,
}

/// One call of a candidate.
pub type Call<'a> = dyn FnMut(usize, Turn) -> Result<()> + 'a;

/// When single tokens skip the elements that the gate makes zero.
#[derive(Clone, Copy, Debug)]
pub enum Sparsity {
    /// Every element is computed: nothing is skipped.
    Dense,
    /// A block skips where its live share is below the crossover, which a probe measures in this way.
    Measured(Choosing),
    /// Every block skips, whatever its live share.
    Always,
}

/// Times of the probe, dense and with zeros skipped, and the crossover that follows from them.
#[derive(Clone, Debug)]
pub struct Probe {
    /// `up` and `down` of a block, dense: median over passes of the mean over blocks, in microseconds.
    pub dense_us: f64,
    /// The two live shares that the probe measured, from 0 to 1.
    pub shares: [f64; 2],
    /// The same products at these shares with zeros skipped, in microseconds.
    pub sparse_us: [f64; 2],
    /// Live share at which both ways take equal time, between 0 and 1.
    pub crossover: f64,
    /// Every implementation of the sparse products that was timed, with the mean of its times at the two shares in
    /// microseconds, in the order in which they are wanted where times tie.
    pub forms: Vec<(&'static str, f64)>,
    /// Which of them was taken.
    pub taken: usize,
    /// How often every candidate had its turn.
    pub passes: usize,
    /// What the text can gain at most and what the copies cost, in seconds: where they were not made.
    pub too_short: Option<(f64, f64)>,
}

/// How zeros are skipped, and how many there were since the last reset.
#[derive(Clone, Debug)]
pub struct Summary {
    /// When zeros are skipped: `dense`, `measured` or `always`.
    pub mode: &'static str,
    /// Name of the implementation of the sparse products, for example `sparse-avx2`.
    pub operations: &'static str,
    /// Live share below which a block is skipped.
    pub crossover: f64,
    /// Times that the probe measured, if it ran.
    pub probe: Option<Probe>,
    /// Memory of the extra copies of the weights, in bytes.
    pub extra_bytes: u64,
    /// Mean share of live gates, from 0 to 1, one value for each block.
    pub live_share: Vec<f64>,
    /// Mean share of live columns of `down` in steps that skipped, one value for each block.
    pub live_columns_share: Vec<f64>,
    /// Share of steps that skipped, from 0 to 1, over all blocks.
    pub sparse_steps_share: f64,
}

/// One block's extra copies.
struct Layer {
    /// `None` where the dense kernel's packing stores whole rows already.
    up: Option<PackedWeights>,
    down: ColumnWeights,
}

impl Layer {
    fn bytes(&self) -> usize {
        self.up.as_ref().map_or(0, PackedWeights::bytes) + self.down.bytes()
    }
}

/// What one block did since the last reset.
#[derive(Clone, Copy, Default)]
struct Counts {
    steps: u64,
    sparse_steps: u64,
    live_rows: u64,
    live_columns: u64,
    /// Bytes that skipping did not read.
    saved: i64,
}

/// Skips zeros of the feed-forward blocks: weights, lists, counters. Made once; a step allocates nothing.
pub struct SparseFfn {
    mode: Sparsity,
    ops: SparseOps,
    layers: Vec<Layer>,
    rows: LiveRows,
    columns: LiveColumns,
    sums: AlignedBuffer<i32>,
    crossover: f64,
    probe: Option<Probe>,
    counts: Vec<Counts>,
}

impl SparseFfn {
    /// Copies of no block yet; [`Self::pack`] makes them. It skips always until a probe says where it pays. `None` when
    /// `mode` is dense, the kernel is not an exact int8 kernel, activations have several scales a token, or the graph's
    /// activation function gives no exact zeros.
    pub(crate) fn new(mode: Sparsity, model: &Model, weights: &KernelWeights, ops: SparseOps) -> Option<Self> {
        let (descriptor, c) = (weights.kernel().descriptor(), &model.config);
        let exact = descriptor.family() == Family::W2A8 && descriptor.exact();
        let zeros = model.skips();
        // The products that skip take one scale and three codes.
        let plain = |w: &PackedWeights| w.table() == CodeTable::TERNARY && w.tensor_scale().is_some();
        let plain = weights.weights().blocks.iter().all(|block| plain(&block.up) && plain(&block.down));
        if matches!(mode, Sparsity::Dense) || !exact || !zeros || !plain {
            return None;
        }
        Some(Self {
            mode,
            ops,
            rows: LiveRows::new(c.ffn, c.dim),
            columns: LiveColumns::new(c.ffn),
            sums: AlignedBuffer::zeroed(0),
            crossover: 1.0,
            probe: None,
            counts: vec![Counts::default(); c.layers],
            layers: Vec::with_capacity(c.layers),
        })
    }

    /// Packs the extra copies of the first `blocks` blocks, those that are there already left out.
    pub(crate) fn pack(
        &mut self,
        model: &Model,
        weights: &KernelWeights,
        blocks: usize,
        team: &mut Team,
    ) -> Result<()> {
        let failed = |e: KernelError| Error::failed(format!("{}: sparse FFN: {e}", model.gguf.path.display()));
        for number in self.layers.len()..blocks {
            let mut matrix = |name: &str| {
                model.matrix(&format!("blk.{number}.{name}.weight"), &layouts::I2S, CodeTable::TERNARY, team)
            };
            let up = if weights.weights().layout == &layouts::I2S { None } else { Some(matrix("ffn_up")?) };
            let down = matrix("ffn_down")?;
            self.layers.push(Layer { up, down: ColumnWeights::from_packed(&down, team).map_err(failed)? });
        }
        let padded_rows = self.layers.iter().map(|l| l.down.padded_rows()).max().unwrap_or(0);
        if self.sums.len() != padded_rows {
            self.sums = AlignedBuffer::zeroed(padded_rows);
        }
        Ok(())
    }

    /// Skips with these products, below the crossover of the probe that chose them, from now on.
    pub(crate) fn decide_by(&mut self, ops: SparseOps, probe: Probe) {
        (self.ops, self.crossover) = (ops, probe.crossover);
        self.probe = Some(probe);
    }

    /// How many of the first blocks have copies.
    pub(crate) fn blocks(&self) -> usize {
        self.layers.len()
    }

    /// Computes the sparse products with `ops` from now on: the same bits.
    pub(crate) fn compute_with(&mut self, ops: SparseOps) {
        self.ops = ops;
    }

    /// Takes the copies of one block out of the caches.
    pub(crate) fn evict(&self, team: &mut Team, layer: usize, in_rows: &PackedWeights) {
        let Layer { up, down } = &self.layers[layer];
        stream::evict(team, up.as_ref().unwrap_or(in_rows).code_bytes());
        stream::evict(team, down.code_bytes());
    }

    /// Implementation of the sparse products.
    pub(crate) fn operations(&self) -> &'static str {
        self.ops.id()
    }

    /// Marks the elements of `gate` above 0 as live.
    pub(crate) fn set_live(&mut self, gate: &[f32]) -> std::result::Result<(), KernelError> {
        self.rows.set_positive(self.ops, gate)
    }

    /// Sets the counters of live and skipped elements to 0.
    pub fn reset(&mut self) {
        self.counts.fill(Counts::default());
    }

    /// Mean bytes a token that skipping did not read, since the last reset. Negative where the dense packing is smaller
    /// and nearly all elements are live.
    pub fn saved_bytes_per_token(&self) -> i64 {
        self.counts.iter().map(|c| c.saved.checked_div(c.steps as i64).unwrap_or(0)).sum()
    }

    /// The probe, the mode, and the live shares since the last reset.
    pub fn summary(&self) -> Summary {
        let c = || self.counts.iter().zip(&self.layers);
        let share = |part: u64, steps: u64, of: usize| {
            if steps == 0 { 0.0 } else { part as f64 / (steps * of as u64) as f64 }
        };
        Summary {
            mode: match self.mode {
                Sparsity::Dense => "dense",
                Sparsity::Measured(_) => "measured",
                Sparsity::Always => "always",
            },
            operations: self.operations(),
            crossover: self.crossover,
            probe: self.probe.clone(),
            extra_bytes: self.layers.iter().map(|l| l.bytes() as u64).sum(),
            live_share: c().map(|(c, l)| share(c.live_rows, c.steps, l.down.k())).collect(),
            live_columns_share: c().map(|(c, l)| share(c.live_columns, c.sparse_steps, l.down.k())).collect(),
            sparse_steps_share: share(c().map(|(c, _)| c.sparse_steps).sum(), c().map(|(c, _)| c.steps).sum(), 1),
        }
    }

    /// The feed-forward block of one token, from gate to output: the same bits as the dense path.
    pub(crate) fn run(
        &mut self,
        s: &mut Step<'_>,
        block: &Block,
        layer: usize,
        b: FfnBuffers<'_>,
    ) -> std::result::Result<(), KernelError> {
        s.product(&block.gate, b.gate)?;
        self.rows.set_positive(self.ops, b.gate)?;
        let sparse = matches!(self.mode, Sparsity::Always) || self.rows.share() < self.crossover;
        let counts = &mut self.counts[layer];
        counts.steps += 1;
        counts.live_rows += self.rows.rows().len() as u64;
        if sparse {
            self.live_up(s, layer, &block.up, b.up)?;
        } else {
            s.product(&block.up, b.up)?;
        }
        s.took(|times| &mut times.gate_up);
        let width = block.up.rows();
        s.gated((b.gate, b.up), block.ffn_sub_norm.as_deref(), width, b.gated);
        s.quantise(b.gated, width)?;
        if sparse {
            self.live_down(s, layer, b.out)?;
            self.count(block, layer);
        } else {
            s.product(&block.down, b.out)?;
        }
        s.took(|times| &mut times.down);
        Ok(())
    }

    fn count(&mut self, block: &Block, layer: usize) {
        let (counts, layer) = (&mut self.counts[layer], &self.layers[layer]);
        counts.sparse_steps += 1;
        counts.live_columns += self.columns.count() as u64;
        let row_bytes = layouts::I2S.panel_bytes(block.up.k());
        let column_bytes = layer.down.bytes().checked_div(layer.down.k()).unwrap_or(0);
        let read = self.rows.rows().len() * row_bytes + self.columns.count() * column_bytes;
        counts.saved += (block.up.bytes() + block.down.bytes()) as i64 - read as i64;
    }

    /// `up` where the gate is positive, 0 elsewhere.
    pub(crate) fn live_up(
        &mut self,
        s: &mut Step<'_>,
        layer: usize,
        in_rows: &PackedWeights,
        up: &mut [f32],
    ) -> std::result::Result<(), KernelError> {
        let weights = self.layers[layer].up.as_ref().unwrap_or(in_rows);
        let x = &s.input.quantized[0];
        let y = &mut s.integers[..self.rows.rows().len()];
        self.ops.rows(s.team, &mut self.rows, RowsProduct { weights, x, y })?;
        let scale = weights.tensor_scale().ok_or(KernelError::ScalesNotPerTensor { layout: weights.layout() })?;
        let factor = scale / x.scale();
        up.fill(0.0);
        // The same two operations as `F32Ops::scale_integers`, so the same bits.
        self.rows.rows().iter().zip(&s.integers[..]).for_each(|(&row, sum)| up[row as usize] = *sum as f32 * factor);
        Ok(())
    }

    /// `down` from the columns whose activation is not 0.
    pub(crate) fn live_down(
        &mut self,
        s: &mut Step<'_>,
        layer: usize,
        out: &mut [f32],
    ) -> std::result::Result<(), KernelError> {
        let (x, down) = (&s.input.quantized[0], &self.layers[layer].down);
        self.columns.set(self.ops, x)?;
        let sums = &mut self.sums[..down.padded_rows()];
        self.ops.columns(s.team, down, &self.columns, sums)?;
        s.ops.scale_integers(&sums[..down.rows()], down.scale() / x.scale(), out);
        Ok(())
    }
}
