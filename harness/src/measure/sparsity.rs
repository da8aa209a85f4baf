//! One feed-forward block with and without exact sparsity over a list of live shares: where does skipping stop to pay?
//!
//! The weights are random; which gates are positive is set after the gate's product, whose time both forms pay. So one
//! block serves every share and no model is needed. Copies of the block, more than the last-level cache holds, are gone
//! through in turn.

use super::rounds;
use super::rounds::{Epoch, column};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::machine::host::UNKNOWN_CACHE_BYTES;
use crate::{interrupt, scenario};
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::sparse::ColumnWeights;
use kernels::{Codes, F32Ops, Kernel, KernelError, Layout, LinearInput, PackedWeights, Product, layouts};
use model::sparse_ffn::SparseFfn;
use model::step::Step;
use model::times::{Lap, Times};
use receipt::judge::Method;
use receipt::judge::paired::Paired;
use receipt::judge::stats::median;
use receipt::{Receipt, SparsityPoint, SparsityRecord, judge};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

const EPSILON: f32 = 1e-5;
/// Length of an epoch: several blocks of the 2B shape.
const EPOCH_NS: f64 = 2e6;
/// Blocks of the same weights stay below this.
const MAX_BYTES: usize = 1 << 30;

/// Runs the sweep with the fastest exact kernel of `kernels`.
pub fn sweep(
    asked: &scenario::Sparsity,
    kernels: &[Kernel],
    machine: &Machine,
    receipt: &Receipt,
    mut step: impl FnMut(usize, &str),
) -> Result<SparsityRecord> {
    let cache = receipt.caches().last().copied().unwrap_or(UNKNOWN_CACHE_BYTES);
    let exact: Vec<Kernel> = kernels.iter().filter(|k| k.descriptor().exact()).copied().collect();
    let (kernel, reason) = fastest(asked, &exact, machine)?;
    let bench = RefCell::new(Bench::new(asked, kernel, machine, cache as usize, receipt.settings.seed)?);
    let mut shares = asked.shares.clone();
    shares.sort_by(f64::total_cmp);
    let mut points = Vec::new();
    for (done, share) in shares.into_iter().enumerate() {
        if interrupt::requested() {
            break;
        }
        step(done, &format!("feed-forward block with {}, live share {share}", kernel.id()));
        bench.borrow_mut().set_share(share);
        let columns = bench.borrow_mut().check()?;
        let run = |sparse: bool, slot: usize| -> Epoch<'_> {
            let bench = &bench;
            Box::new(move |calls| {
                for _ in 0..calls {
                    // `check` made the same calls; they cannot fail now.
                    let _ = bench.borrow_mut().block(sparse, slot);
                }
            })
        };
        let mut epochs = [run(false, 0), run(true, 1), run(false, 2)];
        let calls = rounds::calibrate(&mut epochs, EPOCH_NS);
        let rounds = rounds::run(&mut epochs, calls, asked.rounds, receipt.settings.seed, interrupt::flag(), |_| false);
        let [dense, sparse, again] = [0, 1, 2].map(|entry| column(&rounds, entry));
        let us = |ns: &[u64]| median(&ns.iter().map(|&ns| ns as f64 / f64::from(calls) / 1e3).collect::<Vec<_>>());
        points.push(SparsityPoint {
            live_share: bench.borrow().live_share,
            live_columns_share: columns as f64 / asked.ffn as f64,
            calls_per_epoch: calls,
            dense_us: us(&dense),
            sparse_us: us(&sparse),
            vs_dense: Paired::new(Method::Current, &dense, &sparse).ratio(kernel.id()),
            noise_floor: Paired::new(Method::Current, &dense, &again).noise_floor(),
            rounds,
        });
    }
    let bench = bench.into_inner();
    let mut record = SparsityRecord {
        dim: asked.dim,
        ffn: asked.ffn,
        kernel: kernel.id().into(),
        reason,
        operations: bench.sparse.operations().into(),
        threads: machine.threads,
        copies: bench.blocks.len(),
        dense_bytes: bench.blocks.iter().map(|b| b.bytes() as u64).sum(),
        crossover: crossover(&points),
        points,
    };
    judge::sweep(&mut record);
    Ok(record)
}

/// Where the ratio passes 1 from above, by a line between the two shares beside it.
fn crossover(points: &[SparsityPoint]) -> Option<f64> {
    points.windows(2).find_map(|pair| {
        let (a, b) = (pair[0].vs_dense.median - 1.0, pair[1].vs_dense.median - 1.0);
        let (from, to) = (pair[0].live_share, pair[1].live_share);
        (a > 0.0 && b <= 0.0).then(|| from + (to - from) * a / (a - b))
    })
}

