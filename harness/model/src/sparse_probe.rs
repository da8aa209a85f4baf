//! The probe of sparse feed-forward blocks: `up` and `down` dense and at two live shares, on the model's own matrices,
//! layer after layer, so that a large model is read from memory. A straight line through the two shares says from which
//! one on skipping is slower.

use crate::error::{Error, Result};
use crate::kernel_weights::KernelWeights;
use crate::sparse_ffn::{Probe, SparseFfn, Turns};
use crate::step::Step;
use crate::times::{Lap, Times};
use crate::weights::Block;
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{F32Ops, KernelError, LinearInput};

/// Live shares at which the probe measures.
const PROBED: [f64; 2] = [0.1, 0.4];

/// What the timed calls share.
struct Bench<'a> {
    weights: &'a KernelWeights,
    sparse: &'a mut SparseFfn,
    ops: F32Ops,
    team: &'a mut Team,
    integers: Vec<i32>,
    times: Times,
    /// Input of `up`.
    wide: LinearInput,
    /// Inputs of `down`: all elements, and those that live at each share.
    full: LinearInput,
    thin: [LinearInput; 2],
    /// Positive where an element lives.
    gates: [Vec<f32>; 2],
    up: Vec<f32>,
    out: Vec<f32>,
}

/// Which elements a call computes: all of them, or those that live at this one of the shares.
type Way = Option<usize>;

const WAYS: [Way; 3] = [None, Some(0), Some(1)];

/// Times the dense way and the sparse one at two shares, and lets `sparse` skip below the share at which they take
/// equal time.
pub(crate) fn measure(
    sparse: &mut SparseFfn,
    weights: &KernelWeights,
    ops: F32Ops,
    team: &mut Team,
    turns: Turns,
) -> Result<()> {
    let blocks = &weights.weights().blocks;
    let Some(first) = blocks.first() else { return Ok(()) };
    let id = weights.kernel().id();
    let failed = |e: KernelError| Error::failed(format!("sparse FFN with {id}: {e}"));
    let mut bench = Bench::new(sparse, weights, ops, team, first).map_err(failed)?;
    let us = turns(WAYS.len(), &mut |way, first| {
        for (layer, block) in blocks.iter().enumerate() {
            bench.call(WAYS[way], layer, block).map_err(failed)?;
            if first {
                bench.check(WAYS[way], layer, block)?;
            }
        }
        Ok(())
    })?;
    let [dense_us, at_low, at_high] = [0, 1, 2].map(|way: usize| us[way] / blocks.len() as f64);
    let slope = (at_high - at_low) / (PROBED[1] - PROBED[0]);
    let crossover = match slope > 0.0 {
        true => (PROBED[0] + (dense_us - at_low) / slope).clamp(0.0, 1.0),
        false => f64::from(at_low < dense_us),
    };
    sparse.decide_by(Probe { dense_us, shares: PROBED, sparse_us: [at_low, at_high], crossover });
    Ok(())
}

impl<'a> Bench<'a> {
    /// Inputs for blocks of the shape of `first`.
    fn new(
        sparse: &'a mut SparseFfn,
        weights: &'a KernelWeights,
        ops: F32Ops,
        team: &'a mut Team,
        first: &Block,
    ) -> std::result::Result<Self, KernelError> {
        let (ffn, dim) = (first.up.rows(), first.up.k());
        let mut random = SplitMix64::new(1);
        // The two sets of live elements are disjoint, so that neither finds its weights in a cache that the other
        // filled.
        let place: Vec<f64> = (0..ffn).map(|_| f64::from(random.below(1 << 20)) / f64::from(1 << 20)).collect();
        let live = |range: std::ops::Range<f64>| place.iter().map(move |p| if range.contains(p) { 1.0 } else { 0.0 });
        let gates: [Vec<f32>; 2] = [live(0.0..PROBED[0]).collect(), live(PROBED[0]..PROBED[0] + PROBED[1]).collect()];
        let mut prepared = |k: usize, mask: Option<&[f32]>| {
            let value = |_| (1.0 + random.signed_unit() / 2.0) * [1.0, -1.0][random.below(2) as usize];
            let mut x: Vec<f32> = (0..k).map(value).collect();
            x.iter_mut().zip(mask.unwrap_or(&[])).for_each(|(x, live)| *x *= live);
            let mut input = LinearInput::new(1, k, ops);
            input.prepare(team, weights.kernel(), k, &x).map(|()| input)
        };
        Ok(Self {
            wide: prepared(dim, None)?,
            full: prepared(ffn, None)?,
            thin: [prepared(ffn, Some(&gates[0]))?, prepared(ffn, Some(&gates[1]))?],
            weights,
            sparse,
            ops,
            team,
            integers: vec![0; ffn.max(dim)],
            times: Times::default(),
            gates,
            up: vec![0.0; ffn],
            out: vec![0.0; dim],
        })
    }

    /// `up` and `down` of one block.
    fn call(&mut self, way: Way, layer: usize, block: &Block) -> std::result::Result<(), KernelError> {
        let input = way.map_or(&mut self.full, |share| &mut self.thin[share]);
        let (kernel, lap) = (self.weights.kernel(), Lap::start());
        let (team, ops, integers, times) = (&mut *self.team, self.ops, &mut self.integers[..], &mut self.times);
        let mut s = Step { kernel, team, ops, eps: 0.0, input: &mut self.wide, integers, times, lap };
        let Some(share) = way else {
            s.product(&block.up, &mut self.up)?;
            s.input = input;
            return s.product(&block.down, &mut self.out);
        };
        self.sparse.set_live(&self.gates[share])?;
        self.sparse.live_up(&mut s, layer, &block.up, &mut self.up)?;
        s.input = input;
        self.sparse.live_down(&mut s, layer, &mut self.out)
    }

    /// What a sparse call gave must be what the dense kernel gives, bit for bit.
    fn check(&mut self, way: Way, layer: usize, block: &Block) -> Result<()> {
        let Some(share) = way else { return Ok(()) };
        let (up, out) = (self.up.clone(), self.out.clone());
        std::mem::swap(&mut self.full, &mut self.thin[share]);
        let dense = self.call(None, layer, block);
        std::mem::swap(&mut self.full, &mut self.thin[share]);
        let id = self.weights.kernel().id();
        dense.map_err(|e| Error::failed(format!("sparse FFN with {id}: {e}")))?;
        let live = self.gates[share].iter().zip(up.iter().zip(&self.up)).filter(|(gate, _)| **gate > 0.0);
        let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits();
        if live.clone().all(|(_, (a, b))| same(a, b)) && out.iter().zip(&self.out).all(|(a, b)| same(a, b)) {
            return Ok(());
        }
        let operations = self.sparse.operations();
        Err(Error::failed(format!("sparse FFN: {operations} and {id} differ in block {layer}; run `tritbench verify`")))
    }
}
