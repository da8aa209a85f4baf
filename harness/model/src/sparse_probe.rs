//! The probe of sparse feed-forward blocks: `up` and `down` dense, and in every form of the sparse products at two live
//! shares, on the model's own matrices. A straight line through the two shares says from which one on skipping is
//! slower. A model that is read from memory is probed on its first block, taken out of the caches before each call, so
//! that the copies of the others are made only where a text can gain what they cost.

use crate::arch::Activation;
use crate::error::{Error, Result};
use crate::kernel_weights::KernelWeights;
use crate::sparse_ffn::{Choosing, Probe, SparseFfn, Sparsity, Timed, Turn};
use crate::step::Step;
use crate::times::{Lap, Times};
use crate::weights::{Block, Model};
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::sparse::SparseOps;
use kernels::{CpuFeatures, F32Ops, KernelError, LinearInput, stream};
use std::time::Instant;

/// Live shares at which the probe measures.
const PROBED: [f64; 2] = [0.1, 0.4];
/// Tokens below which nothing is probed: the probe takes as long as two or three tokens, and no CPU has been seen on
/// which copies of all blocks take less than the gain of this many (Intel Xeon, family 6 model 207: about 40).
const LEAST_TOKENS: usize = 8;

/// What the timed calls share.
struct Bench<'a> {
    weights: &'a KernelWeights,
    sparse: &'a mut SparseFfn,
    /// The operations between the products.
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

/// Which elements a call computes: all of them, or, with these products, those that live at this one of the shares.
type Way = Option<(SparseOps, usize)>;

/// What a decoder with these settings skips with: copies of all blocks, and the crossover that the probe found. `None`
/// where nothing is skipped, with the probe that says why, if there was one.
pub(crate) fn prepare(
    sparsity: Sparsity,
    (model, weights): (&Model, &KernelWeights),
    features: CpuFeatures,
    ops: F32Ops,
    team: &mut Team,
) -> Result<(Option<SparseFfn>, Option<Probe>)> {
    let Some(mut sparse) = SparseFfn::new(sparsity, model, weights, SparseOps::select(features)) else {
        return Ok((None, None));
    };
    let all = model.config.layers;
    if let Sparsity::Measured(how) = sparsity {
        let too_few = how.tokens.is_some_and(|tokens| tokens < LEAST_TOKENS);
        if too_few || all == 0 {
            return Ok((None, None));
        }
        let from_memory = !(how.fits_caches)(model.bytes_per_token());
        let blocks = if from_memory { 1 } else { all };
        let begun = Instant::now();
        sparse.pack(model, weights, blocks, team)?;
        let cost = begun.elapsed().as_secs_f64() * (all - blocks) as f64 / blocks as f64;
        let (taken, mut probe) = measure(&mut sparse, weights, features, (ops, team), (how, from_memory))?;
        let gain = (probe.dense_us - probe.sparse_us[0]).max(0.0) * all as f64 / 1e6;
        let gain = how.tokens.map_or(f64::INFINITY, |tokens| tokens as f64 * gain);
        if gain <= cost {
            probe.too_short = Some((gain, cost));
            return Ok((None, Some(probe)));
        }
        sparse.decide_by(taken, probe);
    }
    sparse.pack(model, weights, all, team)?;
    let probe = sparse.summary().probe;
    Ok((Some(sparse), probe))
}

