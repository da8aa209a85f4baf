//! Skips zeros of the feed-forward block: where the gate is not positive the element is 0 whatever `up` gives, and a
//! column of `down` whose int8 activation is 0 adds nothing. Skipping both leaves every logit the same, bit for bit.
//!
//! It needs second copies of the weights: `up` by rows and `down` by columns. (Prompts are read in batches and use the
//! dense kernel.) Skipping reads less, but not in one stream, so it is faster only where few elements are live (not
//! zero). A probe at the start times both ways on the model's own matrices, layer after layer so that a large model is
//! read from memory, and computes the live share at which they take equal time, the crossover. Each block of each token
//! is then skipped or not by its own live share.

use crate::error::{Error, Result};
use crate::times::{Lap, Times};
use crate::weights::{Block, Model, Weights};
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::sparse::{ColumnWeights, LiveColumns, LiveRows, RowsProduct, SparseOps};
use kernels::{
    AlignedBuffer, CodeTable, CpuFeatures, F32Ops, Family, Kernel, KernelError, LinearInput, Norm, PackedWeights,
    Product, layouts,
};
use std::time::{Duration, Instant};

/// When to skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sparsity {
    /// Never.
    Dense,
    /// Where the live share is below the measured crossover.
    Measured,
    /// Always.
    Always,
}

impl Sparsity {
    /// From the flags `--dense` and `--sparse`, which exclude each other.
    pub fn from_flags(dense: bool, sparse: bool, neither: Self) -> Self {
        if dense {
            Self::Dense
        } else if sparse {
            Self::Always
        } else {
            neither
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Measured => "measured",
            Self::Always => "always",
        }
    }
}

/// Live shares at which the probe measures. The time at other shares is taken from a straight line through the two.
const PROBED: [f64; 2] = [0.1, 0.4];
/// Length of the probe, at least two passes over the layers.
const PROBE: Duration = Duration::from_millis(150);

/// What the probe measured.
#[derive(Clone, Debug)]
pub struct Probe {
    /// `up` and `down` of a block, dense: median microseconds.
    pub dense_us: f64,
    /// Live shares that were measured.
    pub shares: [f64; 2],
    /// The same products at these shares.
    pub sparse_us: [f64; 2],
    /// Live share at which both ways take equal time, between 0 and 1.
    pub crossover: f64,
}

/// How it skips, and what it did since the last reset.
#[derive(Clone, Debug)]
pub struct Summary {
    /// dense, measured or always.
    pub mode: &'static str,
    /// Implementation of the sparse products.
    pub operations: &'static str,
    /// Live share below which a block is skipped.
    pub crossover: f64,
    /// The probe, if there was one.
    pub probe: Option<Probe>,
    /// Memory of the extra copies.
    pub extra_bytes: u64,
    /// Mean share of live gates, by block.
    pub live_share: Vec<f64>,
    /// Mean share of live columns of `down` in steps that skipped, by block.
    pub live_columns_share: Vec<f64>,
    /// Share of steps that skipped.
    pub sparse_steps_share: f64,
}

/// One block's extra copies.
struct Layer {
    /// `None` where the dense kernel's packing stores whole rows already.
    up: Option<PackedWeights>,
    down: ColumnWeights,
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

/// Everything that skipping needs. Made once; a step allocates nothing.
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

/// One block's feed-forward part for one token.
pub(crate) struct Step<'a> {
    pub layer: usize,
    pub block: &'a Block,
    pub kernel: &'a Kernel,
    pub team: &'a mut Team,
    pub ops: F32Ops,
    pub eps: f32,
    /// The block's normalised and quantised input; used for `down`'s too.
    pub input: &'a mut LinearInput,
    pub integers: &'a mut [i32],
    pub gate: &'a mut [f32],
    pub up: &'a mut [f32],
    pub normed: &'a mut [f32],
    pub out: &'a mut [f32],
    pub lap: &'a mut Lap,
    pub times: &'a mut Times,
}