/// The kernel that computes a dense block in the shortest time, from memory.
fn fastest(asked: &scenario::Sparsity, exact: &[Kernel], machine: &Machine) -> Result<(Kernel, String)> {
    let mut best: Option<(Kernel, f64)> = None;
    for kernel in exact {
        let mut bench = Bench::new(asked, *kernel, machine, asked.dim * asked.ffn, 1)?;
        bench.set_share(0.5);
        let mut times = Vec::new();
        for _ in 0..2 * bench.blocks.len().max(4) {
            let start = Instant::now();
            bench.block(false, 0).map_err(failed)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        let us = median(&times);
        if best.is_none_or(|(_, least)| us < least) {
            best = Some((*kernel, us));
        }
    }
    match best {
        Some((kernel, _)) if exact.len() == 1 => Ok((kernel, "the only exact one asked for".into())),
        Some((kernel, us)) => {
            Ok((kernel, format!("fastest dense block of {} exact kernels ({us:.0} us)", exact.len())))
        }
        None => Err(Error::input("the sparsity sweep needs an exact int8 kernel; `list kernels` shows them")),
    }
}

fn failed(error: KernelError) -> Error {
    Error::failed(format!("sparsity sweep: {error}"))
}

/// One copy of the dense weights.
#[derive(Clone)]
struct Block {
    gate: PackedWeights,
    up: PackedWeights,
    down: PackedWeights,
}

impl Block {
    fn bytes(&self) -> usize {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }
}

struct Bench {
    team: Team,
    ops: F32Ops,
    kernel: Kernel,
    blocks: Vec<Block>,
    sparse: SparseFfn,
    /// Gates as the share wants them.
    live: Vec<f32>,
    live_share: f64,
    seed: u64,
    /// Next copy of each entry.
    next: [usize; 3],
    x: Vec<f32>,
    ones: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    normed: Vec<f32>,
    out: Vec<f32>,
    integers: Vec<i32>,
    input: LinearInput,
}

impl Bench {
    fn new(asked: &scenario::Sparsity, kernel: Kernel, machine: &Machine, cache: usize, seed: u64) -> Result<Self> {
        let (dim, ffn) = (asked.dim, asked.ffn);
        let layout = kernel.descriptor().layout;
        let mut random = SplitMix64::new(seed);
        let mut codes = || (0..dim * ffn).map(|_| random.below(3) as u8).collect::<Vec<u8>>();
        let pack = |layout: &'static Layout, rows: usize, k: usize, codes: &[u8]| {
            PackedWeights::pack(layout, Codes::ternary(rows, k, codes, 0.01)).map_err(failed)
        };
        let [gate, up, down] = [codes(), codes(), codes()];
        let block = Block {
            gate: pack(layout, ffn, dim, &gate)?,
            up: pack(layout, ffn, dim, &up)?,
            down: pack(layout, dim, ffn, &down)?,
        };
        let rows = pack(&layouts::I2S, ffn, dim, &up)?;
        let columns = ColumnWeights::from_packed(&pack(&layouts::I2S, dim, ffn, &down)?).map_err(failed)?;
        // Four caches full: what one entry read is gone when its turn comes again.
        let copies = (4 * cache / block.bytes().max(1)).clamp(2, (MAX_BYTES / block.bytes().max(1)).max(2));
        let sparse = (0..copies).map(|_| (rows.clone(), columns.clone())).collect();
        let x = (0..dim).map(|_| random.signed_unit()).collect();
        Ok(Self {
            team: machine.team()?,
            ops: F32Ops::select(machine.features),
            kernel,
            blocks: vec![block; copies],
            sparse: SparseFfn::from_matrices(sparse, machine.features),
            live: vec![0.0; ffn],
            live_share: 0.0,
            seed,
            next: [0, copies / 3, 2 * copies / 3],
            x,
            ones: vec![1.0; ffn],
            gate: vec![0.0; ffn],
            up: vec![0.0; ffn],
            normed: vec![0.0; ffn],
            out: vec![0.0; dim],
            integers: vec![0; 2 * ffn + dim],
            input: LinearInput::new(1, dim.max(ffn), F32Ops::select(machine.features)),
        })
    }

    /// Makes this share of the gates positive, which ones by chance.
    fn set_share(&mut self, share: f64) {
        let mut random = SplitMix64::new(self.seed);
        let mut order: Vec<u32> = (0..self.live.len() as u32).collect();
        random.shuffle(&mut order);
        let count = ((share * order.len() as f64).round() as usize).clamp(1, order.len());
        self.live.fill(-1.0);
        order[..count].iter().for_each(|&at| self.live[at as usize] = 1.0 + random.signed_unit() / 2.0);
        self.live_share = count as f64 / order.len() as f64;
    }

    /// Both forms must give the same bits. Returns the live columns.
    fn check(&mut self) -> Result<usize> {
        self.block(false, 0).map_err(failed)?;
        let dense: Vec<u32> = self.out.iter().map(|v| v.to_bits()).collect();
        self.block(true, 1).map_err(failed)?;
        match dense.iter().zip(&self.out).position(|(a, b)| *a != b.to_bits()) {
            None => Ok(self.sparse.live_columns()),
            Some(at) => {
                let (share, operations) = (self.live_share, self.sparse.operations());
                Err(Error::failed(format!(
                    "{operations} and {} differ at output {at}, live share {share}",
                    self.kernel.id()
                )))
            }
        }
    }

    /// One block for one token, from its normalised input to its output; what `Decoder` does, with the gates replaced.
    fn block(&mut self, sparse: bool, entry: usize) -> std::result::Result<(), KernelError> {
        let copy = self.next[entry];
        self.next[entry] = (copy + 1) % self.blocks.len();
        let Self { team, ops, kernel, blocks, sparse: skipping, live, x, ones, gate, up, normed, out, .. } = self;
        let (ops, block, input, integers) = (*ops, &blocks[copy], &mut self.input, &mut self.integers[..]);
        let (times, lap) = (&mut Times::default(), Lap::start());
        let mut s = Step { kernel, team, ops, eps: EPSILON, input, integers, times, lap };
        s.quantise(x, x.len())?;
        if sparse {
            s.product(&block.gate, gate)?;
            gate.copy_from_slice(live);
            skipping.set_live(gate)?;
            skipping.live_up(&mut s, copy, &block.up, up)?;
        } else {
            s.products([Product { weights: &block.gate, y: gate }, Product { weights: &block.up, y: up }])?;
            gate.copy_from_slice(live);
        }
        s.gated_norm(gate, up, ones, normed);
        s.quantise(normed, normed.len())?;
        if sparse {
            skipping.live_down(&mut s, copy, out)?;
        } else {
            s.product(&block.down, out)?;
        }
        black_box(&self.out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use receipt::Ratio;

    #[test]
    fn every_kernel_and_level_gives_the_dense_bits_at_every_share() {
        let asked = scenario::Sparsity { dim: 256, ffn: 640, rounds: 1, shares: vec![] };
        for features in [kernels::CpuFeatures::NONE, kernels::CpuFeatures::X86_64_V3, kernels::CpuFeatures::detect()] {
            for threads in [1, 2] {
                let machine = Machine::for_tests(features).with_threads(threads);
                for kernel in machine.kernels(None).expect("some").into_iter().filter(|k| k.descriptor().exact()) {
                    let mut bench = Bench::new(&asked, kernel, &machine, 1 << 16, 3).expect("packs");
                    assert!(bench.blocks.len() >= 2);
                    for share in [0.0, 0.05, 0.5, 1.0] {
                        bench.set_share(share);
                        let columns = bench.check().expect("equal");
                        assert!(columns <= (bench.live_share * 640.0).round() as usize);
                        assert!((bench.live_share - share).abs() <= 1.0 / 640.0);
                    }
                }
            }
        }
    }

    #[test]
    fn the_crossover_is_where_the_ratio_passes_one() {
        let point = |live_share: f64, ratio: f64| SparsityPoint {
            live_share,
            live_columns_share: live_share,
            calls_per_epoch: 1,
            rounds: vec![],
            dense_us: 1.0,
            sparse_us: 1.0 / ratio,
            vs_dense: Ratio {
                partner: "p".into(),
                median: ratio,
                low: None,
                high: None,
                confidence: 0.99,
                verdict: None,
            },
            noise_floor: 0.0,
        };
        let at = |ratios: &[f64]| {
            let points: Vec<_> = ratios.iter().enumerate().map(|(i, r)| point(i as f64 / 10.0, *r)).collect();
            crossover(&points)
        };
        assert!((at(&[1.5, 1.2, 1.0, 0.8]).expect("passes") - 0.2).abs() < 1e-9);
        assert!((at(&[1.5, 1.1, 0.9]).expect("passes") - 0.15).abs() < 1e-9);
        assert_eq!((at(&[1.5, 1.1]), at(&[0.9, 0.8]), at(&[])), (None, None, None));
    }
}