/// Times the dense way and each form of the sparse one at two shares on the blocks that have copies: the form that is
/// taken, and the share at which it and the dense way take equal time.
fn measure(
    sparse: &mut SparseFfn,
    weights: &KernelWeights,
    features: CpuFeatures,
    (ops, team): (F32Ops, &mut Team),
    (how, from_memory): (Choosing, bool),
) -> Result<(SparseOps, Probe)> {
    let blocks = &weights.weights().blocks[..sparse.blocks()];
    let id = weights.kernel().id();
    let failed = |e: KernelError| Error::failed(format!("sparse FFN with {id}: {e}"));
    let forms = forms(features);
    let shares = |form: &SparseOps| [0, 1].map(|share| Some((*form, share)));
    let ways: Vec<Way> = [None].into_iter().chain(forms.iter().flat_map(shares)).collect();
    let mut bench = Bench::new(sparse, weights, ops, team, &blocks[0]).map_err(failed)?;
    let Timed { us, passes } = (how.turns)(ways.len(), from_memory, &mut |way, turn| {
        for (layer, block) in blocks.iter().enumerate() {
            if turn == Turn::Ready {
                bench.ready(ways[way], layer, block, from_memory);
                continue;
            }
            bench.call(ways[way], layer, block).map_err(failed)?;
            if turn == Turn::Check {
                bench.check(ways[way], layer, block)?;
            }
        }
        Ok(())
    })?;
    let us: Vec<f64> = us.iter().map(|us| us / blocks.len() as f64).collect();
    let (dense_us, pairs) = (us[0], us[1..].as_chunks::<2>().0);
    let means: Vec<f64> = pairs.iter().map(|[low, high]| (low + high) / 2.0).collect();
    let taken = (how.taken)(&means);
    let [at_low, at_high] = pairs[taken];
    let slope = (at_high - at_low) / (PROBED[1] - PROBED[0]);
    let crossover = match slope > 0.0 {
        true => (PROBED[0] + (dense_us - at_low) / slope).clamp(0.0, 1.0),
        false => f64::from(at_low < dense_us),
    };
    let named = forms.iter().map(|form| form.id()).zip(means).collect();
    let (shares, sparse_us) = (PROBED, [at_low, at_high]);
    let probe = Probe { dense_us, shares, sparse_us, crossover, forms: named, taken, passes, too_short: None };
    Ok((forms[taken], probe))
}

/// The forms that take part, the widest first: a tie goes to it. The portable one only where there is no other: it
/// takes ten times as long, and would take the probe's time with it.
fn forms(features: CpuFeatures) -> Vec<SparseOps> {
    let mut all = SparseOps::all(features);
    if all.len() > 1 {
        all.remove(0);
    }
    all.reverse();
    all
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
            // One scale a token: with others nothing skips, see `Model::skips`.
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

    /// Takes what a call reads out of the caches, where a token finds it in memory.
    fn ready(&mut self, way: Way, layer: usize, block: &Block, from_memory: bool) {
        match way {
            _ if !from_memory => {}
            Some(_) => self.sparse.evict(self.team, layer, &block.up),
            None => [&block.up, &block.down].into_iter().for_each(|weights| {
                stream::evict(self.team, weights.code_bytes());
            }),
        }
    }

    /// `up` and `down` of one block.
    fn call(&mut self, way: Way, layer: usize, block: &Block) -> std::result::Result<(), KernelError> {
        let input = way.map_or(&mut self.full, |(_, share)| &mut self.thin[share]);
        let (kernel, lap) = (self.weights.kernel(), Lap::start());
        let (team, ops, integers, times) = (&mut *self.team, self.ops, &mut self.integers[..], &mut self.times);
        let input_of_up = &mut self.wide;
        let activation = Activation::ReluSquared;
        let (eps, first, unrounded) = (0.0, input_of_up, None);
        let mut s = Step { kernel, team, ops, eps, activation, input: first, unrounded, integers, times, lap };
        let Some((form, share)) = way else {
            s.product(&block.up, &mut self.up)?;
            s.input = input;
            return s.product(&block.down, &mut self.out);
        };
        self.sparse.compute_with(form);
        self.sparse.set_live(&self.gates[share])?;
        self.sparse.live_up(&mut s, layer, &block.up, &mut self.up)?;
        s.input = input;
        self.sparse.live_down(&mut s, layer, &mut self.out)
    }

    /// What a sparse call gave must be what the dense kernel gives, bit for bit.
    fn check(&mut self, way: Way, layer: usize, block: &Block) -> Result<()> {
        let Some((_, share)) = way else { return Ok(()) };
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