impl SparseFfn {
    /// Packs the extra copies and runs the probe if `mode` asks for it. `None` when `mode` is dense or the kernel is
    /// not an exact int8 kernel.
    pub fn new(
        mode: Sparsity,
        model: &Model,
        weights: &Weights,
        kernel: &Kernel,
        team: &mut Team,
        features: CpuFeatures,
    ) -> Result<Option<Self>> {
        let descriptor = kernel.descriptor();
        if mode == Sparsity::Dense || descriptor.family() != Family::W2A8 || !descriptor.exact() {
            return Ok(None);
        }
        let failed = |e: KernelError| Error::failed(format!("{}: sparse FFN: {e}", model.path().display()));
        let c = &model.config;
        let mut layer = |number: usize| {
            let mut matrix = |name: &str| {
                model.matrix(&format!("blk.{number}.{name}.weight"), &layouts::I2S, CodeTable::TERNARY, team)
            };
            let up = if weights.layout == &layouts::I2S { None } else { Some(matrix("ffn_up")?) };
            Ok(Layer { up, down: ColumnWeights::from_packed(&matrix("ffn_down")?).map_err(failed)? })
        };
        let layers = (0..c.layers).map(&mut layer).collect::<Result<Vec<_>>>()?;
        let padded_rows = layers.iter().map(|l| l.down.padded_rows()).max().unwrap_or(0);
        let mut this = Self {
            mode,
            ops: SparseOps::select(features),
            rows: LiveRows::new(c.ffn, c.dim),
            columns: LiveColumns::new(c.ffn),
            sums: AlignedBuffer::zeroed(padded_rows),
            crossover: 1.0,
            probe: None,
            counts: vec![Counts::default(); c.layers],
            layers,
        };
        if mode == Sparsity::Measured {
            let probe = this.measure(weights, kernel, team, F32Ops::select(features)).map_err(failed)?;
            this.crossover = probe.crossover;
            this.probe = Some(probe);
        }
        Ok(Some(this))
    }

    /// For measuring a block without a model: skips always. Each copy of the block is `up` by rows and `down` by
    /// columns.
    pub fn from_matrices(copies: Vec<(PackedWeights, ColumnWeights)>, features: CpuFeatures) -> Self {
        let (ffn, dim) = copies.first().map_or((0, 0), |(up, _)| (up.rows(), up.k()));
        let layers: Vec<Layer> = copies.into_iter().map(|(up, down)| Layer { up: Some(up), down }).collect();
        Self {
            mode: Sparsity::Always,
            ops: SparseOps::select(features),
            rows: LiveRows::new(ffn, dim),
            columns: LiveColumns::new(ffn),
            sums: AlignedBuffer::zeroed(layers.iter().map(|l| l.down.padded_rows()).max().unwrap_or(0)),
            crossover: 1.0,
            probe: None,
            counts: vec![Counts::default(); layers.len()],
            layers,
        }
    }

    /// Implementation of the sparse products.
    pub fn operations(&self) -> &'static str {
        self.ops.id()
    }

    /// Marks the elements of `gate` above 0 as live.
    pub fn set_live(&mut self, gate: &[f32]) -> std::result::Result<(), KernelError> {
        self.rows.set_positive(self.ops, gate)
    }

    /// Live columns of the last `down`.
    pub fn live_columns(&self) -> usize {
        self.columns.count()
    }

    /// Sets the counters to 0.
    pub fn reset(&mut self) {
        self.counts.fill(Counts::default());
    }

    /// Memory of the extra copies.
    pub fn extra_bytes(&self) -> u64 {
        self.layers.iter().map(|l| (l.up.as_ref().map_or(0, PackedWeights::bytes) + l.down.bytes()) as u64).sum()
    }

    /// Mean bytes a token that skipping did not read, since the last reset. Negative where the dense packing is smaller
    /// and nearly all elements are live.
    pub fn saved_bytes_per_token(&self) -> i64 {
        self.counts.iter().map(|c| c.saved.checked_div(c.steps as i64).unwrap_or(0)).sum()
    }

    /// The probe, the mode, and the live shares since the last reset.
    pub fn summary(&self) -> Summary {
        let c = || self.counts.iter();
        let share = |part: u64, steps: u64, of: usize| {
            if steps == 0 { 0.0 } else { part as f64 / (steps * of as u64) as f64 }
        };
        let ffn = |layer: usize| self.layers[layer].down.k();
        Summary {
            mode: self.mode.name(),
            operations: self.ops.id(),
            crossover: self.crossover,
            probe: self.probe.clone(),
            extra_bytes: self.extra_bytes(),
            live_share: c().enumerate().map(|(i, c)| share(c.live_rows, c.steps, ffn(i))).collect(),
            live_columns_share: c().enumerate().map(|(i, c)| share(c.live_columns, c.sparse_steps, ffn(i))).collect(),
            sparse_steps_share: share(c().map(|c| c.sparse_steps).sum(), c().map(|c| c.steps).sum(), 1),
        }
    }

    /// The feed-forward block of one token, from gate to output: the same bits as the dense path.
    pub(crate) fn step(&mut self, mut s: Step<'_>) -> std::result::Result<(), KernelError> {
        s.kernel.linear(s.team, [Product { weights: &s.block.gate, y: s.gate }], s.input, s.integers)?;
        self.rows.set_positive(self.ops, s.gate)?;
        let sparse = self.mode == Sparsity::Always || self.rows.share() < self.crossover;
        let counts = &mut self.counts[s.layer];
        counts.steps += 1;
        counts.live_rows += self.rows.rows().len() as u64;
        if sparse {
            self.live_up(s.team, s.layer, &s.block.up, s.input, s.integers, s.up)?;
        } else {
            s.kernel.linear(s.team, [Product { weights: &s.block.up, y: s.up }], s.input, s.integers)?;
        }
        s.lap.add_to(&mut s.times.gate_up);
        s.ops.gated_rms_norm(s.gate, s.up, Norm { gain: &s.block.ffn_sub_norm, eps: s.eps }, s.normed);
        s.lap.add_to(&mut s.times.norms);
        s.input.prepare(s.team, s.kernel, s.normed.len(), s.normed)?;
        s.lap.add_to(&mut s.times.activation_quant);
        if sparse {
            self.live_down(s.team, s.ops, s.layer, s.input, s.out)?;
            self.count(&mut s);
        } else {
            s.kernel.linear(s.team, [Product { weights: &s.block.down, y: s.out }], s.input, s.integers)?;
        }
        s.lap.add_to(&mut s.times.down);
        Ok(())
    }

    fn count(&mut self, s: &mut Step<'_>) {
        let (counts, layer) = (&mut self.counts[s.layer], &self.layers[s.layer]);
        counts.sparse_steps += 1;
        counts.live_columns += self.columns.count() as u64;
        let row_bytes = layouts::I2S.panel_bytes(s.block.up.k());
        let column_bytes = layer.down.bytes().checked_div(layer.down.k()).unwrap_or(0);
        let read = self.rows.rows().len() * row_bytes + self.columns.count() * column_bytes;
        counts.saved += (s.block.up.bytes() + s.block.down.bytes()) as i64 - read as i64;
    }

    /// `up` where the gate is positive, 0 elsewhere.
    pub fn live_up(
        &mut self,
        team: &mut Team,
        layer: usize,
        in_rows: &PackedWeights,
        input: &LinearInput,
        integers: &mut [i32],
        up: &mut [f32],
    ) -> std::result::Result<(), KernelError> {
        let weights = self.layers[layer].up.as_ref().unwrap_or(in_rows);
        let x = &input.quantized[0];
        let sums = &mut integers[..self.rows.rows().len()];
        self.ops.rows(team, &mut self.rows, RowsProduct { weights, x, y: &mut *sums })?;
        let scale = weights.tensor_scale().ok_or(KernelError::ScalesNotPerTensor { layout: weights.layout() })?;
        let factor = scale / x.scale();
        up.fill(0.0);
        // The same two operations as `F32Ops::scale_integers`, so the same bits.
        self.rows.rows().iter().zip(sums).for_each(|(&row, sum)| up[row as usize] = *sum as f32 * factor);
        Ok(())
    }

    /// `down` from the columns whose activation is not 0.
    pub fn live_down(
        &mut self,
        team: &mut Team,
        ops: F32Ops,
        layer: usize,
        input: &LinearInput,
        out: &mut [f32],
    ) -> std::result::Result<(), KernelError> {
        let (x, down) = (&input.quantized[0], &self.layers[layer].down);
        self.columns.set(self.ops, x)?;
        let sums = &mut self.sums[..down.padded_rows()];
        self.ops.columns(team, down, &self.columns, sums)?;
        ops.scale_integers(&sums[..down.rows()], down.scale() / x.scale(), out);
        Ok(())
    }

    /// The probe: times `up` and `down` dense and at two live shares, each in passes over all layers, and computes the
    /// crossover.
    fn measure(
        &mut self,
        weights: &Weights,
        kernel: &Kernel,
        team: &mut Team,
        ops: F32Ops,
    ) -> std::result::Result<Probe, KernelError> {
        let Some(first) = weights.blocks.first() else {
            return Ok(Probe { dense_us: 0.0, shares: PROBED, sparse_us: [0.0; 2], crossover: 1.0 });
        };
        let (ffn, dim) = (first.up.rows(), first.up.k());
        let mut random = SplitMix64::new(1);
        // The two sets of live elements are disjoint, so that neither finds its weights in a cache that the other
        // filled.
        let place: Vec<f64> = (0..ffn).map(|_| f64::from(random.below(1 << 20)) / f64::from(1 << 20)).collect();
        let live = |range: std::ops::Range<f64>| place.iter().map(move |p| if range.contains(p) { 1.0 } else { 0.0 });
        let gates: [Vec<f32>; 2] = [live(0.0..PROBED[0]).collect(), live(PROBED[0]..PROBED[0] + PROBED[1]).collect()];
        let mut prepared = |team: &mut Team, k: usize, mask: Option<&[f32]>| {
            let value = |_| (1.0 + random.signed_unit() / 2.0) * [1.0, -1.0][random.below(2) as usize];
            let mut x: Vec<f32> = (0..k).map(value).collect();
            x.iter_mut().zip(mask.unwrap_or(&[])).for_each(|(x, live)| *x *= live);
            let mut input = LinearInput::new(1, k, ops);
            input.prepare(team, kernel, k, &x).map(|()| input)
        };
        let wide = prepared(team, dim, None)?;
        let dense = prepared(team, ffn, None)?;
        let thin = [prepared(team, ffn, Some(&gates[0]))?, prepared(team, ffn, Some(&gates[1]))?];
        let (mut up, mut out, mut integers) = (vec![0f32; ffn], vec![0f32; dim], vec![0i32; ffn.max(dim)]);
        let mut times: [Vec<f64>; 3] = Default::default();
        let start = Instant::now();
        for pass in 0.. {
            for (variant, times) in times.iter_mut().enumerate() {
                for (layer, block) in weights.blocks.iter().enumerate() {
                    let lap = Instant::now();
                    match variant.checked_sub(1) {
                        None => {
                            kernel.linear(team, [Product { weights: &block.up, y: &mut up }], &wide, &mut integers)?;
                            kernel.linear(
                                team,
                                [Product { weights: &block.down, y: &mut out }],
                                &dense,
                                &mut integers,
                            )?;
                        }
                        Some(i) => {
                            self.rows.set_positive(self.ops, &gates[i])?;
                            self.live_up(team, layer, &block.up, &wide, &mut integers, &mut up)?;
                            self.live_down(team, ops, layer, &thin[i], &mut out)?;
                        }
                    }
                    // The first pass includes page faults and is not counted.
                    if pass > 0 {
                        times.push(lap.elapsed().as_secs_f64() * 1e6);
                    }
                }
            }
            if pass > 0 && start.elapsed() >= PROBE {
                break;
            }
        }
        let [dense_us, at_low, at_high] = times.map(|t| median(&t));
        let slope = (at_high - at_low) / (PROBED[1] - PROBED[0]);
        let crossover = match slope > 0.0 {
            true => (PROBED[0] + (dense_us - at_low) / slope).clamp(0.0, 1.0),
            false => f64::from(at_low < dense_us),
        };
        Ok(Probe { dense_us, shares: PROBED, sparse_us: [at_low, at_high], crossover })
    }
}

/// The median; 0 for nothing.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0]), median(&[])), (2.0, 2.5, 0.0));
    }
}
